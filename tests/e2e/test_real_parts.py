"""Tests of the test bed itself: if these fail, no other end-to-end failure means anything."""

import itertools
import pathlib
import subprocess
import sys
import threading
import time
import types
import unittest

from real import (ApiServer, Daemon, Deadline, Etcd, Kubectl, Mosquitto, PartFailed, Postgres, RealTestCase, Relay, Witness, postgres_program,
                  wait_until)

READ_CONFIG_MAPS = [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"]}]


def config_map(name, value="v"):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"},
            "data": {"key": value}}


class ControlPlane(RealTestCase):
    @classmethod
    def start_parts(cls):
        cls.etcd = cls.start_for_all(Etcd())
        cls.api = cls.start_for_all(ApiServer(cls.etcd, audit=True))

    def test_both_kubectls_create_and_read_a_config_map(self):
        for version in ("old", "new"):
            kubectl = Kubectl(self.api.kubeconfig(), version=version)
            kubectl.apply(config_map(f"from-{version}"))
            self.assertEqual(kubectl.json("get", "configmap", f"from-{version}")["data"], {"key": "v"})

    def test_the_server_tells_the_version_it_was_built_from(self):
        version = Kubectl(self.api.kubeconfig()).json("version")
        self.assertEqual(version["serverVersion"]["gitVersion"], "v1.34.4")
        self.assertEqual(version["clientVersion"]["gitVersion"], "v1.34.4")

    def test_all_kinds_of_credentials_are_accepted(self):
        for credentials in ("token", "token-file", "certificate"):
            with self.subTest(credentials):
                kubectl = Kubectl(self.api.kubeconfig(credentials=credentials))
                self.assertIn("default", kubectl.run("get", "namespaces").stdout)

    def test_a_restricted_user_reads_what_was_granted_and_nothing_else(self):
        kubectl = Kubectl(self.api.grant("restricted", READ_CONFIG_MAPS, namespace="default"))
        kubectl.run("get", "configmaps", "-n", "default")
        refused = kubectl.run("get", "configmaps", "-n", "kube-system", check=False)
        self.assertIn("Forbidden", refused.stderr)
        self.assertEqual(self.api.request("GET", "/api/v1/namespaces/default/secrets", user="restricted")[0], 403)
        self.assertEqual(self.api.request("POST", "/api/v1/namespaces/default/configmaps", config_map("x"),
                                          user="restricted")[0], 403)

    def test_a_right_is_withdrawn_by_a_second_grant(self):
        path = "/api/v1/namespaces/default/configmaps"
        self.api.grant("restricted", READ_CONFIG_MAPS, namespace="default")
        self.assertEqual(self.api.request("GET", path, user="restricted")[0], 200)
        self.api.grant("restricted", [], namespace="default")
        wait_until(lambda: self.api.request("GET", path, user="restricted")[0] == 403, 10, "the right is gone")

    def test_a_service_account_acts_with_the_token_it_asked_for(self):
        kubectl = Kubectl(self.api.service_account("reader", READ_CONFIG_MAPS))
        kubectl.run("get", "configmaps", "-A")
        self.assertIn("Forbidden", kubectl.run("get", "secrets", check=False).stderr)

    def test_a_compacted_version_has_expired_once_the_server_has_forgotten_it_too(self):
        version = self.api.put("/api/v1/namespaces/default/configmaps", config_map("old"))["metadata"]["resourceVersion"]
        for number in range(3):
            self.api.must("PUT", "/api/v1/namespaces/default/configmaps/old", config_map("old", str(number)))
        self.etcd.compact()
        watch = f"/api/v1/configmaps?watch=1&timeoutSeconds=1&resourceVersion={version}"
        status, events = self.api.request("GET", watch)
        self.assertEqual(status, 200)
        self.assertIn('"MODIFIED"', events)  # its own cache still remembers: compaction alone expires no watch
        self.api.restart()
        status, answer = self.api.request("GET", watch)
        self.assertEqual((answer["type"], answer["object"]["code"]), ("ERROR", 410))
        status, answer = self.api.request(
            "GET", f"/api/v1/configmaps?limit=1&resourceVersionMatch=Exact&resourceVersion={version}")
        self.assertEqual((status, answer["reason"]), (410, "Expired"))

    def test_a_restarted_server_is_seen_gone_and_seen_back_on_the_same_port_with_its_objects(self):
        self.api.put("/api/v1/namespaces/default/configmaps", config_map("survivor"))
        self.api.kill()
        with self.assertRaises(OSError):
            self.api.request("GET", "/readyz")
        self.api.start()
        self.assertEqual(self.api.request("GET", "/api/v1/namespaces/default/configmaps/survivor")[0], 200)

    def test_a_restart_with_an_open_watch_is_quick(self):
        watch = Kubectl(self.api.kubeconfig()).start("get", "configmaps", "-w")
        self.addCleanup(lambda: (watch.kill(), watch.communicate()))
        watch.stdout.readline()
        self.api.restart()

    def test_load_is_made_and_requests_are_audited(self):
        self.api.add_config_maps(50, prefix="load")
        found = self.api.must("GET", "/api/v1/namespaces/default/configmaps?limit=500")["items"]
        self.assertEqual(50, sum(item["metadata"]["name"].startswith("load-") for item in found))
        posts = [one for one in self.api.audited() if one["verb"] == "create"
                 and one["objectRef"].get("name", "").startswith("load-")]
        self.assertEqual(50, len(posts))


class WithoutWatchCache(RealTestCase):
    def test_compaction_expires_a_watch_and_a_page_at_once(self):
        etcd = self.start(Etcd())
        api = self.start(ApiServer(etcd, options=["--watch-cache=false"]))
        version = api.resource_version()
        page = api.must("GET", "/api/v1/namespaces?limit=1")["metadata"]["continue"]
        api.add_config_maps(3)
        etcd.compact()
        status, answer = api.request("GET", f"/api/v1/configmaps?watch=1&timeoutSeconds=5&resourceVersion={version}")
        self.assertEqual((answer["type"], answer["object"]["code"]), ("ERROR", 410))
        status, answer = api.request("GET", f"/api/v1/namespaces?limit=1&continue={page}")
        self.assertEqual((status, answer["reason"]), (410, "Expired"))


class OlderState(RealTestCase):
    @classmethod
    def start_parts(cls):
        cls.etcd = cls.start_for_all(Etcd())
        cls.api = cls.start_for_all(ApiServer(cls.etcd))

    def test_a_restored_etcd_has_a_lower_version(self):
        self.api.put("/api/v1/namespaces/default/configmaps", config_map("kept"))
        self.api.kill()
        self.etcd.save("early")
        self.api.start()
        self.api.add_config_maps(20, prefix="later")
        late = self.api.resource_version()
        self.api.kill()
        self.etcd.restore("early")
        self.api.start()
        names = [one["metadata"]["name"] for one in self.api.must("GET", "/api/v1/namespaces/default/configmaps")["items"]]
        self.assertIn("kept", names)
        self.assertNotIn("later-00000", names)
        self.assertLess(self.api.resource_version(), late)


class Brokers(RealTestCase):
    def publish(self, broker, *words, **options):
        return subprocess.run(["mosquitto_pub", "-h", "127.0.0.1", "-p", str(broker.port), *words], text=True,
                              capture_output=True, timeout=20, **options)

    def read(self, broker, topic, *words):
        return subprocess.run(["mosquitto_sub", "-h", "127.0.0.1", "-p", str(broker.port), "-t", topic, "-C", "1", "-W", "2",
                               *words], text=True, capture_output=True, timeout=20).stdout.strip()

    def test_a_persistent_broker_remembers_until_wiped(self):
        broker = self.start(Mosquitto(persistence=True))
        self.publish(broker, "-t", "a", "-m", "kept", "-r", "-q", "1")
        broker.restart()
        self.assertEqual(self.read(broker, "a"), "kept")
        broker.restart(wipe=True)
        self.assertEqual(self.read(broker, "a"), "")

    def test_a_broker_without_persistence_forgets(self):
        broker = self.start(Mosquitto())
        self.publish(broker, "-t", "a", "-m", "lost", "-r", "-q", "1")
        broker.restart()
        self.assertEqual(self.read(broker, "a"), "")

    def test_tls_with_client_certificates(self):
        broker = self.start(Mosquitto(client_certificates=True, acl="pattern readwrite %u/#\n"))
        certificate, key = broker.client_certificate("cluster1")
        tls = ["--cafile", str(broker.authority.certificate), "--cert", str(certificate), "--key", str(key)]
        self.assertEqual(self.publish(broker, *tls, "-t", "cluster1/a", "-m", "hello", "-r", "-q", "1").returncode, 0)
        self.assertEqual(self.read(broker, "cluster1/a", *tls), "hello")
        self.assertNotEqual(self.publish(broker, *tls[:2], "-t", "cluster1/a", "-m", "x").returncode, 0)

    def test_passwords_and_rights_that_change_while_running(self):
        broker = self.start(Mosquitto(users={"alice": "secret"}, acl="user alice\ntopic readwrite a\n"))
        alice = ["-u", "alice", "-P", "secret"]
        self.publish(broker, *alice, "-t", "a", "-m", "first", "-r", "-q", "1")
        self.assertEqual(self.read(broker, "a", *alice), "first")
        self.assertNotEqual(self.publish(broker, "-u", "alice", "-P", "wrong", "-t", "a", "-m", "x").returncode, 0)
        broker.set_acl("user alice\ntopic read b\n")
        wait_until(lambda: self.read(broker, "a", *alice) == "", 10, "the right to read is gone")

    def test_a_packet_above_the_limit_ends_the_connection(self):
        broker = self.start(Mosquitto(max_packet_size=1000))
        self.publish(broker, "-t", "a", "-s", "-q", "1", "-V", "mqttv5", "-r", input="x" * 2000)
        self.assertEqual(self.read(broker, "a"), "")

    def test_a_relay_counts_falls_silent_and_cuts(self):
        broker = self.start(Mosquitto())
        relay = self.start(Relay(broker.port))
        self.assertEqual(self.publish(relay, "-t", "a", "-m", "x" * 5000, "-q", "1").returncode, 0)
        self.assertGreater(relay.bytes_up, 5000)
        relay.silence()
        late = threading.Thread(target=self.publish, args=(relay, "-t", "a", "-m", "late", "-q", "1", "-r"))
        late.start()
        wait_until(lambda: relay.connections == 2, 5, "the second client is connected")
        self.assertEqual(self.read(broker, "a"), "")
        relay.resume()
        late.join()
        self.assertEqual(self.read(broker, "a"), "late")
        relay.cut(refuse=True)
        self.assertNotEqual(self.publish(relay, "-t", "a", "-m", "x").returncode, 0)


    def received(self, broker, messages):
        """Subscribes, lets `messages` be sent, and returns how many came before the last one, "end"."""
        way = self.start(Relay(broker.port))
        reader = subprocess.Popen(["mosquitto_sub", "-h", "127.0.0.1", "-p", str(way.port), "-t", "#"], text=True,
                                  stdout=subprocess.PIPE)
        self.addCleanup(lambda: (reader.kill(), reader.communicate()))
        wait_until(lambda: way.bytes_down >= 9, 10, "CONNACK and SUBACK have come")
        messages()
        self.publish(broker, "-t", "z", "-m", "end")
        return list(iter(reader.stdout.readline, "end\n")).count("x\n")

    def test_a_relay_loses_single_messages_and_nothing_else(self):
        broker = self.start(Mosquitto())
        relay = self.start(Relay(broker.port, mqtt=True, seed=7))
        relay.lose(0.1, "up")
        count = self.received(broker, lambda: self.assertEqual(
            self.publish(relay, "-t", "a", "-l", "-q", "0", input="x\n" * 1000).returncode, 0))
        self.assertEqual(count + relay.lost["up"], 1000)
        self.assertTrue(50 < relay.lost["up"] < 200, relay.lost)
        self.assertEqual(relay.lost["down"], 0)

    def test_a_relay_delays_and_throttles(self):
        broker = self.start(Mosquitto())
        relay = self.start(Relay(broker.port))
        for fault in (lambda: relay.delay(0.2, "down"), lambda: relay.throttle(20_000, "up")):
            fault()
            began = time.monotonic()
            self.assertEqual(self.publish(relay, "-t", "a", "-m", "x" * 10_000, "-q", "1").returncode, 0)
            self.assertGreater(time.monotonic() - began, 0.4)  # CONNACK and PUBACK; ten thousand bytes and more
            relay.resume()

    def test_a_relay_ends_a_connection_inside_a_message(self):
        broker = self.start(Mosquitto())
        relay = self.start(Relay(broker.port, mqtt=True))
        relay.cut_inside("up")
        self.assertNotEqual(self.publish(relay, "-t", "a", "-m", "x" * 1000, "-q", "1", "-r").returncode, 0)
        self.assertGreater(relay.bytes_up, 1000)
        self.assertEqual(self.read(broker, "a"), "")

    def test_a_relay_swallows_without_a_reset_and_ends_what_it_has_damaged(self):
        broker = self.start(Mosquitto())
        relay = self.start(Relay(broker.port))
        relay.swallow("up")
        lost = subprocess.Popen(["mosquitto_pub", "-h", "127.0.0.1", "-p", str(relay.port), "-t", "a", "-m", "x"],
                                stderr=subprocess.DEVNULL)
        self.addCleanup(lost.kill)
        wait_until(lambda: relay.bytes_up > 0, 5, "the client has said something")
        self.assertIsNone(lost.poll())
        relay.resume()
        self.assertNotEqual(lost.wait(10), 0)
        self.assertEqual(self.publish(relay, "-t", "a", "-m", "x", "-q", "1").returncode, 0)


class Databases(RealTestCase):
    @classmethod
    def start_parts(cls):
        cls.server = cls.start_for_all(Postgres())

    def psql(self, uri, sql="SELECT current_user"):
        return subprocess.run([postgres_program("psql"), "-XAt", "-d", uri, "-c", sql], capture_output=True, text=True, timeout=30)

    def refused(self, uri):
        done = self.psql(uri)
        self.assertNotEqual(done.returncode, 0)
        return done.stderr

    def test_values_come_back_as_they_were_written(self):
        database = self.server.create_database()
        values = ["it's", 'a "b",c', "two\nlines", "ü%s"]
        self.server.run("CREATE TABLE t (n int, v text)", database=database)
        for number, value in enumerate(values):
            self.server.run("INSERT INTO t VALUES (%s, %s)", number, value, database=database)
        self.assertEqual(self.server.ask("SELECT v FROM t ORDER BY n", database=database), [[value] for value in values])
        with self.assertRaisesRegex(PartFailed, "no_such_table"):
            self.server.ask("SELECT 1 FROM no_such_table")

    def test_a_role_needs_its_password_and_its_rights(self):
        role = self.server.create_role("s3cret/?@")
        database = self.server.create_database(owner=role)
        self.assertEqual(self.psql(self.server.uri(database, role, "s3cret/?@")).stdout, f"{role}\n")
        self.assertIn("password authentication failed", self.refused(self.server.uri(database, role, "wrong")))
        self.assertIn('"nowhere" does not exist', self.refused(self.server.uri("nowhere", role, "s3cret/?@")))

    def test_it_keeps_its_data_over_a_restart_and_a_kill_and_names_its_error(self):
        server = self.start(Postgres(settings={"max_connections": 20}))
        server.run("CREATE TABLE t (n int)")
        server.restart()
        server.run("INSERT INTO t VALUES (1)")
        server.restart(how="kill")
        self.assertEqual(server.ask("SELECT n FROM t"), [["1"]])
        broken = Postgres(settings={"no_such_setting": 1})
        self.addCleanup(broken.close)
        with self.assertRaisesRegex(PartFailed, "no_such_setting"):
            broken.start()

    def test_paused_it_stands_still_with_all_its_processes(self):
        server = self.start(Postgres())
        client = subprocess.Popen([postgres_program("psql"), "-XAt", "-d", server.uri("postgres")], text=True,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.addCleanup(lambda: (client.kill(), client.communicate()))

        def answer():
            client.stdin.write("SELECT 1;\n")
            client.stdin.flush()
            return client.stdout.readline()
        self.assertEqual(answer(), "1\n")
        server.pause()
        answers = []
        late = threading.Thread(target=lambda: answers.append(answer()))
        late.start()
        states = {pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] for process in server.processes()}
        self.assertEqual(states, {"T"})
        self.assertEqual(answers, [])
        server.resume()
        late.join()
        self.assertEqual(answers, ["1\n"])

    def test_a_standby_follows_and_becomes_a_primary(self):
        primary = self.start(Postgres())
        primary.run("CREATE TABLE t (n int); INSERT INTO t VALUES (1)")
        standby = self.start(Postgres(standby_of=primary))
        primary.run("INSERT INTO t VALUES (2)")
        primary.wait_followed()
        self.assertEqual(standby.ask("SELECT n FROM t ORDER BY n"), [["1"], ["2"]])
        self.assertIn("read-only transaction", self.psql(standby.uri("postgres"), "INSERT INTO t VALUES (3)").stderr)
        primary.kill()
        standby.promote()
        standby.run("INSERT INTO t VALUES (3)")

    def test_with_tls_roles_must_use_it(self):
        server = self.start(Postgres(tls=True))
        role = server.create_role("secret")
        verified = {"sslmode": "verify-full", "sslrootcert": server.authority.certificate}
        self.assertEqual(self.psql(server.uri("postgres", role, "secret", **verified)).stdout, f"{role}\n")
        self.assertIn("no encryption", self.refused(server.uri("postgres", role, "secret", sslmode="disable")))

    def test_an_administrator_ends_connections(self):
        database = self.server.create_database()
        client = subprocess.Popen([postgres_program("psql"), "-X", "-d", self.server.uri(database)], text=True, stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.addCleanup(lambda: (client.kill(), client.communicate()))
        wait_until(lambda: self.server.disconnect(database) == 1, 10, "the client is connected, and ended")


class Witnesses(unittest.TestCase):
    """A witness that nobody could deceive, and that would never accuse anybody, were worth nothing."""

    TRUTH = {("default", "a"): {"n": 1}, ("default", "b"): {"n": 2}}

    def witness(self, held, age=0, changes=lambda: 0, truth=lambda: Witnesses.TRUTH):
        def metrics():
            return {"tinf_informer_objects": len(held), "tinf_informer_proven_equal_age_seconds": age,
                    "tinf_reflector_events_total": changes()}
        informer = types.SimpleNamespace(endpoint=types.SimpleNamespace(metrics=metrics),
                                         copy=types.SimpleNamespace(objects=lambda *_: held))
        return Witness({"one": informer}, {"one": truth}, lambda: None, "c1", "configmaps", digest=0, on_its_way=0.1,
                       told_within=0.2, patience=0.5)

    def test_a_true_proof_is_counted(self):
        witness = self.witness(self.TRUTH)
        witness.look()
        self.assertEqual((witness.claims, witness.silent, witness.discarded), (1, 0, 0))

    def test_a_proof_of_another_set_is_a_lie(self):
        for held in ({}, {**self.TRUTH, ("default", "b"): {"n": 3}}):
            with self.assertRaisesRegex(AssertionError, "one said it was proven equal"):
                self.witness(held).look()

    def test_a_store_that_changes_after_the_proof_of_an_unchanged_set_was_not_equal(self):
        with self.assertRaisesRegex(AssertionError, "took 1 changes after that"):
            self.witness(self.TRUTH, changes=itertools.count().__next__).look()

    def test_an_old_proof_claims_nothing_and_a_moving_set_decides_nothing(self):
        silent = self.witness({}, age=5)
        silent.look()
        self.assertEqual((silent.claims, silent.silent, silent.different), (0, 1, 1))
        counts = itertools.count()
        moved = self.witness({}, truth=lambda: {("default", "a"): {"n": next(counts)}})
        moved.look()
        self.assertEqual((moved.claims, moved.discarded), (0, 1))


class Daemons(RealTestCase):
    def python(self, text, **options):
        return Daemon(sys.executable, "-u", "-c", "import time, signal, sys\n" + text, label="daemon", **options)

    def test_lines_are_found_in_order_and_by_pattern(self):
        daemon = self.start(self.python("print('one 1'); print('two 2'); print('oops', file=sys.stderr)\n"
                                        "signal.signal(15, lambda *_: sys.exit(0))\nprint('ready')\ntime.sleep(60)"))
        daemon.wait_for_line("ready")
        self.assertEqual(daemon.wait_for_line(r"two (\d)").group(1), "2")
        self.assertEqual(daemon.wait_for_line(lambda line: line.startswith("one")), "one 1")
        daemon.wait_for_error("oops")
        self.assertEqual(daemon.mark(), 3)
        self.assertEqual(daemon.terminate(), 0)

    def test_a_daemon_that_ends_by_itself_fails_the_wait_at_once(self):
        daemon = self.start(self.python("print('bye'); sys.exit(3)"))
        deadline = Deadline(30)
        with self.assertRaisesRegex(PartFailed, "exit status 3"):
            daemon.wait_for_line("never", deadline=30)
        self.assertFalse(deadline.passed())
        self.assertEqual(daemon.wait_for_exit(), 3)

    def test_a_daemon_that_ignores_sigterm_fails_and_is_gone(self):
        daemon = self.start(self.python("signal.signal(15, signal.SIG_IGN); print('deaf')\ntime.sleep(600)"))
        daemon.wait_for_line("deaf")
        with self.assertRaisesRegex(PartFailed, "did not end within 1 s"):
            daemon.terminate(deadline=1)
        self.assertFalse(daemon.running)

    def test_a_wrong_exit_status_fails_the_teardown(self):
        daemon = self.python("signal.signal(15, lambda *_: sys.exit(7)); print('up')\ntime.sleep(600)")
        self.start(daemon)
        daemon.wait_for_line("up")
        with self.assertRaisesRegex(PartFailed, "exit status 7"):
            daemon.stop()

    def test_a_killed_daemon_is_no_failure_and_starts_again(self):
        daemon = self.start(self.python("signal.signal(15, lambda *_: sys.exit(0)); print('up')\ntime.sleep(600)"))
        daemon.wait_for_line("up")
        daemon.kill()
        mark = daemon.mark()
        daemon.start()
        daemon.wait_for_line("up", since=mark)

    def test_a_part_that_cannot_start_says_why(self):
        broker = Mosquitto(settings=["no_such_setting 1"])
        self.addCleanup(broker.close)
        with self.assertRaisesRegex(PartFailed, "no_such_setting"):
            broker.start()
