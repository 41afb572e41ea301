"""A copy that is kept compressed, beside a plain one."""

from . import peers
from .peers import a_second, compared, judged_by_client_go, rounds, seconds
from .programs import Firehose, starting
from .report import Part, heading, judged, size

_STORES = {"plain": "memory:", "compressed": "memory:?compress=true"}
_WAYS = {f"{form}, {peers.COLUMNS[way].removeprefix('ours, ')}": (peers.WAYS[way], store)
         for way in ("direct", "broker") for form, store in _STORES.items()}


def _one(way, objects, window):
    follow, store = _WAYS[way]
    with starting() as start:
        source = start(Firehose(objects))
        return follow(source.kubeconfig(), window, source.trigger, "--store", store, "--reads")


def measure(sizes):
    return {"objects": sizes.objects, "ways": rounds(sizes.rounds, lambda way: _one(way, sizes.objects, sizes.window), tuple(_WAYS))}


def _compressed(value):
    return [value[way] for way in _WAYS if way.startswith("compressed")]


def rows(kept):
    figures = kept["compressed"]

    def row(what, field, shown, *targets):
        return compared(what, figures["ways"], field, shown, *targets, ways=tuple(_WAYS))

    def beside_client_go(value):
        return judged_by_client_go(kept, figures["objects"], "compressed ≤ 0.12 × client-go", 0.12, "rssSettledBytesPerObject",
                                   max(_compressed(value)))

    return [
        row("memory an object, settled", "rssSettledBytesPerObject", size, beside_client_go),
        row("peak memory", "rssPeakBytes", size),
        row("reads by key", "readsPerSecond", a_second,
            lambda value: judged("compressed ≥ 200,000/s", min(_compressed(value)) >= 200_000)),
        row(f"first sync of {figures['objects']:,} objects", "syncSeconds", seconds),
        row("updates of 3.3 KiB without pause", "updatesPerSecond", a_second)]


PARTS = (Part("compressed", "memory, reads and updates of a compressed copy", lambda _: heading("", *_WAYS, "target"), "compressed",
              measure, rows),)
