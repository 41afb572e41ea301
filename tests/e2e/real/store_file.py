"""The file of an informer with --store sqlite, read from outside as any user may, and held to what it must be."""

import contextlib
import json
import os
import pathlib
import shutil
import sqlite3

_PARTS = ("", "-wal")  # -shm is made anew by whoever opens it first
_SUM = 1 << 128


class StoreFile:
    """Reads through connections of its own. `url` is what --store takes."""

    def __init__(self, path):
        self.path = pathlib.Path(path)

    @property
    def url(self):
        return f"sqlite://{self.path}"

    def environment(self):
        return {}

    def exists(self):
        return self.path.exists()

    def ask(self, sql, *values):
        """All rows, without ever writing."""
        connection = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=10)
        try:
            return connection.execute(sql, values).fetchall()
        finally:
            connection.close()

    def change(self, sql, *values):
        """Behind the informer's back; returns how many rows were changed."""
        connection = sqlite3.connect(self.path, timeout=20)
        try:
            with connection:
                return connection.execute(sql, values).rowcount
        finally:
            connection.close()

    def version(self):
        return self.ask("SELECT value FROM meta WHERE name = 'version'")[0][0]

    def changed_since(self, version):
        """[(type, name)] of what the log retains, sorted"""
        return sorted(self.ask("SELECT type, name FROM changes WHERE version > ?", version))

    def texts(self, cluster, resource, group=""):
        """{(namespace, name): bytes of the object as text}"""
        rows = self.ask("SELECT namespace, name, object FROM objects WHERE cluster = ? AND resource = ? AND api_group = ?",
                        cluster, resource, group)
        return {(namespace, name): text for namespace, name, text in rows}

    def copies(self):
        """{(cluster, resource): number of objects} of the copies that are not empty."""
        return {(cluster, resource): count for cluster, resource, count in
                self.ask("SELECT cluster, resource, count(*) FROM objects GROUP BY cluster, resource")}

    def copied_to(self, folder):
        """A copy as it lies on the disk now; only of a file that nobody has open. Whoever opens the copy repairs it alone."""
        folder = pathlib.Path(folder)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for part in _PARTS:
            source = self.path.with_name(self.path.name + part)
            if source.exists():
                shutil.copyfile(source, folder / source.name)
        return StoreFile(folder / self.path.name)

    @contextlib.contextmanager
    def locked(self):
        """Nobody else can write to it inside this."""
        connection = sqlite3.connect(self.path, timeout=20, isolation_level=None)
        try:
            connection.execute("BEGIN EXCLUSIVE")
            yield
        finally:
            connection.close()

    def faults(self, log=True):
        """In words, what contradicts what the file promises of itself; empty if nothing does.

        log=False: somebody has altered rows, of which the log of changes knows nothing.
        """
        connection = sqlite3.connect(self.path, timeout=10)
        try:
            connection.execute("BEGIN")  # All questions about one moment.
            return list(_faults(connection, log))
        finally:
            connection.close()

    def size(self):
        return sum(os.path.getsize(f"{self.path}{part}") for part in _PARTS if os.path.exists(f"{self.path}{part}"))


def _faults(connection, with_log):
    def rows(sql, *values):
        return connection.execute(sql, values).fetchall()

    whole = [row[0] for row in rows("PRAGMA integrity_check")]
    if whole != ["ok"]:
        yield f"integrity_check: {whole[:3]}"
        return
    meta = dict(rows("SELECT name, value FROM meta"))
    version = meta["version"]
    newest = {}  # By key: the row of the newest change.
    if with_log:
        yield from _faults_of_log(rows, meta, newest)
    yield from _faults_of_rows(rows, version, meta["floor"] if with_log else version, newest)


def _faults_of_log(rows, meta, newest):
    version, floor = meta["version"], meta["floor"]
    log = rows("SELECT version, type, scope, namespace, name, next, previous_version, previous FROM change ORDER BY version")
    if [one[0] for one in log] != list(range(floor + 1, version + 1)):
        yield f"the log does not have each version from {floor + 1} to {version} once: it has {len(log)}"
    if meta["log_bytes"] != sum(len(one[7].encode()) for one in log if one[7] is not None):
        yield "the bytes of the log are not those that are counted"
    for one in log:
        number, kind, *key, following, previous, state = one
        key = tuple(key)
        before = newest.get(key)
        if before and before[1] != 2 and (before[5] != number or previous != before[0]):
            yield f"change {before[0]} of {key} is followed by {number}, but says {before[5]}; that says {previous}"
        if before and (before[1] == 2) != (kind == 0):
            yield f"change {number} of {key} is of type {kind} after one of type {before[1]}"
        if (kind == 0) != (state is None):
            yield f"change {number} of type {kind} holds {'no' if state is None else 'a'} state before it"
        newest[key] = one
    for key, one in newest.items():
        if one[5] is not None:
            yield f"change {one[0]} of {key} is the newest, but names a next one: {one[5]}"


def _faults_of_rows(rows, version, floor, newest):
    marks = {"label": {}, "owner": {}}  # By object.
    for table, found in marks.items():
        for object_, *words in rows(f"SELECT object, {'name, value' if table == 'label' else 'uid'} FROM {table}"):
            found.setdefault(object_, set()).add(tuple(words))
    seen, sums = {}, {}
    for id_, scope, namespace, name, uid, resource_version, number, high, low, body in rows(
            "SELECT id, scope, namespace, name, uid, resource_version, version, hash_high, hash_low, body FROM object"):
        key = (scope, namespace, name)
        last = newest.pop(key, None)
        if number > version:
            yield f"{key} has version {number}, the file {version}"
        if seen.setdefault(number, key) != key:
            yield f"{key} and {seen[number]} have one version: {number}"
        if last is None and number > floor:
            yield f"{key} has version {number}, of which the log knows nothing"
        if last is not None and (last[1] == 2 or last[0] != number):
            yield f"{key} has version {number}, its newest change is {last[0]} of type {last[1]}"
        metadata = json.loads(body)["metadata"]
        if (metadata.get("namespace", ""), metadata["name"], metadata["uid"], metadata["resourceVersion"]) != (
                namespace, name, uid, resource_version):
            yield f"{key} has a body of something else"
        labels = {(label, value) for label, value in (metadata.get("labels") or {}).items()}
        owners = {(owner["uid"],) for owner in metadata.get("ownerReferences") or []}
        if labels != marks["label"].pop(id_, set()):
            yield f"{key} is not found by its labels"
        if owners != marks["owner"].pop(id_, set()):
            yield f"{key} is not found by its owners"
        count, total = sums.get(scope, (0, 0))
        sums[scope] = (count + 1, (total + _number(high, low)) % _SUM)
    for key, last in newest.items():
        if last[1] != 2:
            yield f"{key} is gone, its newest change is {last[0]} of type {last[1]}"
    for id_, count, high, low in rows("SELECT id, count, sum_high, sum_low FROM scope"):
        if sums.get(id_, (0, 0)) != (count, _number(high, low)):
            yield f"scope {id_} is said to have {count} objects and their sum, its rows come to {sums.get(id_, (0, 0))[0]}"
    for table, found in marks.items():
        if found:
            yield f"{table} names objects that are not there: {sorted(found)[:5]}"


def _number(high, low):
    return ((high % (1 << 64)) << 64) + low % (1 << 64)
