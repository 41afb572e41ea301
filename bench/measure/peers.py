"""Beside client-go and kube-rs: the same source, the same machine, each alone, in turns."""

import dataclasses
import statistics
import subprocess
import sys
import time
import typing

from real import ApiServer, Etcd, Mosquitto

from . import programs
from .programs import Firehose, Meter, ask, cpu_seconds, peak_bytes, starting, wire_bytes
from .report import Part, heading, judged, number, size, table_row


# The ways to follow all configmaps of a kubeconfig. Each tells the figures of its program.
def client_go(kubeconfig, window, trigger):
    return ask([programs.ROOT / "build" / "clientgo-bench", "--kubeconfig", kubeconfig,
                "--window", f"{window}s", "--trigger", trigger])


def kube_rs(kubeconfig, window, trigger):
    path = "/" + trigger.split("/", 3)[3] if trigger else ""
    return ask([programs.KUBE_RS / "target" / "release" / "kube-rs-bench", "--kubeconfig", kubeconfig,
                "--window", window, "--trigger", path])


def direct(kubeconfig, window, trigger, *more):
    return ask([programs.RELEASE / "bench" / "informer_bench", "--kubeconfig", kubeconfig,
                "--window", window, "--trigger", trigger, *more])


def through_broker(kubeconfig, window, trigger, *more):
    """Through a provider that is ready, but has not listed anything; adds what that one used."""
    with starting() as start:
        broker = start(Mosquitto())
        provider = start(programs.provider(broker, kubeconfig))
        provider.endpoint.wait_ready()
        before = cpu_seconds(provider.pid), cpu_seconds(broker.pid), sum(provider.messages())
        meter = Meter(provider.pid, broker.port)
        meter.start()
        figures = ask([programs.RELEASE / "bench" / "informer_bench", "--broker", broker.url, "--cluster", "c1",
                       "--window", window, "--trigger", trigger, *more])
        return {**figures, "wireBytesPerSecond": meter.stop(), "wireBytes": wire_bytes(provider.pid, broker.port)[0],
                "messages": sum(provider.messages()) - before[2], "providerPeak": peak_bytes(provider.pid),
                "providerCpu": cpu_seconds(provider.pid) - before[0], "brokerCpu": cpu_seconds(broker.pid) - before[1]}


WAYS = {"client-go": client_go, "kube-rs": kube_rs, "direct": direct, "broker": through_broker}
if not programs.HAS_RUST:
    WAYS.pop("kube-rs")
COLUMNS = {"client-go": "client-go dynamic", "kube-rs": "kube-rs reflector", "direct": "ours, direct",
           "broker": "ours, through the broker"}
PEERS = ("client-go", "kube-rs")


def rounds(count, function, ways=tuple(WAYS)):
    """{way: [figures]}: the ways take turns, so that the machine's moods meet all of them."""
    found = {way: [] for way in ways}
    for _ in range(count):
        for way in ways:
            found[way].append(function(way))
            print(".", end="", file=sys.stderr, flush=True)
    return found


def on_firehose(way, objects, window, rate=0):
    with starting() as start:
        source = start(Firehose(objects, rate=rate))
        return WAYS[way](source.kubeconfig(), window, source.trigger if window else "")


# What is measured.
def without_pause(sizes):
    """First sync and updates as fast as they are read; then, whether each object ends in its last state."""
    events = 3 * sizes.objects
    found = rounds(sizes.rounds, lambda way: on_firehose(way, sizes.objects, sizes.window))
    with starting() as start:
        source = start(Firehose(sizes.objects, events=events))
        last = through_broker(source.kubeconfig(), 2 * sizes.window, source.trigger, "--events", events)
    return {"objects": sizes.objects, "ways": found, "events": events, "differing": last["differing"]}


def at_a_rate(sizes):
    return {str(rate): rounds(sizes.rounds, lambda way, rate=rate: on_firehose(way, sizes.steady, sizes.window, rate))
            for rate in (1_000, 10_000)}


def on_the_wire(sizes):
    """A first sync of the provider's, and updates that come one by one."""
    with starting() as start:
        json_bytes = start(Firehose(sizes.objects)).object_bytes()
    return {"objects": sizes.objects, "objectBytes": json_bytes,
            "sync": rounds(sizes.rounds, lambda way: on_firehose(way, sizes.objects, 0), ("broker",)),
            "alone": rounds(1, lambda way: on_firehose(way, 1_000, sizes.window, 50), ("broker",))}


# What curl needs for the same set, read and thrown away, and the word that tells its end (that of a list has none).
# They follow different ways, so that no way always finds the server warmer than the others.
_STREAM = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
_CURLS = {"direct": ("stream", _STREAM, "k8s.io/initial-events-end"), "broker": ("list", "resourceVersion=0", "\\0")}


def _curl_seconds(api, query, end):
    # Without -N curl keeps the last bytes, in which the end is told, to itself.
    command = ["curl", "-skN", "-H", f"Authorization: Bearer {api.tokens['admin']}", f"{api.url}/api/v1/configmaps?{query}"]
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as curl:
        try:
            subprocess.run(["grep", "--max-count=1", end], stdin=curl.stdout, stdout=subprocess.DEVNULL, check=False, timeout=120)
        finally:
            curl.kill()
    return time.monotonic() - began


def from_kube_apiserver(sizes):
    with starting() as start:
        api = start(ApiServer(start(Etcd())))
        api.add_config_maps(sizes.objects, size=3000)
        kubeconfig = api.kubeconfig()
        curls = {name: [] for name, _, _ in _CURLS.values()}

        def one(way):
            figures = WAYS[way](kubeconfig, 0, "")
            if way in _CURLS:
                name, query, end = _CURLS[way]
                curls[name].append(_curl_seconds(api, query, end))
            return figures
        return {"objects": sizes.objects, "ways": rounds(sizes.rounds, one), "curls": curls}


# How it is told.
@dataclasses.dataclass(frozen=True)
class Target:
    """Of the medians of one row, by way."""

    text: str
    needs: tuple
    holds: typing.Callable

    def __call__(self, value):
        if any(way not in value for way in self.needs):
            return f"{self.text}: not judged"
        return judged(self.text, self.holds(value))


def at_most(way, factor, peer):
    return Target(f"{way} ≤ {factor} × {peer}", (way, peer), lambda value: value[way] <= factor * value[peer])


def at_least(way, factor, peer):
    return Target(f"{way} ≥ {factor} × {peer}", (way, peer), lambda value: value[way] >= factor * value[peer])


def within(way, most, unit):
    return Target(f"{way} ≤ {most} {unit}", (way,), lambda value: value[way] <= most)


def medians(found, field):
    return {way: statistics.median(one[field] for one in several) for way, several in found.items()}


def judged_by_client_go(kept, objects, text, factor, field, value):
    """Against what client-go took in the part firehose, if that was of as many objects."""
    if "firehose" not in kept or kept["firehose"]["objects"] != objects:
        return f"{text}: not judged"
    client_go = medians(kept["firehose"]["ways"], field)["client-go"]
    return f"{judged(text, value <= factor * client_go)} ({ratio(value / client_go)} ×)"


def compared(what, found, field, shown, *targets, ways=tuple(COLUMNS)):
    """A row with all ways; in brackets what ours is of client-go's and of kube-rs'. Targets tell what they find of the medians."""
    value = medians(found, field)
    cells = []
    for way in ways:
        if way not in value:
            cells.append("no Rust here" if way == "kube-rs" else "")
            continue
        ratios = [f"{ratio(value[way] / value[peer])} ×" for peer in PEERS if way not in PEERS and value.get(peer)]
        cells.append(shown(value[way]) + (f" ({', '.join(ratios)})" if ratios else ""))
    return table_row(what, *cells, "; ".join(target(value) for target in targets))


def ratio(value):
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def alone(what, text, target="", way="broker"):
    """A row of what only one way has."""
    return table_row(what, *(text if column == way else "" for column in COLUMNS), target)


def seconds(value):
    return f"{value:.3g} s"


def milliseconds(value):
    return f"{value:.2f} ms" if value < 10 else f"{number(value)} ms"


def a_second(value):
    return f"{float(f'{value:.3g}'):,.0f}/s"


def table_heading(_):
    return heading("", *COLUMNS.values(), "target")


def rows_without_pause(kept):
    figures = kept["firehose"]
    found = figures["ways"]
    return [
        compared(f"first sync of {figures['objects']:,} objects from the firehose", found, "syncSeconds", seconds,
                 at_most("direct", 0.5, "client-go"), at_most("broker", 1.0, "client-go")),
        compared("memory an object, settled", found, "rssSettledBytesPerObject", size, at_most("direct", 0.33, "client-go"),
                 at_most("broker", 0.33, "client-go")),
        compared("peak memory", found, "rssPeakBytes", size),
        compared("updates of 3.3 KiB without pause", found, "updatesPerSecond", a_second, at_least("direct", 2, "kube-rs"),
                 at_least("broker", 0.5, "kube-rs")),
        alone(f"objects not in their last state after {figures['events']:,} updates", str(figures["differing"]),
              judged("0", figures["differing"] == 0))]


def bytes_an_update(found):
    sizes = [one["wireBytesPerSecond"] / one["updatesPerSecond"] for one in found["broker"] if one["wireBytesPerSecond"]]
    return statistics.median(sizes) if sizes else float("nan")


def rows_at_a_rate(kept):
    slow, fast = kept["rate"]["1000"], kept["rate"]["10000"]
    near = Target("broker ≤ client-go + 1 ms", ("broker", "client-go"), lambda value: value["broker"] <= value["client-go"] + 1)
    return [
        compared("latency p50 at 1,000/s", slow, "latencyP50Milliseconds", milliseconds),
        compared("latency p99 at 1,000/s", slow, "latencyP99Milliseconds", milliseconds, near),
        compared("latency p99 at 10,000/s", fast, "latencyP99Milliseconds", milliseconds, within("broker", 10, "ms")),
        alone("an update on the wire at 1,000/s", f"{bytes_an_update(slow):.0f} B", judged("≤ 300 B", bytes_an_update(slow) <= 300)),
        alone("the same at 10,000/s", f"{bytes_an_update(fast):.0f} B")]


def rows_on_the_wire(kept):
    figures = kept["wire"]
    found = figures["sync"]
    share = medians(found, "wireBytes")["broker"] / (figures["objects"] * figures["objectBytes"])
    peak, lonely = medians(found, "providerPeak")["broker"], bytes_an_update(figures["alone"])
    verdict = judged_by_client_go(kept, figures["objects"], "≤ 0.4 × client-go's settled memory", 0.4, "rssSettledBytes", peak)
    return [
        alone("the provider's peak memory in a first sync", size(peak), verdict),
        alone("first sync on the wire, of the objects' JSON", f"{share:.3f} ×", judged("≤ 0.15 ×", share <= 0.15)),
        alone("an update alone on the wire", f"{lonely:.0f} B", judged("≤ 600 B", lonely <= 600))]


def rows_from_kube_apiserver(kept):
    figures = kept["kube"]
    ours = medians(figures["ways"], "syncSeconds")["direct"]
    stream, listed = (statistics.median(figures["curls"][name]) for name in ("stream", "list"))
    return [
        compared(f"first sync of {figures['objects']:,} objects from kube-apiserver", figures["ways"], "syncSeconds", seconds,
                 at_most("direct", 0.5, "client-go"), at_most("broker", 1.0, "client-go")),
        alone("curl, the same streaming list", f"{seconds(stream)} (ours {ours / stream:.2f} ×)",
              judged("≤ 1.2 ×", ours <= 1.2 * stream), way="direct"),
        alone("curl, the same as one list", f"{seconds(listed)} (ours {ours / listed:.2f} ×)", way="direct")]


def _part(name, what, measure, rows):
    return Part(name, what, table_heading, "peers", measure, rows)


PARTS = (
    _part("firehose", "first sync, memory, and updates without pause", without_pause, rows_without_pause),
    _part("rate", "latency at 1,000/s and 10,000/s", at_a_rate, rows_at_a_rate),
    _part("wire", "a provider's peak memory, and bytes from provider to broker", on_the_wire, rows_on_the_wire),
    _part("kube", "first sync from a real kube-apiserver", from_kube_apiserver, rows_from_kube_apiserver))
