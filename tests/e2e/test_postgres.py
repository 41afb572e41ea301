"""What docs/storage.md promises of --store postgresql, on real parts: copies that are equal byte for byte, whatever befalls
the database server, and several informers over one database that never undo each other's work.
"""

import http.client
import json
import pathlib
import random
import threading
import time
import urllib.parse

from real import (ApiServer, Churn, Copy, Daemon, Etcd, Kubectl, Mosquitto, Postgres, Relay, RestartTests, StoreCase,
                  StoreDatabase, config_map, served, wait_until)
from real.restarts import KILLS, SEED

TAKEN_OVER = 60  # seconds: the lease, and what a busy machine adds


class PostgresCase(StoreCase):
    """Each test has a broker, a namespace, a role and a database of its own."""

    @classmethod
    def start_parts(cls):
        cls.api = cls.start_for_all(ApiServer(cls.start_for_all(Etcd())))
        cls.server = cls.start_for_all(Postgres())

    def setUp(self):
        super().setUp()
        self.store = StoreDatabase(self.server)


class Restarts(RestartTests, PostgresCase):
    def let_go(self):
        """As an administrator might who does not want to wait: the lease of a process that is known to be dead."""
        if self.store.exists():
            self.store.change("UPDATE process SET until = now()")

    def test_a_clean_end_leaves_the_cluster_to_the_next_one_at_once(self):
        provider, informer = self.synced()
        self.assertEqual(informer.terminate(), 0)
        self.assertEqual(self.store.holders(), {"c1": ""})
        next_one = self.follow(output="none")
        next_one.endpoint.wait_ready()
        self.assertEqual(next_one.endpoint.metric("tinf_informer_clusters_held_by_others"), 0)
        self.assertEqual(provider.endpoint.metric("tinf_provider_snapshots_total"), 1)


class ServerCase(PostgresCase):
    """Each test has a database server of its own, which it may ill-treat."""

    @classmethod
    def start_parts(cls):
        cls.api = cls.start_for_all(ApiServer(cls.start_for_all(Etcd())))

    def setUp(self):
        self.server = self.start(Postgres())
        super().setUp()


class ServerIsAway(ServerCase):
    def play(self, begin, end, pattern):
        """Changes go on while the server does not answer: none of them is told, all of them come."""
        provider, informer = self.synced()
        mark = len(informer.errors)
        begin()
        self.change_behind_the_back()
        for number in range(20):
            self.api.put(self.path, config_map(f"more-{number}"))
        named = f"database postgresql://{self.store.role}@127.0.0.1:[0-9]+/{self.store.name}: "
        informer.wait_for_error(named, since=mark)
        informer.endpoint.wait_not_ready(named + pattern, 60)
        self.assertEqual(len(informer.copy.refresh().changes), 100)
        self.assertEqual(informer.endpoint.get("/livez")[0], 200)
        end()
        self.recovers(informer, provider)
        self.assertNotIn(self.store.password, "\n".join(informer.errors))

    def test_stopped_for_a_while(self):
        self.play(self.server.stop, self.server.start, "it cannot be reached: is the server running")

    def test_killed(self):
        self.play(self.server.kill, self.server.start, "it cannot be reached: is the server running")

    def test_paused(self):
        self.play(self.server.pause, self.server.resume, ".*(says nothing|no answer|cannot be reached)")

    def test_behind_a_network_that_drops(self):
        relay = self.start(Relay(self.server.port))
        url = self.store.url_by(relay)
        provider, informer = self.synced(store=url)
        relay.swallow()
        self.change_behind_the_back()
        informer.endpoint.wait_not_ready(f"database postgresql://.*:{relay.port}/{self.store.name}: ", 60)
        self.assertEqual(len(informer.copy.refresh().changes), 100)
        relay.resume()
        self.recovers(informer, provider)

    def test_restarted_under_load_and_its_connections_ended(self):
        provider, informer = self.synced()
        churn = Churn(self.api, self.namespace, names=50, pause=0.0).start()
        try:
            for disturb in (self.server.restart, lambda: self.server.disconnect(self.store.name), lambda: self.server.restart("kill")):
                done = churn.done
                wait_until(lambda done=done: churn.done > done + 50, 30, "the load goes on")
                disturb()
        finally:
            churn.stop()
        self.recovers(informer, provider)

    def test_slow(self):
        """Far away. Nobody prints: a handler would read each state in a journey of its own."""
        relay = self.start(Relay(self.server.port))
        self.api.add_config_maps(100, self.namespace, prefix="old", size=1024)
        provider = self.provider()
        informer = self.follow(store=self.store.url_by(relay), output="none")
        informer.endpoint.wait_ready()
        relay.delay(0.01)
        churn = Churn(self.api, self.namespace, names=50).start()
        wait_until(lambda: churn.done > 200, 60, "the load goes on")
        churn.stop()
        self.wait_stored(deadline=120)
        informer.endpoint.wait_ready()
        self.check_store()
        self.assertEqual(provider.endpoint.metric("tinf_provider_snapshots_total"), 1)
        self.assertFalse([line for line in informer.errors if " W " in line])

    def test_away_when_the_informer_starts_and_when_it_ends(self):
        self.api.add_config_maps(100, self.namespace, prefix="old", size=1024)
        provider = self.provider()
        self.server.stop()
        informer = self.follow()
        informer.wait_for_error(f"database postgresql://{self.store.role}@127.0.0.1.*it cannot be reached: is the server running", 30)
        informer.endpoint.wait_not_ready("database postgresql://.*it cannot be reached")
        self.server.start()
        self.recovers(informer, provider)
        self.server.pause()
        self.change_behind_the_back()
        self.assertEqual(informer.terminate(), 0)  # Within 5 s, or it fails.
        self.server.resume()
        self.assertEqual(self.store.faults(), [])

    def test_a_table_that_somebody_locks_is_said_and_waited_for(self):
        provider, informer = self.synced()
        locker = threading.Thread(target=self.server.run, args=("SET search_path TO tinf; BEGIN; LOCK TABLE object; SELECT pg_sleep(600)",),
                                  kwargs={"database": self.store.name}, daemon=True)
        locker.start()
        granted = "SELECT 1 FROM pg_locks WHERE relation = 'tinf.object'::regclass AND mode = 'AccessExclusiveLock' AND granted"
        wait_until(lambda: self.server.ask(granted, database=self.store.name), 10, "the table is locked")
        self.change_behind_the_back()
        informer.endpoint.wait_not_ready(f"database postgresql://.*{self.store.name}: ", 60)
        self.assertEqual(len(informer.copy.refresh().changes), 100)
        self.server.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND pid <> pg_backend_pid()")
        self.recovers(informer, provider)


class ServerFailsOver(ServerCase):
    def url_of_both(self, standby):
        return (f"postgresql://{self.store.role}@127.0.0.1:{self.server.port},127.0.0.1:{standby.port}/{self.store.name}"
                "?target_session_attrs=read-write")

    def begin_anew(self, informer):
        """An informer that has lost a cluster and takes it again tells what is there as initial adds once more."""
        informer.copy = Copy(informer, begin=informer.written())

    def test_to_a_standby_that_has_everything(self):
        standby = self.start(Postgres(standby_of=self.server))
        url = self.url_of_both(standby)
        provider, informer = self.synced(store=url)
        self.change_behind_the_back()
        self.wait_equal(informer)
        version = self.store.version()
        self.server.wait_followed()
        self.server.kill()
        self.begin_anew(informer)
        standby.promote()
        self.store.server = standby
        self.api.put(self.path, config_map("after-it"))
        self.recovers(informer, provider)
        self.assertGreater(self.store.version(), version)

    def test_to_one_that_lacks_what_was_acknowledged_last(self):
        """The copies are made good from the cluster, and no version is given twice."""
        standby = self.start(Postgres(standby_of=self.server))
        url = self.url_of_both(standby)
        provider, informer = self.synced(store=url)
        self.server.wait_followed()
        standby.stop()
        self.change_behind_the_back()
        self.wait_equal(informer)
        version = self.store.version()
        self.server.kill()
        self.begin_anew(informer)
        standby.start()
        self.store.server = standby
        self.assertLess(self.store.version(), version)
        standby.promote()
        self.api.put(self.path, config_map("after-it"))
        self.wait_stored()
        informer.endpoint.wait_ready(60)
        self.assertEqual(self.store.faults(), [])
        self.assertGreater(int(self.store.ask("SELECT min(version) FROM changes WHERE name = 'after-it'")[0][0]), version)
        # What was under way when the cluster was found lost may cost a whole set once.
        self.assertLessEqual(provider.endpoint.metric("tinf_provider_snapshots_total"), 2)


    def test_an_api_server_without_a_broker_reads_a_standby_with_the_rights_that_the_document_gives(self):
        standby = self.start(Postgres(standby_of=self.server))
        self.synced()
        reader = self.server.create_role("reads")
        self.server.run(f"GRANT USAGE ON SCHEMA tinf TO {reader}; GRANT SELECT ON ALL TABLES IN SCHEMA tinf TO {reader}", database=self.store.name)
        self.server.wait_followed()
        replica = self.start(Daemon("informer", "--serve", "127.0.0.1:0", "--store",
                                    standby.uri(self.store.name, reader, target_session_attrs="any"), environment={"PGPASSWORD": "reads"}))
        fleet = Kubectl(server=replica.wait_for_error(r'url="?(http://[0-9.:]+)').group(1))
        self.change_behind_the_back()

        def names():
            return set(fleet.run("get", "configmaps", "-A", "-o", "jsonpath={.items[*].metadata.name}", check=False).stdout.split())
        wait_until(lambda: names() == {name for _, name in self.expected()}, 30, "the standby's copies are served")


class Refused(PostgresCase):
    """What will not get better by itself ends the start with one line that says what to do, and never with the password."""

    def refused(self, pattern, url=None, password=None):
        environment = {"PGPASSWORD": password or self.store.password}
        status, lines, errors = self.run_to_end("informer", "--broker", self.broker.url, "-r", "configmaps", "--store",
                                                url or self.store.url, environment=environment)
        self.assertEqual((status, lines), (1, []))
        self.assertEqual(len(errors), 1, errors)
        self.assertRegex(errors[0], pattern)
        self.assertNotIn(environment["PGPASSWORD"], errors[0])

    def test_a_wrong_password_or_none(self):
        self.refused(f"database postgresql://{self.store.role}@127.0.0.1:.*the password", password="an0ther")
        self.refused("the password", self.server.uri(self.store.name, "nobody-known"))

    def test_a_database_that_is_not_there(self):
        self.refused("there is no such database: CREATE DATABASE", self.server.uri("nowhere", self.store.role))

    def test_a_role_without_the_right(self):
        other = self.server.create_role("0ther")
        self.refused(f"CREATE SCHEMA.*{other}|GRANT CREATE ON DATABASE.*{other}", self.server.uri(self.store.name, other), "0ther")

    def test_a_role_that_owns_its_schema_alone_is_enough(self):
        other = self.server.create_role("0ther")
        self.server.run(f"CREATE SCHEMA tinf AUTHORIZATION {other}", database=self.store.name)
        self.store.role, self.store.password = other, "0ther"
        self.synced()
        self.check_store()

    def test_a_newer_schema_and_another_programs_tables_are_left_alone(self):
        _, informer = self.synced()
        self.assertEqual(informer.terminate(), 0)
        self.store.change("UPDATE meta SET value = '99' WHERE name = 'schema_version'")
        self.refused("has version 99, this program knows up to [0-9]+: use the newer program, or another")
        other = StoreDatabase(self.server)
        self.server.run("CREATE SCHEMA tinf; CREATE TABLE tinf.letters(words text)", database=other.name)
        self.server.run(f"ALTER SCHEMA tinf OWNER TO {other.role}", database=other.name)
        self.refused("holds another program's tables", other.url)
        self.assertEqual(other.ask("SELECT table_name FROM information_schema.tables WHERE table_schema = 'tinf'"), [["letters"]])

    def test_a_certificate_that_is_not_trusted(self):
        server = self.start(Postgres(tls=True))
        store = StoreDatabase(server)
        url = server.uri(store.name, store.role, sslmode="verify-full", sslrootcert=self.api.authority.certificate)
        self.refused("certificate", url)
        self.store = store
        store_url = server.uri(store.name, store.role, sslmode="verify-full", sslrootcert=server.authority.certificate)
        self.provider()
        informer = self.follow(store=store_url)
        informer.endpoint.wait_ready()
        self.assertEqual(store.ask("SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = %s",
                                   store.role), [["t"]])

    def test_a_password_is_never_shown(self):
        """Neither by ps nor in a log, also where it stands in the URI of a configuration file."""
        url = self.server.uri(self.store.name, self.store.role, self.store.password)
        self.assertIn(urllib.parse.quote(self.store.password, safe=""), url)
        config = self.folder / f"config-{self.namespace}.yaml"
        config.write_text(f"store: {url}\n")
        config.chmod(0o600)
        self.provider()
        informer = self.informer("-r", "configmaps", "-n", self.namespace, "--config", config, "-v")
        informer.endpoint.wait_ready()
        self.server.disconnect(self.store.name)
        self.api.put(self.path, config_map("one"))
        self.wait_equal(informer)
        shown = [pathlib.Path(f"/proc/{informer.pid}/cmdline").read_text(), *informer.errors, *informer.endpoint.get("/metrics")]
        for word in (self.store.password, urllib.parse.quote(self.store.password, safe="")):
            self.assertNotIn(word, "\n".join(map(str, shown)))


class SeveralInformers(PostgresCase):
    """Over one broker and one database."""

    def two(self, *flags, **options):
        """(the one that holds c1, the other one), both ready."""
        first = self.follow("--client-id", "first", *flags, **options)
        first.endpoint.wait_ready()
        other = self.follow("--client-id", "other", *flags, **options)
        other.endpoint.wait_ready()
        other.wait_for_error("another process keeps this cluster's copies.*cluster=c1")
        return first, other

    def test_they_share_the_clusters_and_say_who_holds_what(self):
        self.api.add_config_maps(50, self.namespace, prefix="old")
        self.provider(cluster="c1")
        first, other = self.two(output="none")
        status, text = other.endpoint.get("/readyz")
        self.assertEqual(status, 200)
        self.assertRegex(text, f"ok; c1 is held by .*/{first.pid}$")
        self.assertEqual(other.endpoint.metric("tinf_informer_clusters_held_by_others"), 1)
        self.assertEqual(other.endpoint.metric("tinf_informer_held_by_another", cluster="c1"), 1)
        self.assertEqual(first.endpoint.metric("tinf_informer_clusters_held_by_others"), 0)
        # A cluster that comes later goes to whoever is the first to write of it.
        self.provider(cluster="c2")
        self.wait_stored("c2")
        for informer in (first, other):
            informer.endpoint.wait_ready()
        holders = self.store.holders()
        self.assertEqual(set(holders), {"c1", "c2"})
        self.assertNotIn("", holders.values())
        self.check_store("c1")
        self.check_store("c2")

    def test_without_client_ids_of_their_own_they_do_not_collide(self):
        self.api.add_config_maps(10, self.namespace, prefix="old")
        self.provider()
        informers = [self.follow(output="none") for _ in range(3)]
        for informer in informers:
            informer.endpoint.wait_ready()
        self.wait_stored()
        self.assertEqual(sorted(informer.endpoint.metric("tinf_informer_clusters_held_by_others") for informer in informers), [0, 1, 1])

    def test_one_that_is_killed_is_followed_by_the_other_within_the_lease(self):
        self.api.add_config_maps(200, self.namespace, prefix="old", size=1024)
        provider = self.provider()
        first, other = self.two()
        first.kill()
        self.change_behind_the_back()
        other.wait_for_error("informer: taken over cluster=c1", TAKEN_OVER)
        self.wait_equal(other)
        other.endpoint.wait_ready()
        self.check_store()
        self.assertEqual(provider.endpoint.metric("tinf_provider_snapshots_total"), 1)  # It goes on with what is there.
        first.copy = None
        first.start()
        first.endpoint.wait_ready()
        self.assertEqual(first.endpoint.metric("tinf_informer_clusters_held_by_others"), 1)

    def test_one_that_ends_leaves_at_once(self):
        self.api.add_config_maps(50, self.namespace, prefix="old")
        self.provider()
        first, other = self.two()
        self.assertEqual(first.terminate(), 0)
        other.wait_for_error("informer: taken over cluster=c1", 10)
        self.wait_equal(other)

    def test_one_that_was_stopped_overwrites_nothing_and_waits(self):
        self.api.add_config_maps(50, self.namespace, prefix="old")
        self.provider()
        first, other = self.two()
        churn = Churn(self.api, self.namespace, names=30, pause=0.0).start()  # So that it has something to write when it wakes.
        try:
            wait_until(lambda: churn.done > 50, 30, "the load goes on")
            first.pause()
            other.wait_for_error("informer: taken over cluster=c1", TAKEN_OVER)
            done = churn.done
            wait_until(lambda: churn.done > done + 50, 30, "the load goes on")
            mark = len(first.errors)
            first.resume()
            first.wait_for_error("another process has taken this cluster over.*cluster=c1", 30, since=mark)
            done = churn.done
            wait_until(lambda: churn.done > done + 50, 30, "the load goes on")
        finally:
            churn.stop()
        self.wait_equal(other)
        other.endpoint.wait_ready()
        self.check_store()
        first.endpoint.wait_ready()
        self.assertRegex(first.endpoint.get("/readyz")[1], f"c1 is held by .*/{other.pid}$")
        # It takes part again.
        self.assertEqual(other.terminate(), 0)
        first.wait_for_error("informer: taken over cluster=c1", 20, since=mark)
        first.endpoint.wait_ready()
        self.api.put(self.path, config_map("at-last"))
        self.wait_stored()
        self.assertEqual(self.store.faults(), [])

    def test_killed_and_stopped_in_turn_under_load_they_leave_one_history(self):
        print(f"\nseed {SEED}", flush=True)
        dice = random.Random(SEED)
        self.api.add_config_maps(100, self.namespace, prefix="still")
        self.provider()
        informers = [self.follow(output="none") for _ in range(3)]
        churn = Churn(self.api, self.namespace, names=100, seed=SEED, pause=0.0).start()
        version = 0
        try:
            for _ in range(max(2, KILLS // 10)):
                # Whoever holds it is the one to be hurt.
                holder = wait_until(lambda: self.holding(informers), TAKEN_OVER, "one of them holds the cluster")
                time.sleep(dice.uniform(0.0, 1.0))  # The length of a life, not a wait for anything.
                stopped = dice.random() < 0.5
                holder.pause() if stopped else holder.kill()
                wait_until(lambda held=holder: self.holding(informers) not in (None, held), TAKEN_OVER, "another one holds it")
                holder.resume() if stopped else holder.start()
                self.assertEqual(self.store.faults(), [])
                now = self.store.version()
                self.assertGreaterEqual(now, version)
                version = now
        finally:
            churn.stop()
        self.wait_stored()
        for informer in informers:
            informer.endpoint.wait_ready(60)
        self.check_store()

    def holding(self, informers):
        """The informer that holds c1 as the database says; None: nobody does."""
        words = self.store.holders().get("c1", "") if self.store.exists() else ""
        return next((informer for informer in informers if words.endswith(f"/{informer.pid}")), None)


class Watch(threading.Thread):
    """A watch of the fleet's API at `path` from a version on: .events until it ends, and the version of the last one."""

    def __init__(self, url, path, version):
        super().__init__(daemon=True)
        address = urllib.parse.urlsplit(url)
        self._connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
        self._connection.request("GET", f"{path}?watch=1&resourceVersion={version}")
        self._answer = self._connection.getresponse()
        self.status = self._answer.status
        self.events, self.version = [], version
        self.start()

    def run(self):
        try:
            for line in iter(self._answer.readline, b""):
                if not line.endswith(b"\n"):
                    return  # Cut off in its midst.
                event = json.loads(line)
                self.events.append(event)
                self.version = event["object"]["metadata"]["resourceVersion"]
        except (OSError, http.client.HTTPException):
            pass


class SeveralServe(PostgresCase):
    """Three informers and one without a broker answer alike, and a watch goes from one to another."""

    PATH = "/api/v1/configmaps"

    def setUp(self):
        super().setUp()
        self.api.add_config_maps(100, self.namespace, prefix="old", size=1024)
        self.provider()
        self.informers = [self.follow("--client-id", f"hub-{number}", "--serve", "127.0.0.1:0", output="none") for number in range(3)]
        replica = Daemon("informer", "--store", self.store.url, "--serve", "127.0.0.1:0", environment=self.store.environment(),
                         label="replica")
        wait_until(lambda: self.store.exists() and self.store.texts("c1", "configmaps"), 30, "there is something to serve")
        self.replica = self.start(replica)
        self.urls = [one.wait_for_error(r'url="?(http://[0-9.:]+)').group(1) for one in (*self.informers, self.replica)]

    def get(self, url, path):
        address = urllib.parse.urlsplit(url)
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def all_alike(self, path):
        """What every one of them answers, when it is the same."""
        answers = []

        def look():
            answers[:] = [self.get(url, path) for url in self.urls]
            return answers[0][0] == 200 and all(answer == answers[0] for answer in answers)
        wait_until(look, 30, f"all answer {path} alike", every=0.1)
        return json.loads(answers[0][1])

    def test_lists_are_the_same_bytes_and_versions(self):
        for informer in self.informers:
            informer.endpoint.wait_ready()
        self.change_behind_the_back()
        wanted = {name for _, name in self.expected()}
        wait_until(lambda: {one["metadata"]["name"] for one in json.loads(self.get(self.urls[3], self.PATH)[1])["items"]} == wanted, 30,
                   "the changes are served")
        whole = self.all_alike(self.PATH)
        self.assertEqual({one["metadata"]["name"] for one in whole["items"]}, wanted)
        version = whole["metadata"]["resourceVersion"]
        exact = self.all_alike(f"{self.PATH}?resourceVersion={version}&resourceVersionMatch=Exact")
        self.assertEqual(exact, whole)
        page = self.all_alike(f"{self.PATH}?limit=10")
        rest = json.loads(self.get(self.urls[1], f"{self.PATH}?limit=500&continue={page['metadata']['continue']}")[1])
        self.assertEqual(page["items"] + rest["items"], whole["items"])
        self.all_alike("/api/v1")
        self.all_alike(f"/clusters/c1{self.PATH}")

    def test_a_watch_that_begins_on_one_goes_on_on_another_and_misses_nothing(self):
        begun = json.loads(wait_until(lambda: self.get(self.urls[0], self.PATH)[1], 10, "a list"))
        held = {one["metadata"]["name"]: one["metadata"]["resourceVersion"] for one in begun["items"]}
        version, seen = begun["metadata"]["resourceVersion"], []
        churn = Churn(self.api, self.namespace, names=50, pause=0.0).start()
        try:
            for number, url in enumerate((self.urls[0], self.urls[3], self.urls[1], self.urls[2])):
                watch = Watch(url, self.PATH, version)
                self.assertEqual(watch.status, 200, url)
                wait_until(lambda one=watch: len(one.events) > 100, 60, "the watch tells what happens")
                if number == 3:
                    churn.stop()
                    wait_until(lambda one=watch: self.replayed(held, seen + one.events) == self.names_and_versions(), 60,
                               "what the watches told adds up to the list")
                # Two are killed, among them perhaps the one that writes; the others' watches are broken off.
                part = (*self.informers, self.replica)[self.urls.index(url)]
                if number in (0, 1):
                    part.kill()
                    watch.join(30)
                seen += list(watch.events)
                version = seen[-1]["object"]["metadata"]["resourceVersion"]
        finally:
            churn.stop()
        versions = [int(one["object"]["metadata"]["resourceVersion"]) for one in seen]
        self.assertEqual(versions, sorted(set(versions)))  # Nothing twice, nothing late.
        self.assertEqual(self.store.faults(), [])

    def replayed(self, begin, events):
        """{name: version} after these events; each must fit what was there."""
        held = dict(begin)
        for event in events:
            name, version = event["object"]["metadata"]["name"], event["object"]["metadata"]["resourceVersion"]
            self.assertEqual(name in held, event["type"] != "ADDED", f"{event['type']} {name}")
            if event["type"] == "DELETED":
                del held[name]
            else:
                held[name] = version
        return held

    def names_and_versions(self):
        items = json.loads(self.get(self.urls[2], self.PATH)[1])["items"]
        if {one["metadata"]["name"] for one in items} != {name for _, name in served(self.api, "configmaps", self.namespace)}:
            return None  # It has not caught up.
        return {one["metadata"]["name"]: one["metadata"]["resourceVersion"] for one in items}

    def test_the_one_without_a_broker_says_when_the_database_is_away(self):
        server = self.start(Postgres())
        store = StoreDatabase(server)
        broker = self.start(Mosquitto())
        self.provider(broker=broker)
        self.informer("-r", "configmaps", "--store", store.url, broker=broker, environment=store.environment()).endpoint.wait_ready()
        replica = self.start(Daemon("informer", "--store", store.url, "--serve", "127.0.0.1:0", environment=store.environment()))
        url = replica.wait_for_error(r'url="?(http://[0-9.:]+)').group(1)
        wait_until(lambda: self.get(url, "/readyz")[0] == 200, 20, "it is ready")
        server.stop()
        wait_until(lambda: f"{server.port}/{store.name}: it cannot be reached" in self.get(url, "/readyz")[1].decode(), 60,
                   "it says that the database is away")
        self.assertEqual(self.get(url, "/readyz")[0], 503)
        status, body = self.get(url, self.PATH)
        self.assertIn(status, (500, 503, 504))
        self.assertNotIn(store.password, body.decode())
        server.start()
        wait_until(lambda: self.get(url, "/readyz")[0] == 200, 60, "it is ready again")
        self.assertEqual(self.get(url, self.PATH)[0], 200)
