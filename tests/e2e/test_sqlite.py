"""What docs/storage.md promises of --store sqlite, on real parts: the file outlives its informer at any moment, only
differences travel after that, and whatever befalls the file is said, waited for and made good.
"""

import json
import pathlib
import re
import resource

from real import (ApiServer, Disk, Etcd, RestartTests, StoreCase, StoreFile, as_text, config_map, served, unwritable, wait_until)

DOCUMENT = pathlib.Path(__file__).resolve().parents[2] / "docs" / "storage.md"


class SqliteCase(StoreCase):
    """Each test has a broker, a namespace and a file of its own."""

    @classmethod
    def start_parts(cls):
        cls.api = cls.start_for_all(ApiServer(cls.start_for_all(Etcd())))

    def setUp(self):
        super().setUp()
        folder = self.folder / f"file-{self.namespace}"
        folder.mkdir()
        self.store = StoreFile(folder / "fleet.db")


class Restarts(RestartTests, SqliteCase):
    def left(self):
        """A copy: whoever opens a file that was left repairs it."""
        return self.store.copied_to(self.folder / "left") if self.store.exists() else None

    def check_left(self, left, informer, number):
        if left.ask("SELECT count(*) FROM sqlite_schema")[0][0] == 0:  # Before it had begun.
            self.assertEqual(informer.copy.refresh().changes, [])
            return 0
        return super().check_left(left, informer, number)

    def test_it_continues_after_provider_and_informer_were_both_away(self):
        self.api.add_config_maps(300, self.namespace, prefix="old", size=1024)
        provider = self.provider()
        informer = self.follow()
        self.wait_equal(informer)
        whole = informer.endpoint.metric("tinf_transport_received_bytes_total")
        self.assertEqual((informer.terminate(), provider.terminate()), (0, 0))
        self.change_behind_the_back()
        self.start_again(informer)
        # What the file holds is told before anybody else is there.
        wait_until(lambda: self.store.ask("SELECT name, present FROM clusters") == [("c1", 0)], 10, "nobody has been heard of yet")
        provider.start()
        self.wait_equal(informer)
        informer.endpoint.wait_ready()
        self.check_store()
        self.assertEqual(len(informer.copy.changes), 300 + 5)
        self.assertEqual(provider.endpoint.metric("tinf_provider_snapshots_total"), 0)
        self.assertLess(informer.endpoint.metric("tinf_transport_received_bytes_total"), whole / 4)
        self.assertEqual(self.store.ask("SELECT name, present, objects FROM clusters"), [("c1", 1, 299 + 1)])

    def test_without_output_it_is_ready_when_the_file_is_equal(self):
        self.api.add_config_maps(100, self.namespace, prefix="old")
        self.provider()
        informer = self.follow(output="none")
        informer.endpoint.wait_ready()
        self.check_store()
        informer.kill()
        self.change_behind_the_back()
        informer.start()
        informer.endpoint.wait_ready()
        self.check_store()
        self.assertEqual(informer.lines, [])


class FaultCase(SqliteCase):
    def refused(self, pattern, file=None):
        """An informer on this file ends by itself, and says so in one line."""
        status, lines, errors = self.run_to_end("informer", "--broker", self.broker.url, "-r", "configmaps", "--store",
                                                (file or self.store).url)
        self.assertNotEqual(status, 0)
        self.assertEqual(lines, [])
        self.assertEqual(len(errors), 1, errors)
        self.assertRegex(errors[0], rf"database {(file or self.store).path}: .*{pattern}")


class FileCannotBeWritten(FaultCase):
    def play_no_room(self, fill, pattern, make_room):
        """Changes go on while the file cannot grow: none of them is told, all of them come."""
        provider, informer = self.synced()
        fill(informer)
        mark = len(informer.errors)
        for number in range(60):
            self.api.put(self.path, config_map(f"large-{number}", "x" * 50_000))
        self.change_behind_the_back()
        informer.wait_for_error(f"state=store-refuses .*database {self.store.path}: .*{pattern}", deadline=30, since=mark)
        informer.endpoint.wait_not_ready(f"configmaps of c1 is not live: database {self.store.path}: .*{pattern}")
        # What was told is in the file.
        told = informer.copy.texts("c1", "configmaps")
        self.assertEqual({key: text for key, text in self.store.texts("c1", "configmaps").items() if key in told}, told)
        self.assertNotEqual(len(told), len(self.expected()))
        make_room(informer)
        self.recovers(informer, provider)

    def test_a_full_disk_is_said_and_waited_for(self):
        disk = self.start(Disk(megabytes=32))
        self.store = StoreFile(disk.mount / "fleet.db")
        self.play_no_room(lambda informer: disk.fill(), "the disk is full: make room", lambda informer: disk.make_room())

    def test_a_file_that_may_not_grow_is_said_and_waited_for(self):
        def limit(informer, size):
            resource.prlimit(informer.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        self.play_no_room(lambda informer: limit(informer, self.store.size() + 100_000), "reading or writing it failed: look after its disk, and after limits on the size of files",
                          lambda informer: limit(informer, resource.RLIM_INFINITY))

    def test_a_locked_file_is_said_and_waited_for(self):
        provider, informer = self.synced()
        with self.store.locked():
            self.change_behind_the_back()
            informer.endpoint.wait_not_ready(f"database {self.store.path}: another process has locked it: end that")
            self.assertEqual(len(informer.copy.refresh().changes), 100)
            informer.wait_for_error(f"database {self.store.path}: another process has locked it")
            # What comes to be known of a cluster waits as well.
            provider.kill()
            informer.wait_for_error("the cluster is away")
            provider.start()
            informer.wait_for_error(f"informer: database {self.store.path}: another process has locked it.*cluster=c1")
            self.refused("another process .pid [0-9]+. writes to it")
        self.wait_equal(informer)
        informer.endpoint.wait_ready(60)
        self.check_store()
        self.assertEqual(provider.endpoint.metric("tinf_provider_snapshots_total"), 0)
        wait_until(lambda: self.store.ask("SELECT name, present FROM clusters") == [("c1", 1)], 10, "what is known of the cluster is stored")

    def test_a_locked_file_ends_the_start_and_does_not_hold_up_the_end(self):
        _, informer = self.synced()
        with self.store.locked():
            self.change_behind_the_back()
            informer.endpoint.wait_not_ready("another process has locked it")
            self.assertEqual(informer.terminate(), 0)  # Within 5 s, or it fails.
            self.refused("another process has locked it: end that process's transaction")
        self.start_again(informer)
        self.wait_equal(informer)

    def test_a_lock_at_the_moment_of_the_end_does_not_hold_it_up(self):
        _, informer = self.synced()
        with self.store.locked():
            self.change_behind_the_back()
            informer.endpoint.wait_ready()
            self.assertEqual(informer.terminate(), 0)  # Within 5 s, or it fails.
        self.assertEqual(self.store.faults(), [])


class FileCannotBeUsed(FaultCase):
    def test_what_cannot_be_a_file_is_refused_in_one_line(self):
        self.refused("No such file or directory.: the folder must exist", StoreFile(self.folder / "nowhere" / "fleet.db"))
        (self.store.path.parent / "folder").mkdir()
        self.refused("it cannot be opened: ", StoreFile(self.store.path.parent / "folder"))
        text = StoreFile(self.store.path.parent / "text")
        text.path.write_text("no database, but somebody's letter. " * 500)
        before = text.path.read_bytes()
        self.refused("it is no SQLite database: name another file", text)
        self.assertEqual(text.path.read_bytes(), before)

    def test_what_this_user_may_not_write_is_refused_in_one_line(self):
        _, informer = self.synced()
        self.assertEqual(informer.terminate(), 0)
        with unwritable(self.store.path):
            self.refused("it cannot be written: give this user the right|it cannot be opened: ")
        other = self.store.path.parent / "other"
        other.mkdir()
        with unwritable(other):
            self.refused("other/fleet.db-lock cannot be made .*this user may write in it", StoreFile(other / "fleet.db"))
        self.start_again(informer)
        self.wait_equal(informer)

    def test_the_file_of_another_program_or_of_a_newer_one_is_refused_and_left_alone(self):
        other = StoreFile(self.store.path.parent / "other.db")
        other.change("CREATE TABLE letters(text)")
        before = other.path.read_bytes()
        self.refused("it holds another program's tables: name another file", other)
        self.assertEqual(other.path.read_bytes(), before)
        _, informer = self.synced()
        self.assertEqual(informer.terminate(), 0)
        self.store.change("PRAGMA user_version = 99")
        before = self.store.path.read_bytes()
        self.refused("its schema has version 99, this program knows up to 2: use the newer program, or another file")
        self.assertEqual(self.store.path.read_bytes(), before)

    def test_a_second_informer_on_the_same_file_is_refused_and_the_first_goes_on(self):
        provider, informer = self.synced()
        self.refused(rf"another process .pid {informer.pid}. writes to it: stop that one, or use another file")
        self.change_behind_the_back()
        self.recovers(informer, provider)


class FileWasAltered(FaultCase):
    def test_bytes_that_were_damaged_while_it_was_away_are_found(self):
        provider, informer = self.synced()
        for what in ("a body", "a page"):
            with self.subTest(what):
                self.assertEqual(informer.terminate(), 0)
                content = bytearray(self.store.path.read_bytes())
                at = content.index(as_text(self.expected()[(self.namespace, "old-00050")])[-700:].encode())
                if what == "a body":
                    content[at:at + 100] = b"x" * 100
                else:
                    at -= at % 16384
                    content[at:at + 16384] = b"\xff" * 16384
                self.store.path.write_bytes(content)
                self.start_again(informer)
                if what == "a page":
                    informer.wait_for_error(f"database {self.store.path}: it is damaged: move it and its -wal file away and start again")
                    informer.endpoint.wait_not_ready(f"database {self.store.path}: it is damaged: move it")
                    # As the message says.
                    self.assertEqual(informer.terminate(), 0)
                    for part in ("", "-wal"):
                        self.store.path.with_name(f"fleet.db{part}").unlink(missing_ok=True)
                    self.start_again(informer)
                informer.copy.wait_synced("c1", "configmaps")
                informer.endpoint.wait_ready()
                self.check_store()
        self.assertEqual(provider.endpoint.metric("tinf_provider_snapshots_total"), 2)

    def test_what_is_altered_with_sql_behind_its_back_is_found_and_repaired(self):
        provider, informer = self.synced(200)
        change = self.store.change
        mark = len(informer.errors)
        key = f"WHERE namespace = '{self.namespace}' AND name ="
        altered = [change(f"UPDATE object SET body = replace(body, 'filling', 'felling') {key} 'old-00150'"),
                   change(f"UPDATE object SET body = 'nothing' {key} 'old-00100'"),
                   change(f"UPDATE object SET name = 'aa-mine' {key} 'old-00120'"),
                   change(f"DELETE FROM object {key} 'old-00199'"),
                   change("INSERT INTO object(scope, namespace, name, uid, resource_version, version, hash_high, hash_low, labels, body)"
                          " SELECT scope, namespace, 'zz-' || name, uid, resource_version, version, hash_high, hash_low, labels, body"
                          " FROM object WHERE name < 'old-00003' AND name > 'b'")]
        self.assertEqual(altered, [1, 1, 1, 1, 3])
        informer.wait_for_error("a store differs from what was received: it is repaired", 35, since=mark)
        self.wait_stored(deadline=10)
        self.assertEqual(self.store.faults(log=False), [])
        informer.endpoint.wait_ready()
        self.assertEqual(provider.endpoint.metric("tinf_provider_snapshots_total"), 1)
        mark = len(informer.errors)
        self.assertEqual(change("DELETE FROM object WHERE name <> 'old-00007'"), 199)
        informer.wait_for_error("a store differs from what was received: it is repaired", 35, since=mark)
        self.wait_stored(deadline=10)
        self.assertEqual(self.store.faults(log=False), [])
        informer.endpoint.wait_ready()

    def test_what_was_altered_with_sql_while_it_was_away_is_repaired(self):
        provider, informer = self.synced(200)
        self.assertEqual(informer.terminate(), 0)
        self.store.change("UPDATE object SET body = replace(body, 'filling', 'felling') WHERE name = 'old-00001'")
        self.store.change("DELETE FROM object WHERE name = 'old-00002'")
        self.store.change("UPDATE object SET name = 'zz' WHERE name = 'old-00003'")
        self.start_again(informer)
        informer.endpoint.wait_ready()
        self.wait_stored(deadline=30)
        self.assertEqual(self.store.faults(log=False), [])
        self.assertEqual(provider.endpoint.metric("tinf_provider_snapshots_total"), 1)


def gizmos(*versions):
    """A definition that serves these versions, the last one in storage."""
    everything = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "gizmos.kept.example.com"},
            "spec": {"group": "kept.example.com", "scope": "Namespaced",
                     "names": {"plural": "gizmos", "singular": "gizmo", "kind": "Gizmo"},
                     "versions": [{"name": name, "served": name in versions, "storage": name == versions[-1], "schema": everything}
                                  for name in ("v1", "v2")]}}


class WhatIsAskedFor(SqliteCase):
    def setUp(self):
        super().setUp()
        self.api.add_config_maps(60, self.namespace, prefix="old", size=1024, labels={"shade": "dark"})
        self.api.add_config_maps(60, self.namespace, prefix="new", size=1024, labels={"shade": "light"})

    def follow_again(self, informer, *flags):
        """The same file for another informer, when this one has ended."""
        self.assertEqual(informer.terminate(), 0)
        informer = self.follow(*flags)
        informer.endpoint.wait_ready()
        return informer

    def test_what_is_asked_for_no_more_is_deleted_and_a_cluster_that_is_away_keeps_its_copies(self):
        self.api.put(f"/api/v1/namespaces/{self.namespace}/services", {
            "apiVersion": "v1", "kind": "Service", "metadata": {"name": "one"}, "spec": {"ports": [{"port": 80}]}})
        providers = {name: self.provider(cluster=name) for name in ("c1", "c2")}
        informer = self.follow(resources="configmaps services")
        for name in providers:
            informer.copy.wait_synced(name, "configmaps", "services")
        informer.endpoint.wait_ready()
        here, away = {("c1", "configmaps"): 120, ("c1", "services"): 1}, {("c2", "configmaps"): 120, ("c2", "services"): 1}
        self.assertEqual(self.store.copies(), here | away)
        self.assertEqual(providers["c2"].terminate(), 0)
        del here["c1", "services"]
        informer = self.follow_again(informer)
        informer.wait_for_error("not asked for any more: its copy was deleted cluster=c1 resource=services")
        self.assertEqual(self.store.copies(), here | away)
        self.assertEqual(self.store.ask("SELECT type, name FROM changes WHERE resource = 'services' AND cluster = 'c1' ORDER BY version"),
                         [("ADDED", "one"), ("DELETED", "one")])
        self.assertEqual(self.store.ask("SELECT name, present, objects FROM clusters ORDER BY name"), [("c1", 1, 120), ("c2", 0, 121)])
        providers["c2"].start()
        informer.wait_for_error("not asked for any more: its copy was deleted cluster=c2 resource=services")
        informer.copy.wait_synced("c2", "configmaps")
        informer.endpoint.wait_ready()
        self.assertEqual(self.store.copies(), {key: count for key, count in (here | away).items() if key[1] == "configmaps"})
        self.check_store()

    def test_another_selector_or_metadata_only_on_the_same_file_becomes_equal(self):
        provider = self.provider()
        informer = self.follow()
        informer.endpoint.wait_ready()
        first = provider.endpoint.metric("tinf_provider_snapshots_total")
        whole = informer.endpoint.metric("tinf_transport_received_bytes_total")
        dark = served(self.api, "configmaps", self.namespace, "labelSelector=shade%3Ddark")
        self.assertEqual(len(dark), 60)
        informer = self.follow_again(informer, "-l", "shade=dark")
        self.check_store(expected=dark)
        # To leave out what is there costs no objects.
        self.assertLess(informer.endpoint.metric("tinf_transport_received_bytes_total"), whole / 4)
        self.assertEqual(provider.endpoint.metric("tinf_provider_snapshots_total"), first)
        informer = self.follow_again(informer, "-l", "shade=nothing")
        self.check_store(expected={})
        # Where nothing is held, no position of another question is gone on from.
        informer = self.follow_again(informer)
        self.check_store()
        plain = self.informer("-r", "configmaps", "-n", self.namespace, "--metadata-only", "--client-id", "plain")
        plain.copy.wait_synced("c1", "configmaps")
        informer = self.follow_again(informer, "--metadata-only")
        metadata = plain.copy.texts("c1", "configmaps")
        self.assertEqual(len(metadata), 120 + ((self.namespace, "kube-root-ca.crt") in metadata))
        self.assertNotIn("data", plain.copy.objects("c1", "configmaps")[self.namespace, "old-00000"])
        self.assertEqual(self.store.texts("c1", "configmaps"), metadata)
        self.assertEqual(self.store.faults(), [])
        informer = self.follow_again(informer)
        self.check_store()

    def check_gizmos(self, version):
        expected = served(self.api, f"gizmos.{version}.kept.example.com", self.namespace)
        self.assertEqual(len(expected), 20)

        def held():
            return {key: json.loads(text) for key, text in self.store.texts("c1", "gizmos", "kept.example.com").items()}
        wait_until(lambda: held() == expected, 60, f"the gizmos of {version} are there", every=0.1)
        self.assertEqual(self.store.faults(), [])
        self.assertEqual(self.store.ask("SELECT DISTINCT api_version FROM objects WHERE resource = 'gizmos'"), [(version,)])

    def test_a_definition_whose_version_moves_takes_its_copy_along(self):
        definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"

        def serve(*versions):
            thing = gizmos(*versions)
            status, held = self.api.request("GET", f"{definitions}/gizmos.kept.example.com")
            if status == 200:
                thing["metadata"]["resourceVersion"] = held["metadata"]["resourceVersion"]
                self.api.must("PUT", f"{definitions}/gizmos.kept.example.com", thing)
            else:
                self.api.must("POST", definitions, thing)
            path = f"/apis/kept.example.com/{versions[-1]}/namespaces/{self.namespace}/gizmos"
            wait_until(lambda: self.api.request("GET", path)[0] == 200, 20, f"{versions} are served")
            return path
        path = serve("v1")
        self.addCleanup(self.api.request, "DELETE", f"{definitions}/gizmos.kept.example.com")
        for number in range(20):
            self.api.put(path, {"apiVersion": "kept.example.com/v1", "kind": "Gizmo", "metadata": {"name": f"gizmo-{number}"},
                                "spec": {"number": number}})
        provider = self.provider()
        informer = self.follow(resources="gizmos")
        informer.endpoint.wait_ready()
        self.check_gizmos("v1")
        # While it looks on.
        serve("v2")
        self.check_gizmos("v2")
        informer.endpoint.wait_ready()
        # While it is away, and its provider comes back with the other one alone.
        self.assertEqual(informer.terminate(), 0)
        serve("v1")
        self.assertEqual(provider.terminate(), 0)
        provider.start()
        self.start_again(informer)
        informer.endpoint.wait_ready()
        self.check_gizmos("v1")
        self.assertEqual(self.store.copies(), {("c1", "gizmos"): 20})


class ForSqlUsers(SqliteCase):
    """The views and the queries of docs/storage.md, as they stand there."""

    def test_views_and_worked_queries_give_what_they_say(self):
        text = DOCUMENT.read_text().partition("## What a database promises")[0]
        queries = re.findall(r"```sql\n(.*?)```", text, re.DOTALL)
        self.assertEqual(len(queries), 3)
        views = {name: re.findall(r"`(\w+)`", columns) for name, columns in re.findall(r"^\| `(\w+)` \| (.*) \|$", text, re.MULTILINE)
                 if name in ("objects", "clusters", "events", "changes")}
        self.assertEqual(len(views), 4)
        self.api.put(f"/apis/apps/v1/namespaces/{self.namespace}/deployments", {
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "shop", "labels": {"app.kubernetes.io/name": "shop"}},
            "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "shop"}}, "template": {
                "metadata": {"labels": {"app": "shop"}}, "spec": {"containers": [{"name": "one", "image": "shop:1"}]}}}})
        owner = self.api.must("GET", f"/apis/apps/v1/namespaces/{self.namespace}/deployments/shop")["metadata"]["uid"]
        for number, image in enumerate(("shop:1", "shop:1", "till:2")):
            self.api.put(f"/api/v1/namespaces/{self.namespace}/pods", {
                "apiVersion": "v1", "kind": "Pod",
                "metadata": {"name": f"pod-{number}", "labels": {"app.kubernetes.io/name": "shop" if number else "other"},
                             "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "shop", "uid": owner}]},
                "spec": {"containers": [{"name": "one", "image": image}]}})
        self.api.put(f"/api/v1/namespaces/{self.namespace}/events", {
            "apiVersion": "v1", "kind": "Event", "metadata": {"name": "said"}, "type": "Warning", "reason": "Full",
            "message": "no room", "lastTimestamp": "2026-01-02T03:04:05Z",
            "involvedObject": {"kind": "Pod", "name": "pod-0", "namespace": self.namespace}})
        self.provider("--allow", "events")
        informer = self.follow(resources="pods deployments.apps events")
        informer.endpoint.wait_ready()
        ask = self.store.ask
        for view, columns in views.items():
            ask(f"SELECT {', '.join(columns)} FROM {view}")
        images, unavailable, shop = queries
        self.assertEqual(ask(images), [("shop:1", 2, 1), ("till:2", 1, 1)])
        self.assertEqual(ask(unavailable), [("c1", self.namespace, "shop", 2, 0)])
        self.assertEqual(sorted(ask(shop)), [("c1", "deployments", self.namespace, "shop"), ("c1", "pods", self.namespace, "pod-1"),
                                             ("c1", "pods", self.namespace, "pod-2")])
        self.assertEqual(ask("SELECT count(*) FROM owner JOIN objects ON objects.id = owner.object WHERE owner.uid = ?", owner), [(3,)])
        self.assertEqual(ask("SELECT cluster, namespace, last_seen, type, reason, kind, name, message FROM events"),
                         [("c1", self.namespace, "2026-01-02T03:04:05Z", "Warning", "Full", "Pod", "pod-0", "no room")])
        self.assertEqual(ask("SELECT name, kubernetes <> '', present, objects FROM clusters"), [("c1", 1, 1, 5)])
        uid = self.api.must("GET", "/api/v1/namespaces/kube-system")["metadata"]["uid"]
        self.assertEqual(ask("SELECT uid FROM clusters"), [(uid,)])
        self.assertIn(("pods",), ask("SELECT value ->> 'resource' FROM clusters, json_each(offer)"))
        self.assertEqual(ask("SELECT labels ->> '$.\"app.kubernetes.io/name\"' FROM objects WHERE name = 'pod-0'"), [("other",)])
        before = as_text(served(self.api, "pods", self.namespace)[self.namespace, "pod-0"])
        self.api.must("PATCH", f"/api/v1/namespaces/{self.namespace}/pods/pod-0", {"metadata": {"labels": {"new": "one"}}},
                      content_type="application/merge-patch+json")
        changes = "SELECT type, previous FROM changes WHERE resource = 'pods' AND name = 'pod-0' ORDER BY version"
        wait_until(lambda: len(ask(changes)) == 2, 10, "the change is in the log")
        self.assertEqual(ask(changes), [("ADDED", None), ("MODIFIED", before)])
        self.assertEqual(self.store.faults(), [])
        # The application's objects are found by their label, not by reading all.
        plan = " ".join(row[3] for row in ask(f"EXPLAIN QUERY PLAN {shop}"))
        self.assertRegex(plan, "SEARCH label USING PRIMARY KEY")
        self.assertNotRegex(plan, "SCAN (o|object)\\b")
