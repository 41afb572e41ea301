"""The copy that an informer's JSON lines add up to, and what an API server says it must be."""

import json

from .waiting import wait_until

_MEMBERS = ["type", "cluster", "group", "version", "resource", "namespace", "name", "resourceVersion", "object"]
_BEFORE_OBJECT = '"object":'


class Copy:
    """Replays the lines of one run of `informer --output json`, from this byte of its stdout on.

    Checks each line against those before it: the documented members in their order, nothing added twice, nothing
    changed or deleted that is not there, no object going back to an older version. Keys are (cluster, resource with
    group, namespace, name).
    """

    def __init__(self, informer, begin=0):
        self._informer = informer
        self._next = begin
        self._objects = {}
        self._texts = {}  # of the same keys, byte for byte
        self._rewinds = False
        self.synced = set()  # (cluster, resource with group)
        self.changes = []    # (type, key) in the order in which they came

    def allow_rewinds(self, allowed=True):
        """From now on versions may go back: the cluster is set back to a backup. False: not any more."""
        self._rewinds = allowed

    def refresh(self):
        """Takes the lines that have come since; returns self."""
        lines, self._next = self._informer.lines_from(self._next)
        for line in lines:
            self._take(line)
        return self

    def objects(self, cluster, resource):
        """{(namespace, name): object} of what is there now."""
        self.refresh()
        return {(one[2], one[3]): held for one, held in self._objects.items() if one[:2] == (cluster, resource)}

    def texts(self, cluster, resource):
        """{(namespace, name): JSON text of the object}, as the informer printed it."""
        self.refresh()
        return {(one[2], one[3]): text for one, text in self._texts.items() if one[:2] == (cluster, resource)}

    def names(self, cluster, resource, namespace=None):
        """The names of what is there now, sorted."""
        return sorted(name for space, name in self.objects(cluster, resource) if namespace in (None, space))

    def wait_for(self, kind, name, deadline=20, since=0):
        """Waits for a change of this type to an object of this name; returns its key."""
        def look():
            self.refresh()
            return next((key for change, key in self.changes[since:] if change == kind and key[3] == name), None)
        return wait_until(look, deadline, f"{kind} {name} in {self._informer.name}'s lines")

    def wait_synced(self, cluster, *resources, deadline=20):
        wait_until(lambda: self.refresh().synced >= {(cluster, one) for one in resources}, deadline,
                   f"{resources} of {cluster} are synced")
        return self

    def wait_until_equal(self, expected, cluster, resource, deadline=30):
        """Waits until the copy is what expected() returns: {(namespace, name): object}."""
        differences = "nothing was compared"

        def look():
            nonlocal differences
            differences = difference(expected(), self.objects(cluster, resource))
            return not differences
        try:
            wait_until(look, deadline, f"the copy of {resource} of {cluster} is equal", every=0.1)
        except AssertionError as error:
            raise AssertionError(f"{error}: {differences}") from None
        return self

    def _take(self, line):
        event = json.loads(line, parse_float=str)
        assert list(event) == _MEMBERS, f"members {list(event)} instead of {_MEMBERS}"
        resource = event["resource"] + ("." + event["group"] if event["group"] else "")
        if event["type"] == "SYNCED":
            assert event["object"] is None, line
            self.synced.add((event["cluster"], resource))
            return
        key = (event["cluster"], resource, event["namespace"], event["name"])
        held = self._objects.get(key)
        metadata = event["object"]["metadata"]
        assert (metadata.get("namespace", ""), metadata["name"]) == key[2:], f"{key} carries another object: {line}"
        assert metadata["resourceVersion"] == event["resourceVersion"], f"two versions in one line: {line}"
        assert (held is None) == (event["type"] == "ADDED"), f"{event['type']} of {key}, held: {held is not None}"
        if event["type"] == "DELETED":
            del self._objects[key], self._texts[key]
        else:
            assert event["type"] in ("ADDED", "MODIFIED"), line
            if held is not None and not self._rewinds and held["metadata"]["uid"] == metadata["uid"]:
                before = int(held["metadata"]["resourceVersion"])
                assert before <= int(metadata["resourceVersion"]), f"{key} went back from {before}: {line}"
            self._objects[key] = event["object"]
            self._texts[key] = line[line.index(_BEFORE_OBJECT) + len(_BEFORE_OBJECT):-1]
        self.changes.append((event["type"], key))


def difference(expected, found):
    """In words, shortly; empty if both are equal."""
    words = []
    for name, keys in (("missing", expected.keys() - found.keys()), ("left over", found.keys() - expected.keys()),
                       ("different", {key for key in expected.keys() & found.keys() if expected[key] != found[key]})):
        if keys:
            some = sorted(keys)[:5]
            words.append(f"{len(keys)} {name}: {some}")
            if name == "different":
                words.append(f"expected {json.dumps(expected[some[0]])[:600]} found {json.dumps(found[some[0]])[:600]}")
    return "; ".join(words)


def served(api, resource, namespace="", query="", managed_fields=False):
    """What the API server lists now, in the form of Copy.objects(). resource: "configmaps", "deployments.v1.apps"."""
    name, _, rest = resource.partition(".")
    version, _, group = rest.partition(".")
    root = f"/apis/{group}/{version}" if group else f"/api/{version or 'v1'}"
    path = root + (f"/namespaces/{namespace}" if namespace else "") + f"/{name}"
    answer = api.must("GET", path + (f"?{query}" if query else ""))
    items = {}
    for item in json.loads(json.dumps(answer["items"]), parse_float=str):
        item = {"kind": answer["kind"].removesuffix("List"), "apiVersion": answer["apiVersion"], **item}
        if not managed_fields:
            item["metadata"].pop("managedFields", None)
        items[(item["metadata"].get("namespace", ""), item["metadata"]["name"])] = item
    return items


def as_text(thing):
    """An object of served() as the bytes that an API server writes for it."""
    return json.dumps(thing, separators=(",", ":"), ensure_ascii=False)
