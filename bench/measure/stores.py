"""What the stores take and give: copies of many clusters go in, are changed and are read, by the store alone."""

import contextlib
import pathlib
import tempfile

from real import Postgres

from . import programs
from .peers import a_second, milliseconds
from .programs import ask, starting
from .report import Part, heading, judged, size, table_row

_COLUMNS = {"memory": "memory", "sqlite": "SQLite", "sqlite-zstd": "SQLite, zstd", "postgres": "PostgreSQL"}


@contextlib.contextmanager
def opened(kind):
    """(--store, --store-format, a function that tells the bytes on disk) of an empty one."""
    form = "zstd" if kind.endswith("-zstd") else "json"
    if kind == "memory":
        yield "memory:", form, lambda: 0
    elif kind.startswith("sqlite"):
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite://{folder}/fleet.db", form, lambda: sum(path.stat().st_size for path in pathlib.Path(folder).iterdir())
    else:
        with starting() as start:
            server = start(Postgres(settings={"shared_buffers": "1GB", "max_wal_size": "4GB"}))
            database = server.create_database()
            told = f"SELECT pg_database_size('{database}')"
            yield server.uri(database), form, lambda: int(server.ask(told)[0][0])


def _one(kind, objects):
    with opened(kind) as (store, form, on_disk):
        found = ask([programs.RELEASE / "bench" / "store_bench", "--store", store, "--store-format", form, "--objects", objects,
                     "--clusters", 10, "--updates", objects // 2], timeout=1200)
        return {**found, "bytesOnDisk": on_disk()}


def measure(sizes):
    return {"objects": sizes.objects, "stores": {kind: _one(kind, sizes.objects) for kind in _COLUMNS}}


def rows(kept):
    figures = kept["stores"]
    found = figures["stores"]

    def row(what, field, shown, target=""):
        return table_row(what, *(shown(found[kind][field]) for kind in _COLUMNS), target)

    def at_least(field, **wanted):
        return "; ".join(judged(f"{_COLUMNS[kind]} ≥ {least:,}/s", found[kind][field] >= least) for kind, least in wanted.items())

    def fast(value):
        return milliseconds(value * 1000)

    return [
        row(f"first sets of {figures['objects']:,} objects of 3.3 KiB, in 10 copies", "ingestPerSecond", a_second,
            at_least("ingestPerSecond", sqlite=60_000, postgres=30_000)),
        row("updates of any of them, 256 at a time", "updatesPerSecond", a_second),
        row("gets by name, one after the other", "getsPerSecond", a_second),
        row("a page of 500, p50", "pageP50", fast), row("p99", "pageP99", fast),
        row("a page of what has a label, p50", "labelledP50", fast), row("p99", "labelledP99", fast),
        row("on disk, an object, its log included", "bytesOnDisk", lambda value: size(value / figures["objects"])),
        row("memory of the process beside the sets that come", "rssBytes", size)]


PARTS = (Part("stores", "the stores alone", lambda _: heading("", *_COLUMNS.values(), "target"), "stores", measure, rows),)
