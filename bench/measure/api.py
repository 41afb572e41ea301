"""The fleet's API beside kube-apiserver: the same requests, of the same client, with TLS on both sides."""

import contextlib
import json
import pathlib
import random
import ssl
import subprocess
import tempfile
import urllib.parse
import urllib.request

from real import ApiServer, Authority, Daemon, Etcd, Mosquitto, free_port, wait_until

from . import programs
from .peers import a_second, milliseconds, ratio
from .programs import ask, cpu_seconds, starting
from .report import Part, heading, judged, number, size, table_row

_LOAD = programs.ROOT / "build" / "api-load"
_BYTES = 3300
_CLUSTERS = 100
_NAMESPACES = 50
_LABELS = 200
_TOKEN = "bench-token"


class Served(Daemon):
    """An informer over a store that is there already, with its API on a port of its own."""

    def __init__(self, broker, *flags, tls=True):
        self.port = free_port()
        words = ["--broker", broker.url, "--client-id", "bench", "--output", "none", "--serve", f"127.0.0.1:{self.port}", *flags]
        self.ca = self.token = None
        super().__init__("informer", *words, *(self._guards() if tls else ()))
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{self.port}"

    def _guards(self):
        self._keys = tempfile.TemporaryDirectory()
        folder = pathlib.Path(self._keys.name)
        authority = Authority(folder / "pki")
        certificate, key = authority.server("informer")
        (folder / "tokens").write_text(_TOKEN + "\n")
        self.ca, self.token = authority.certificate, _TOKEN
        return "--tls-cert", certificate, "--tls-key", key, "--token-file", folder / "tokens"


def _load(url, ca, token, connections, seconds):
    words = [_LOAD, "--server", url, "--connections", connections, "--seconds", seconds]
    return words + (["--ca", ca, "--token", token] if ca else [])


def _get(url, ca, token, path):
    request = urllib.request.Request(url + path, headers={"Authorization": f"Bearer {token}"} if token else {})
    try:
        with urllib.request.urlopen(request, context=ssl.create_default_context(cafile=str(ca)) if ca else None) as answer:
            return json.load(answer)
    except OSError:  # Not there yet, or the resource is not.
        return {}


def _reading(target, seconds, name_of, count):
    """Pages, pages by a label, and objects by name; name_of: the number of an object to its path."""
    def read(paths):
        done = subprocess.run([str(word) for word in _load(*target, 4, seconds)] + ["read"], input="\n".join(paths) + "\n", text=True,
                              capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    chosen = random.Random(1)
    return {
        "pages": ask([*_load(*target, 4, seconds), "walk", "/api/v1/pods"]),
        "labelled": read([f"/api/v1/pods?limit=500&labelSelector={urllib.parse.quote(f'app=app-{label}')}" for label in range(_LABELS)]),
        "gets": read([name_of(chosen.randrange(count)) for _ in range(20_000)])}


class Watchers:
    """Many clients that watch one path."""

    def __init__(self, target, count, path):
        self._process = subprocess.Popen([str(word) for word in [*_load(*target, count, 0), "watch", path]], text=True,
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._process.stdout.readline() == "open\n", "not every watch could be opened"

    def delivered(self):
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self):
        self._process.stdin.close()
        told = json.loads(self._process.stdout.readline())
        self._process.wait(30)
        return told


def _resident(pid):
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def _watching(part, target, count, path, change, changes):
    before = _resident(part.pid)
    watchers = Watchers(target, count, path)
    idle = (_resident(part.pid) - before) / count
    began = cpu_seconds(part.pid)
    for step in range(changes):
        change(step)
    wait_until(lambda: watchers.delivered() >= count * changes, 120, "every watcher has every event")
    spent = cpu_seconds(part.pid) - began
    told = watchers.close()
    return {"bytesPerIdleWatcher": idle, "cpuPerDelivery": spent / told["eventsDelivered"], "failed": told["watchesThatFailed"],
            "events": told["eventsDelivered"]}


@contextlib.contextmanager
def _kube():
    with starting() as start:
        yield start(ApiServer(start(Etcd()))), start


def of_kube_apiserver(sizes):
    with _kube() as (api, _):
        target = (api.url, api.authority.certificate, api.tokens["admin"])
        filled = ask([*_load(*target, 8, 0), "fill", sizes.objects, _BYTES], timeout=1200)
        found = _reading(target, sizes.window, lambda n: f"/api/v1/namespaces/team-{n % _NAMESPACES}/pods/web-{n}", sizes.objects)
        return {"objects": sizes.objects, "filledPerSecond": filled["perSecond"], **found}


def of_a_fleet(sizes, folder):
    store = f"sqlite://{folder}/fleet.db"
    count = sizes.growth[-1]
    filled = ask([programs.RELEASE / "bench" / "store_bench", "--store", store, "--objects", count, "--clusters", _CLUSTERS,
                  "--updates", 0, "--reads", 1, "--bytes", _BYTES], timeout=1800)
    each = count // _CLUSTERS
    with starting() as start:
        informer = start(Served(start(Mosquitto()), "--store", store, "--resource", "pods"))
        found = _reading((informer.url, informer.ca, informer.token), sizes.window,
                         lambda n: f"/api/v1/namespaces/cluster{n // each}.team-{n % _NAMESPACES}/pods/web-{n}", count)
        return {"objects": count, "filledPerSecond": filled["ingestPerSecond"], "bytesOnDisk": (folder / "fleet.db").stat().st_size,
                "resident": _resident(informer.pid), **found}


def _watched(sizes, tls):
    """1,000 watchers of configmaps: of a kube-apiserver, and of an informer that follows it."""
    changes = 100
    with _kube() as (api, start):
        api.must("POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"name": "watched"}, "data": {"step": ""}})

        def change(step):
            api.must("PATCH", "/api/v1/namespaces/default/configmaps/watched", {"data": {"step": f"{step} " + "x" * 3000}},
                     content_type="application/merge-patch+json")

        found = {}
        query = "watch=1&allowWatchBookmarks=true"
        if tls:
            version = api.resource_version()
            found["kube"] = _watching(api, (api.url, api.authority.certificate, api.tokens["admin"]), sizes.watchers,
                                      f"/api/v1/namespaces/default/configmaps?{query}&resourceVersion={version}", change, changes)
        broker = start(Mosquitto())
        start(programs.provider(broker, api.kubeconfig(), "c1")).endpoint.wait_ready()
        informer = start(Served(broker, "--store", "memory:", "--resource", "configmaps", tls=tls))
        target = (informer.url, informer.ca, informer.token)

        def version_now():
            page = _get(*target, "/api/v1/configmaps?fieldSelector=metadata.name=watched")
            return page["metadata"]["resourceVersion"] if page.get("items") else None

        version = wait_until(version_now, 60, "the informer's copy is there")
        found["fleet"] = _watching(informer, target, sizes.watchers,
                                   f"/api/v1/namespaces/c1.default/configmaps?{query}&resourceVersion={version}", change, changes)
        return found


def measure(sizes):
    with tempfile.TemporaryDirectory() as folder:
        fleet = of_a_fleet(sizes, pathlib.Path(folder))
    return {"kube": of_kube_apiserver(sizes), "fleet": fleet, "tls": _watched(sizes, tls=True), "plain": _watched(sizes, tls=False),
            "watchers": sizes.watchers}


def rows(kept):
    figures = kept["api"]
    kube, fleet = figures["kube"], figures["fleet"]

    def timed(what, field, which, most):
        theirs, ours = kube[field][which], fleet[field][which]
        target = judged(f"≤ {most} ×", ours <= most * theirs) if most else ""
        return table_row(what, milliseconds(theirs), f"{milliseconds(ours)} ({ratio(ours / theirs)} ×)", target)

    gets = fleet["gets"]["perSecond"] / kube["gets"]["perSecond"]
    tls, plain = figures["tls"], figures["plain"]["fleet"]
    delivery = tls["fleet"]["cpuPerDelivery"] / tls["kube"]["cpuPerDelivery"]
    return [
        table_row("pods of 3.3 KiB", f"{kube['objects']:,}", f"{fleet['objects']:,} of {_CLUSTERS} clusters, in SQLite", ""),
        timed("a page of 500, p50", "pages", "p50Milliseconds", None), timed("p99", "pages", "p99Milliseconds", 0.25),
        timed("a page of what has a label, p50", "labelled", "p50Milliseconds", None), timed("p99", "labelled", "p99Milliseconds", 0.25),
        table_row("gets by name", a_second(kube["gets"]["perSecond"]), f"{a_second(fleet['gets']['perSecond'])} ({gets:.2f} ×)",
                  judged("≥ 6 ×", gets >= 6)),
        table_row(f"CPU for an event to one of {figures['watchers']:,} watchers", f"{tls['kube']['cpuPerDelivery'] * 1e6:.3g} µs",
                  f"{tls['fleet']['cpuPerDelivery'] * 1e6:.3g} µs ({ratio(delivery)} ×)", judged("≤ 0.3 ×", delivery <= 0.3)),
        table_row("memory of an idle watcher", size(tls["kube"]["bytesPerIdleWatcher"]), size(tls["fleet"]["bytesPerIdleWatcher"]),
                  judged("≤ 80 KiB", tls["fleet"]["bytesPerIdleWatcher"] <= 80 << 10)),
        table_row("the same without TLS", "", size(plain["bytesPerIdleWatcher"]), judged("≤ 16 KiB", plain["bytesPerIdleWatcher"] <= 16 << 10)),
        table_row("events that did not arrive, watches that broke", number(tls["kube"]["failed"]),
                  number(tls["fleet"]["failed"] + plain["failed"]), judged("0", tls["fleet"]["failed"] + plain["failed"] == 0)),
        table_row("memory of the informer's process with all of it", "", size(fleet["resident"]), ""),
        table_row("the database's file", "", size(fleet["bytesOnDisk"]), "")]


PARTS = (Part("api", "the fleet's API beside kube-apiserver", lambda _: heading("", "kube-apiserver", "informer --serve", "target"), "api",
              measure, rows),)
