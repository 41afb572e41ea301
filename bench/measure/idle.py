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

        def next_digest():
            last = provider.messages()[0]
            wait_until(lambda: provider.messages()[0] > last, 60, "a digest goes out", every=1)

        def look():
            """What each side has used so far: seconds of CPU, bytes and messages sent and received."""
            return [time.monotonic(), *(figure for one in (provider, informer) for figure in
                                        (cpu_seconds(one.pid), *wire_bytes(one.pid, broker.port), *one.messages()))]
        # From one digest to another: what comes at intervals is then counted as often as it comes.
        next_digest()
        before = look()
        time.sleep(sizes.idle)  # The time that is measured, less what is missing of an interval.
        next_digest()
        seconds, *used = (now - then for then, now in zip(before, look()))
        names = ("cpu", "bytesSent", "bytesReceived", "messagesSent", "messagesReceived")
        return {"scopes": SCOPES, "seconds": seconds, "provider": dict(zip(names, used)),
                "informer": dict(zip(names, used[len(names):]))}


def rows(kept):
    figures = kept["idle"]
    days = figures["seconds"] / DAY
    lines = []
    for name in ("provider", "informer"):
        one = figures[name]
        share, sent, received = one["cpu"] / figures["seconds"], one["bytesSent"] / days, one["bytesReceived"] / days
        messages = (f"{one[way] / days:,.0f}" for way in ("messagesSent", "messagesReceived"))
        lines.append(table_row(name, f"{100 * share:.2f} %", *messages, size(sent), size(received), size(sent + received),
                               f"{judged('< 0.5 % of a core', share < 0.005)}; {judged('≤ 1 MB a day', sent + received <= 1e6)}"))
    return lines


def table_heading(_):
    return heading("", "CPU of a core", "messages sent a day", "received", "bytes sent a day", "received", "both ways", "target")


PARTS = (
    Part("idle", f"a quiet cluster with {SCOPES} scopes", table_heading, "idle", silence, rows),)
