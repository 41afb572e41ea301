"""How cost grows with the work: objects of one scope, informers on one scope, clusters behind one broker."""

import functools
import math
import time

from real import Mosquitto, wait_until

from . import plot, programs
from .peers import seconds, through_broker
from .programs import Firehose, ask, cpu_seconds, starting
from .report import Part, heading, judged, number, size, table_row

LINEAR = 1.1  # The exponent up to which growth counts as linear: what is left is the measurement's own.

SMALL = 100         # objects of each of many clusters
SHARED = 1_000      # objects of the scope that informers share,
CHANGES = 200       # changes of them a second,
FOLLOWED = 20       # and seconds for which these are followed


# What is measured: one step after another, each from nothing.
def of_objects(sizes):
    def step(count):
        with starting() as start:
            figures = through_broker(start(Firehose(count)).kubeconfig(), 0, "")
        return {"n": count, "seconds": figures["syncSeconds"], "cpu": figures["providerCpu"],
                "providerPeak": figures["providerPeak"], "informerPeak": figures["rssPeakBytes"],
                "messages": figures["messages"], "wire": figures["wireBytes"]}
    return [step(count) for count in sizes.growth]


def of_informers(sizes):
    """What a provider pays: for informers to join, and to follow what changes."""
    def step(count):
        with starting() as start:
            source = start(Firehose(SHARED, rate=CHANGES))
            broker = start(Mosquitto())
            provider = start(programs.provider(broker, source.kubeconfig()))
            provider.endpoint.wait_ready()
            at_first = cpu_seconds(provider.pid), sum(provider.messages())
            informers = [start(programs.informer(broker, "configmaps", name=f"i{number}")) for number in range(count)]
            for one in informers:
                one.endpoint.wait_ready(deadline=120)
            joined = cpu_seconds(provider.pid), sum(provider.messages())
            source.start_changes()
            time.sleep(FOLLOWED)  # The time that is measured.
            return {"n": count, "joinCpu": joined[0] - at_first[0], "joinMessages": joined[1] - at_first[1],
                    "memory": provider.resident_bytes(), "followCpu": cpu_seconds(provider.pid) - joined[0],
                    "followMessages": sum(provider.messages()) - joined[1]}
    return [step(count) for count in sizes.informers]


def of_clusters(sizes):
    def step(count):
        return {"n": count, **ask([programs.RELEASE / "bench" / "clusters_bench", "--clusters", count, "--objects", SMALL])}
    return [step(count) for count in sizes.clusters]


def of_providers(sizes):
    """As many provider processes as there are clusters; one informer comes when all are there."""
    def step(count):
        with starting() as start:
            broker = start(Mosquitto())
            kubeconfig = start(Firehose(SMALL)).kubeconfig()
            providers = [start(programs.provider(broker, kubeconfig, f"c{number}")) for number in range(count)]
            for one in providers:
                one.endpoint.wait_ready(deadline=120)
            began = time.monotonic()
            informer = start(programs.informer(broker, "configmaps"))

            def synced():
                told = informer.endpoint.metrics()
                return told.get("tinf_informer_objects") == count * SMALL and told["tinf_informer_live"] == count
            wait_until(synced, 300, f"an informer has the objects of {count} clusters", tolerate=(OSError,))
            took, memory = time.monotonic() - began, informer.resident_bytes()
            return {"n": count, "seconds": took, "cpu": cpu_seconds(informer.pid), "memory": memory,
                    "memoryEach": memory / count, "messages": sum(informer.messages()),
                    "providerMemory": sum(one.resident_bytes() for one in providers)}
    return [step(count) for count in sizes.providers]


# How it is told.
def exponents(steps, field):
    """Of each step from the one before it: 1 is linear, 0 constant. None where there was nothing to measure."""
    def exponent(before, after):
        if not before[field] or not after[field]:
            return None
        return math.log(after[field] / before[field]) / math.log(after["n"] / before["n"])
    return [exponent(before, after) for before, after in zip(steps, steps[1:])]


def rows(kept, name, columns):
    steps = kept[name]
    down, verdicts = [], []  # The table's columns.
    for _, field, shown, most in columns:
        grown = [None, *exponents(steps, field)]
        down.append([shown(step[field]) + ("" if one is None else f" ({round(one, 2) + 0:.2f})") for step, one in zip(steps, grown)])
        known = [one for one in grown if one is not None]
        verdicts.append(judged(f"≤ {most}", max(known) <= most) if known else f"≤ {most}: not judged")
    lines = [table_row(f"{step['n']:,}", *cells) for step, *cells in zip(steps, *down)]
    return [*lines, table_row("exponent", *verdicts)]


def cpu(value):
    return f"{value:.2f} s"


def picture(steps, title, counted, columns):
    unit = {seconds: ", s", cpu: ", s", size: ", bytes"}
    return plot.growth(title, counted, [(name + unit.get(shown, ""), [(step["n"], step[field]) for step in steps])
                                        for name, field, shown, _ in columns])


def _part(name, what, measure, counted, columns):
    """columns: name, field of each step, how it is shown, and the exponent that is allowed."""
    return Part(name, what, lambda _: heading(counted, *(one[0] for one in columns)), f"growth-{name}", measure,
                functools.partial(rows, name=name, columns=columns),
                functools.partial(picture, title=what, counted=counted, columns=columns))


PARTS = (
    _part("objects", "first sync of one scope through the broker, objects of 3.3 KiB", of_objects, "objects", (
        ("time", "seconds", seconds, LINEAR), ("provider's CPU", "cpu", cpu, LINEAR),
        ("provider's peak memory", "providerPeak", size, LINEAR), ("informer's peak memory", "informerPeak", size, LINEAR),
        ("messages", "messages", number, LINEAR), ("bytes to the broker", "wire", size, LINEAR))),
    _part("informers", "a provider whose scope several informers share", of_informers, "informers", (
        ("CPU until all have joined", "joinCpu", cpu, LINEAR), ("messages until then", "joinMessages", number, LINEAR),
        ("memory", "memory", size, 0.1), (f"CPU of {FOLLOWED} s with {CHANGES} changes/s", "followCpu", cpu, 0.1),
        ("messages in that time", "followMessages", number, 0.1))),
    _part("clusters", f"one informer of many clusters, all in one process, {SMALL} objects of 3 KB each", of_clusters, "clusters", (
        ("time", "seconds", seconds, LINEAR), ("CPU", "cpuSeconds", cpu, LINEAR), ("memory of all", "bytes", size, LINEAR),
        ("messages", "messages", number, LINEAR))),
    _part("providers", f"one informer of many provider processes, {SMALL} objects of 3.3 KiB each", of_providers, "providers", (
        ("time until all are synced", "seconds", seconds, LINEAR), ("informer's CPU", "cpu", cpu, LINEAR),
        ("informer's memory", "memory", size, LINEAR), ("a cluster", "memoryEach", size, 0.1),
        ("its messages", "messages", number, LINEAR),
        ("memory of all providers", "providerMemory", size, LINEAR))))
