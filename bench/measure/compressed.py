"""A copy that is kept compressed, beside a plain one."""

import statistics

from . import peers
from .peers import a_second, rounds, seconds
from .programs import Firehose, starting
from .report import Part, heading, judged, size, table_row

_STORES = {"plain": "memory:", "compressed": "memory:?compress=true"}
_WAYS = {f"{form}, {peers.COLUMNS[way].removeprefix('ours, ')}": (peers.WAYS[way], store)
         for way in ("direct", "broker") for form, store in _STORES.items()}


def _one(way, objects, window):
    follow, store = _WAYS[way]
    with starting() as start:
        source = start(Firehose(objects))
        return follow(source.kubeconfig(), window, source.trigger, "--store", store)


def measure(sizes):
    return {"objects": sizes.objects, "ways": rounds(sizes.rounds, lambda way: _one(way, sizes.objects, sizes.window), tuple(_WAYS))}


def _memory_target(kept, compressed):
    text = "compressed ≤ 0.12 × client-go"
    if "firehose" not in kept or kept["firehose"]["objects"] != kept["compressed"]["objects"]:
        return f"{text}: not judged"
    client_go = peers.medians(kept["firehose"]["ways"], "rssSettledBytesPerObject")["client-go"]
    return f"{judged(text, max(compressed) <= 0.12 * client_go)} ({max(compressed) / client_go:.2f} ×)"


def rows(kept):
    found = kept["compressed"]["ways"]

    def median(way, field):
        return statistics.median(one[field] for one in found[way])

    def row(what, field, shown, target=lambda compressed: ""):
        compressed = [median(way, field) for way in _WAYS if way.startswith("compressed")]
        return table_row(what, *(shown(median(way, field)) for way in _WAYS), target(compressed))

    return [
        row("memory an object, settled", "rssSettledBytesPerObject", size, lambda compressed: _memory_target(kept, compressed)),
        row("peak memory", "rssPeakBytes", size),
        row("reads by key", "readsPerSecond", a_second,
            lambda compressed: judged("compressed ≥ 200,000/s", min(compressed) >= 200_000)),
        row(f"first sync of {kept['compressed']['objects']:,} objects", "syncSeconds", seconds),
        row("updates of 3.3 KiB without pause", "updatesPerSecond", a_second)]


PARTS = (Part("compressed", "memory, reads and updates of a compressed copy", lambda _: heading("", *_WAYS, "target"), "compressed",
              measure, rows),)
