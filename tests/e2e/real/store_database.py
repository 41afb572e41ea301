"""The database of informers with --store postgresql, read from outside as any user may, and held to what it must be."""

import json

_SUM = 1 << 128
_ADDED, _DELETED = 0, 2
# One statement, so that all of it is of one moment.
_EVERYTHING = """SELECT json_build_object(
  'clock', (SELECT row_to_json(t) FROM clock t),
  'changes', (SELECT json_agg(t ORDER BY version) FROM
    (SELECT version, type, scope, namespace, name, previous_version, previous FROM change WHERE version > (SELECT floor FROM clock)) t),
  'objects', (SELECT json_agg(t) FROM
    (SELECT scope, namespace, name, uid, resource_version, version, hash_high, hash_low, labels, owners, body FROM object) t),
  'scopes', (SELECT json_agg(t) FROM (SELECT id, count, sum_high, sum_low FROM scope) t))"""


class StoreDatabase:
    """A database of its own on a Postgres part, and a role that owns it. `url` is what --store takes; the password goes by
    environment()."""

    def __init__(self, server, password="s3cret/?@", schema="tinf"):
        self.password = password
        self.schema = schema
        self.role = server.create_role(password)
        self.name = server.create_database(owner=self.role)
        self.server = server

    @property
    def url(self):
        return self.server.uri(self.name, self.role)

    def url_by(self, relay):
        """The same by way of a relay to its server."""
        return self.server.uri(self.name, self.role, port=relay.port)

    def environment(self, **more):
        return {"PGPASSWORD": self.password, **more}

    def ask(self, sql, *values):
        """All rows, as lists of text."""
        return self.server.ask(f"SET search_path TO {self.schema}; {sql}", *values, database=self.name)

    def change(self, sql, *values):
        """Behind the informers' backs; returns how many rows were changed."""
        changed = f"WITH changed AS ({sql} RETURNING 1) SELECT count(*) FROM changed"
        return int(self.ask(changed, *values)[0][0])

    def exists(self):
        """Whether an informer has made its tables."""
        return self.server.ask("SELECT to_regclass(%s) IS NOT NULL", f"{self.schema}.clock", database=self.name) == [["t"]]

    def version(self):
        return int(self.ask("SELECT version FROM clock")[0][0])

    def changed_since(self, version):
        """[(type, name)] of what the log retains, sorted"""
        return sorted(map(tuple, self.ask("SELECT type, name FROM changes WHERE version > %s", version)))

    def texts(self, cluster, resource, group=""):
        """{(namespace, name): bytes of the object as text}"""
        rows = self.ask("SELECT namespace, name, object::text FROM objects WHERE cluster = %s AND resource = %s AND api_group = %s",
                        cluster, resource, group)
        return {(namespace, name): text for namespace, name, text in rows}

    def holders(self):
        """{cluster: the process that holds it, "" if none}"""
        return dict(self.ask("SELECT name, held_by FROM clusters"))

    def faults(self, log=True):
        """In words, what contradicts what the store promises of itself; empty if nothing does.

        log=False: somebody has altered rows, of which the log of changes knows nothing.
        """
        everything = json.loads(self.ask(_EVERYTHING)[0][0])
        return list(_faults(everything, log))


def _faults(everything, with_log):
    clock = everything["clock"]
    newest = {}  # By key: the row of the newest change.
    if with_log:
        yield from _faults_of_log(everything["changes"] or [], clock, newest)
    yield from _faults_of_rows(everything, clock["version"], clock["floor"] if with_log else clock["version"], newest)


def _faults_of_log(log, clock, newest):
    numbers = [one["version"] for one in log]
    if numbers != list(range(clock["floor"] + 1, clock["version"] + 1)):
        yield (f"the log does not have each version from {clock['floor'] + 1} to {clock['version']} once: it has {len(numbers)},"
               f" {numbers[:3]} to {numbers[-3:]}")
    for one in log:
        key = (one["scope"], one["namespace"], one["name"])
        number, kind, before = one["version"], one["type"], newest.get(key)
        if before and before["type"] != _DELETED and one["previous_version"] != before["version"]:
            yield f"change {before['version']} of {key} is followed by {number}, which says {one['previous_version']}"
        if before and (before["type"] == _DELETED) != (kind == _ADDED):
            yield f"change {number} of {key} is of type {kind} after one of type {before['type']}"
        if (kind == _ADDED) != (one["previous"] is None):
            yield f"change {number} of type {kind} holds {'no' if one['previous'] is None else 'a'} state before it"
        newest[key] = one


def _faults_of_rows(everything, version, floor, newest):
    seen, sums = {}, {}
    for one in everything["objects"] or []:
        key = (one["scope"], one["namespace"], one["name"])
        number, last = one["version"], newest.pop(key, None)
        if number > version:
            yield f"{key} has version {number}, the store {version}"
        if seen.setdefault(number, key) != key:
            yield f"{key} and {seen[number]} have one version: {number}"
        if last is None and number > floor:
            yield f"{key} has version {number}, of which the log knows nothing"
        if last is not None and (last["type"] == _DELETED or last["version"] != number):
            yield f"{key} has version {number}, its newest change is {last['version']} of type {last['type']}"
        metadata = json.loads(one["body"])["metadata"]
        if (metadata.get("namespace", ""), metadata["name"], metadata["uid"], metadata["resourceVersion"]) != (
                one["namespace"], one["name"], one["uid"], one["resource_version"]):
            yield f"{key} has a body of something else"
        if (metadata.get("labels") or {}) != (one["labels"] or {}):
            yield f"{key} is not found by its labels"
        if {owner["uid"] for owner in metadata.get("ownerReferences") or []} != set(one["owners"] or []):
            yield f"{key} is not found by its owners"
        count, total = sums.get(key[0], (0, 0))
        sums[key[0]] = (count + 1, (total + _number(one["hash_high"], one["hash_low"])) % _SUM)
    for key, last in newest.items():
        if last["type"] != _DELETED:
            yield f"{key} is gone, its newest change is {last['version']} of type {last['type']}"
    for one in everything["scopes"] or []:
        if sums.get(one["id"], (0, 0)) != (one["count"], _number(one["sum_high"], one["sum_low"])):
            yield (f"scope {one['id']} is said to have {one['count']} objects and their sum, its rows come to"
                   f" {sums.get(one['id'], (0, 0))[0]}")


def _number(high, low):
    return ((high % (1 << 64)) << 64) + low % (1 << 64)
