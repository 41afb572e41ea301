"""A quiet cluster: what provider and informer still say to each other, and what that costs."""

import json
import time
import urllib.request

from real import Daemon, Mosquitto, wait_until

from . import programs
from .programs import cpu_seconds, starting, wire_bytes
from .report import Part, heading, judged, size, table_row

SCOPES = 30
DAY = 86_400
_GROUP = "bench.transport-informer.io"


class Devcluster(Daemon):
    """Our small API server with SCOPES resources of its own, of which each has an object."""

    def __init__(self):
        super().__init__("devcluster", "--kubeconfig-out", "kubeconfig")

    def kubeconfig(self):
        self.url = self.wait_for_line(r"devcluster serves (\S+)")[1]
        return self.folder / "kubeconfig"

    def fill(self):
        for plural in self.resources():
            self._post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", {
                "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": f"{plural}.{_GROUP}"},
                "spec": {"group": _GROUP, "scope": "Namespaced", "names": {"plural": plural, "kind": plural.capitalize()},
                         "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
                             "type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]}})
            self._post(f"/apis/{_GROUP}/v1/namespaces/default/{plural}", {
                "apiVersion": f"{_GROUP}/v1", "kind": plural.capitalize(), "metadata": {"name": "one", "namespace": "default"}})

    @staticmethod
    def resources():
        return [f"things{number:02}" for number in range(SCOPES)]

    def _post(self, path, thing):
        urllib.request.urlopen(urllib.request.Request(self.url + path, json.dumps(thing).encode(),
                                                      {"Content-Type": "application/json"})).close()


def silence(sizes):
    with starting() as start:
        broker = start(Mosquitto())
        cluster = start(Devcluster())
        kubeconfig = cluster.kubeconfig()
        cluster.fill()
        provider = start(programs.provider(broker, kubeconfig))
        provider.endpoint.wait_ready()
        informer = start(programs.informer(broker, *(f"{plural}.{_GROUP}" for plural in cluster.resources())))
        informer.endpoint.wait_ready(deadline=60)
        wait_until(lambda: informer.endpoint.metrics()["tinf_informer_objects"] == SCOPES, 60, "all scopes are there")

        def heard():
            return provider.messages()[0]
        # From one digest to another: what comes at intervals is then counted the right number of times.
        last = heard()
        wait_until(lambda: heard() > last, 60, "a digest goes out", every=0.2)

        def look():
            return {"at": time.monotonic(),
                    **{name: {"cpu": cpu_seconds(one.pid), "wire": wire_bytes(one.pid, broker.port), "messages": one.messages()}
                       for name, one in (("provider", provider), ("informer", informer))}}
        before = look()
        time.sleep(sizes.idle)  # The time that is measured.
        after = look()
        return {"scopes": SCOPES, "seconds": after["at"] - before["at"],
                **{name: {what: [b - a for a, b in zip(before[name][what], after[name][what])] if what != "cpu" else
                          after[name]["cpu"] - before[name]["cpu"] for what in ("cpu", "wire", "messages")}
                   for name in ("provider", "informer")}}


def rows(kept):
    figures = kept["idle"]
    lines = []
    for name in ("provider", "informer"):
        one = figures[name]
        day = DAY / figures["seconds"]
        share = one["cpu"] / figures["seconds"]
        both = sum(one["wire"]) * day
        lines.append(table_row(name, f"{100 * share:.2f} %", *(f"{count * day:,.0f}" for count in one["messages"]),
                               *(size(count * day) for count in one["wire"]), size(both),
                               f"{judged('< 0.5 % of a core', share < 0.005)}; {judged('≤ 1 MB a day', both <= 1e6)}"))
    return lines


PARTS = (
    Part("idle", f"a quiet cluster with {SCOPES} scopes",
         lambda _: heading("", "CPU of a core", "messages sent a day", "received", "bytes sent a day", "received", "both ways", "target"),
         "idle", silence, rows),)
