"""What users get wrong is named in one line with its remedy; what enemies send is refused, counted and harmless."""

import json
import os
import subprocess
import time

from real import (ApiServer, Authority, Daemon, Etcd, Mosquitto, NatsServer, Relay, ScenarioCase, free_port, served,
                  wait_until, write_kubeconfig)

# What docs/protocol.md tells administrators of mosquitto to write.
ACCESS_RULES = """pattern readwrite /payload/%u/#
pattern read /signal/%u
pattern read /signal/_all
pattern readwrite /signal/_client/%c
user hub
topic write /signal/#
topic read /signal/_client/+
topic read /payload/#
"""


class CommandLines(ScenarioCase):
    """Nothing is listening where these point to: whoever tried to connect would run on."""

    def setUp(self):
        self.nowhere = f"127.0.0.1:{free_port()}"

    def file(self, name, text=""):
        path = self.folder / name
        path.write_text(text)
        return path

    def refused(self, program, *flags, named, status=2, environment=None):
        """Ends by itself with one line on stderr that begins with the program and names `named`."""
        got, lines, errors = self.run_to_end(program, *flags, environment=environment)
        self.assertEqual((got, lines), (status, []), errors)
        self.assertEqual(len(errors), 1, errors)
        self.assertRegex(errors[0], f"^{program}: .*{named}")

    def test_the_command_line_is_refused_with_exit_status_two_and_the_flag_by_name(self):
        config = {"unknown.yaml": "brokr: a\n", "no-yaml.yaml": "broker: [\n", "list.yaml": "- a\n",
                  "deep.yaml": f"broker: {self.nowhere}\nlisten: {{a: b}}\n", "qos.yaml": f"broker: {self.nowhere}\nqos: 7\n",
                  "store.yaml": f"broker: {self.nowhere}\nstore: sqlite://x\n"}
        for name, text in config.items():
            self.file(name, text)
        there = ["-b", self.nowhere]
        for flags, named in (
                ([], "--broker"), (["--borker", "x"], "--borker"), ([*there, "--frobnicate"], "--frobnicate"),
                ([*there, "surplus"], "surplus"), ([*there, "--qos", "3"], "--qos"), ([*there, "--qos", "one"], "--qos"),
                ([*there, "--signal", "/a/#"], "--signal.*wildcards"), ([*there, "--payload", "+/a"], "--payload.*wildcards"),
                ([*there, "--payload", "/a/"], "--payload"), ([*there, "--signal", ""], "--signal"),
                ([*there, "--cluster", "a/b"], "a/b.*DNS label"), ([*there, "--cluster", "a+"], "DNS label"),
                ([*there, "--cluster", "a#"], "DNS label"), ([*there, "--cluster", "Prod"], "DNS label"),
                ([*there, "--cluster", "x" * 64], "DNS label"), ([*there, "--client-id", "a/b"], "--client-id.*topic"),
                ([*there, "--ca-crt", "/no/such"], "/no/such"), ([*there, "--client-crt", "/etc/hostname"], "--client-key"),
                ([*there, "--password", "secret"], "--password"), ([*there, "--password-file", "/etc/hostname"], "--username"),
                ([*there, "--username", "u", "--password-file", "/no/such"], "/no/such"),
                (["-b", "http://h:1"], 'no transport "http"'), (["-b", "h:99999"], "port"), (["-b", "tcp://"], "host"),
                (["-b", "tcp://u:hidden@h:1"], "options of their own"), ([*there, "--listen", "8080"], "--listen.*address:port"),
                ([*there, "-l", "a in b"], "--selector"), ([*there, "--field-selector", "a>1"], "--field-selector"),
                ([*there, "-o", "yaml"], "--output"), ([*there, "--timeout", "5"], "--timeout.*duration"),
                ([*there, "--store", "disk:"], '--store.*"disk:"; use memory:, memory:'),
                ([*there, "--store", "memory:?compress=yes"], "compress=yes.*use memory:"), ([*there, "--store", ""], "--store"),
                (["--config", self.folder / "store.yaml"], "--store.*sqlite://x.*absolute path"),
                ([*there, "--serve", "8080"], "--serve.*address:port"), ([*there, "--serve", "0.0.0.0:0"], "--serve.*reached by others"),
                ([*there, "--serve", "127.0.0.1:0", "--tls-cert", "/etc/hostname"], "--tls-cert and --tls-key belong together"),
                ([*there, "--token-file", "/etc/hostname"], "--token-file.*give --serve too"),
                ([*there, "-r", "pods/log"], "pods/log"), ([*there, "-n", "a/b"], "--namespace"),
                (["--config", "/no/such"], "/no/such"), (["--config", self.folder / "unknown.yaml"], 'no flag "brokr"'),
                (["--config", self.folder / "no-yaml.yaml"], "line 2"), (["--config", self.folder / "list.yaml"], "mapping"),
                (["--config", self.folder / "deep.yaml"], "listen"), (["--config", self.folder / "qos.yaml"], "--qos")):
            with self.subTest(flags=flags):
                self.refused("informer", *flags, named=named)
        self.refused("provider", *there, named="--cluster")
        self.refused("provider", *there, "--cluster", "a/b", named="DNS label")

    def test_no_secret_can_stand_on_the_command_line_or_in_a_message(self):
        _, help_text, _ = self.run_to_end("provider", "--help")
        self.assertNotRegex("\n".join(help_text), r"--(password|token)\b(?!-file)")
        _, _, errors = self.run_to_end("informer", "-b", "tcp://u:hidden@h:1")
        self.assertNotIn("hidden", errors[0])

    def test_a_kubeconfig_that_does_not_do_is_named_with_what_there_is(self):
        good = self.file("kubeconfig", "contexts: [{name: dev, context: {cluster: c}}]\nclusters: [{name: c, cluster: {server: x}}]\n")
        base = ["-b", self.nowhere, "--cluster", "c"]
        for flags, named in ((["--kubeconfig", "/no/such"], "/no/such.*cannot be read"),
                             (["--kubeconfig", self.file("empty")], "current-context"),
                             (["--kubeconfig", self.file("broken", "a: [")], "not valid YAML"),
                             (["--kubeconfig", good, "--context", "prod"], 'no context "prod".*there are: dev'),
                             (["--kubeconfig", good], "current-context.*dev")):
            with self.subTest(flags=flags):
                self.refused("provider", *base, *flags, named=named, status=1)
        self.refused("provider", *base, named="kubeconfig", status=1,
                     environment={"HOME": str(self.folder), "KUBECONFIG": "", "KUBERNETES_SERVICE_HOST": ""})

    def test_files_for_tls_that_are_not_what_they_must_be_are_named(self):
        one, other = Authority(self.folder / "one"), Authority(self.folder / "other")
        certificate, _ = one.client("a")
        _, foreign_key = other.client("b")
        junk = self.file("junk.pem", "junk")
        url = f"mqtts://{self.nowhere}"
        for flags, named in ((["--ca-crt", junk], "authorities.*junk.pem.*PEM"),
                             (["--client-crt", junk, "--client-key", junk], "client certificate.*junk.pem"),
                             (["--client-crt", certificate, "--client-key", junk], "key.*junk.pem"),
                             (["--client-crt", certificate, "--client-key", foreign_key], "key.*b.key.*fit the certificate")):
            with self.subTest(flags=flags):
                self.refused("informer", "-b", url, *flags, named=named, status=1)

    def test_a_password_file_without_a_password_is_named(self):
        self.refused("informer", "-b", self.nowhere, "--username", "u", "--password-file", self.file("none"),
                     named="none.*first line", status=1)
        if os.geteuid() != 0:  # Nothing is unreadable to root.
            closed = self.file("closed", "secret")
            closed.chmod(0)
            self.refused("informer", "-b", self.nowhere, "--username", "u", "--password-file", closed, named="closed", status=1)

    def test_an_address_to_listen_on_that_is_taken_is_named(self):
        broker = self.start(Mosquitto())
        status, _, errors = self.run_to_end("informer", "-b", self.nowhere, "--listen", f"127.0.0.1:{broker.port}")
        self.assertEqual(status, 1)
        self.assertRegex(errors[-1], f"informer: --listen 127.0.0.1:{broker.port}.*choose another port")

    def test_a_broker_that_refuses_or_cannot_be_found_is_tried_again_and_said_once(self):
        for url, named in ((self.nowhere, "refused"), ("no-such-host.invalid:1883", "cannot be resolved")):
            with self.subTest(url):
                informer = self.start(Daemon("informer", "-b", url))
                informer.wait_for_error(f"cannot connect.*{named}")
                status, _, errors = self.run_to_end("informer", "-b", url, "--once", "--timeout", "4s")
                self.assertEqual(status, 1)
                self.assertEqual(len([line for line in errors if named in line]), 1, errors)
                self.assertRegex(errors[-1], "--timeout: the broker cannot be reached")
                self.assertEqual(len(informer.errors), 1, informer.errors)

    def test_a_broker_of_mqtt_311_only_is_refused_in_one_line_with_the_remedy(self):
        broker = self.start(NatsServer())
        named = f"the broker 127.0.0.1:{broker.port} .*only MQTT 3.1.1; use one that speaks MQTT 5, such as mosquitto 2$"
        self.refused("informer", "-b", broker.url, named=named, status=1)
        kubeconfig = write_kubeconfig(self.folder / "kubeconfig", f"http://{self.nowhere}")
        status, _, errors = self.run_to_end("provider", "-b", broker.url, "--cluster", "c1", "--kubeconfig", kubeconfig)
        self.assertEqual(status, 1)
        self.assertRegex(errors[-1], f"^provider: {named}")
        # The API server is away too, and said to be.
        self.assertEqual(len([line for line in errors if str(broker.port) in line]), 1, errors)

    def test_a_broker_that_hangs_up_without_an_answer_is_tried_again_and_may_be_one_of_mqtt_311(self):
        """As RabbitMQ 3.10 does it, but also a proxy before a broker that is starting."""
        broker = self.start(Mosquitto())
        relay = self.start(Relay(broker.port))
        relay.cut(refuse=True)
        informer = self.informer(broker=relay)
        informer.wait_for_error(f"127.0.0.1:{relay.port} closed the connection without an answer.*use one that speaks MQTT 5")
        relay.resume()
        informer.wait_for_error("connected")
        said = [line for line in informer.errors if f":{relay.port}" in line]
        self.assertEqual(len(said), 2, informer.errors)


class Refusals(ScenarioCase):
    @classmethod
    def start_parts(cls):
        cls.api = cls.start_for_all(ApiServer(cls.start_for_all(Etcd())))

    def password_file(self, text="secret"):
        path = self.folder / f"password-{text}"
        path.write_text(text + "\n")
        return path

    def signed_in(self, name):
        return ["--username", name, "--password-file", self.password_file()]

    def ends(self, daemon, named, status=1):
        self.assertEqual(daemon.wait_for_exit(20), status, daemon.errors)
        self.assertRegex(daemon.errors[-1], f"^(informer|provider): .*{named}")

    def test_a_wrong_password_or_none_ends_with_one_line(self):
        broker = self.start(Mosquitto(users={"hub": "secret"}))
        for flags in (["--username", "hub", "--password-file", self.password_file("wrong")], []):
            with self.subTest(flags=flags):
                self.ends(self.informer(*flags, broker=broker), "(user name or password|not authori[sz]ed)")
                self.ends(self.provider(*flags, broker=broker), "(user name or password|not authori[sz]ed)")

    def test_certificates_that_do_not_fit_end_with_one_line(self):
        broker = self.start(Mosquitto(client_certificates=True))
        foreign = Authority(self.folder / "foreign")
        certificate, key = broker.client_certificate("hub")
        other_certificate, other_key = foreign.client("hub")
        ours = ["--ca-crt", broker.authority.certificate]
        for flags, named in ((["--client-crt", certificate, "--client-key", key], "certificate of the broker.*refused"),
                             (["--ca-crt", foreign.certificate], "certificate of the broker.*refused"),
                             (ours, "TLS.*client certificate"),
                             ([*ours, "--client-crt", other_certificate, "--client-key", other_key], "TLS.*client certificate")):
            with self.subTest(flags=flags):
                self.ends(self.informer(*flags, broker=broker), named)

    def test_tls_to_a_port_without_it_is_named(self):
        broker = self.start(Mosquitto())
        status, _, errors = self.run_to_end("informer", "-b", f"mqtts://127.0.0.1:{broker.port}", "--once", "--timeout", "3s")
        self.assertEqual(status, 1)
        self.assertRegex("\n".join(errors), "TLS with the broker.*check that the port speaks TLS")

    def test_a_second_provider_of_a_cluster_ends_the_first_and_names_itself(self):
        for flags, other in (([], []), (["--client-id", "one"], ["--client-id", "two"])):
            with self.subTest(flags=flags):
                self.broker = self.start(Mosquitto())
                first = self.provider(*flags)
                first.endpoint.wait_ready()
                informer = self.informer("-r", "cm")
                informer.copy.wait_synced("c1", "configmaps")
                second = self.provider(*other)
                self.ends(first, rf"cluster c1 is provided by another process, on .*/{second.pid} ")
                second.endpoint.wait_ready()
                self.api.put("/api/v1/namespaces/default/configmaps", {"metadata": {"name": f"with-{len(flags)}"}})
                informer.copy.wait_for("ADDED", f"with-{len(flags)}")
                informer.endpoint.wait_ready()

    def test_a_second_informer_of_a_client_id_ends_the_first_and_names_itself(self):
        self.broker = self.start(Mosquitto())
        self.provider()
        first = self.informer("-r", "cm", "--client-id", "same")
        first.copy.wait_synced("c1", "configmaps")
        second = self.informer("-r", "cm", "--client-id", "same")
        self.ends(first, rf"client id same is in use by another process, on .*/{second.pid} ")
        second.copy.wait_synced("c1", "configmaps")
        second.endpoint.wait_ready()

    def test_a_resource_that_nobody_offers_ends_with_a_near_name_and_the_remedy(self):
        self.broker = self.start(Mosquitto())
        self.provider()
        words = '"cofigmaps" is offered.*did you mean configmaps.*--allow'
        self.ends(self.informer("-r", "cofigmaps"), words)
        # --once has no reason to wait for it any longer.
        informer = self.informer("-r", "cofigmaps", "--once", "--log-format", "json")
        self.assertEqual(informer.wait_for_exit(20), 1)
        said = [json.loads(line) for line in informer.errors]
        self.assertEqual([line["level"] for line in said if "cofigmaps" in line["message"]], ["error"])
        self.assertRegex(said[-1]["message"], words)

    def test_a_context_that_leads_nowhere_is_waited_for_and_said_once(self):
        self.broker = self.start(Mosquitto())
        kubeconfig = write_kubeconfig(self.folder / "nowhere", f"https://127.0.0.1:{free_port()}", token="t")
        provider = self.provider(kubeconfig=kubeconfig)
        provider.wait_for_error("API server cannot be asked.*127.0.0.1")
        provider.endpoint.wait_not_ready("API server")

    def test_with_the_documented_access_rules_everything_works(self):
        self.broker = self.start(Mosquitto(users={"c1": "secret", "hub": "secret"}, acl=ACCESS_RULES))
        self.provider(*self.signed_in("c1")).endpoint.wait_ready()
        informer = self.informer(*self.signed_in("hub"), "-r", "cm")
        informer.copy.wait_until_equal(lambda: served(self.api, "configmaps"), "c1", "configmaps")
        informer.endpoint.wait_ready()
        refused = [line for line in self.broker.log.read_text().splitlines() if "Denied" in line]
        self.assertEqual(refused, [])

    def test_a_provider_that_may_not_speak_for_its_cluster_is_not_ready_and_names_the_topic(self):
        self.broker = self.start(Mosquitto(users={"other": "secret"}, acl=ACCESS_RULES))
        provider = self.provider(*self.signed_in("other"))
        provider.wait_for_error("access rules do not let us publish to /payload/c1/presence; allow")
        provider.endpoint.wait_not_ready("/payload/c1/presence")
        self.broker.set_acl(ACCESS_RULES.replace("%u", "c1"))
        provider.endpoint.wait_ready()

    def test_a_provider_that_is_not_heard_is_not_ready_and_names_the_topic(self):
        self.broker = self.start(Mosquitto(users={"c1": "secret"}, acl="user c1\ntopic write /payload/c1/#\n"))
        provider = self.provider(*self.signed_in("c1"))
        provider.wait_for_error("/payload/c1/presence.*access rules", deadline=30)
        provider.endpoint.wait_not_ready("/payload/c1/presence")

    def test_an_informer_that_may_not_ask_says_which_topic(self):
        self.broker = self.start(Mosquitto(users={"c1": "secret", "hub": "secret"},
                                           acl=ACCESS_RULES.replace("topic write /signal/#", "topic read /signal/#")))
        self.provider(*self.signed_in("c1")).endpoint.wait_ready()
        informer = self.informer(*self.signed_in("hub"), "-r", "cm")
        informer.wait_for_error("access rules do not let us publish to /signal/c1; allow")
        informer.endpoint.wait_not_ready("configmaps of c1 has not arrived")

    def test_an_informer_that_hears_nothing_says_which_topics(self):
        self.broker = self.start(Mosquitto(users={"hub": "secret"}, acl="user hub\ntopic write /signal/#\n"))
        informer = self.informer(*self.signed_in("hub"), "-r", "cm")
        informer.wait_for_error("/signal/_client/.*access rules", deadline=30)

    def test_rights_taken_away_later_are_waited_for(self):
        self.broker = self.start(Mosquitto(users={"c1": "secret", "hub": "secret"}, acl=ACCESS_RULES))
        provider = self.provider(*self.signed_in("c1"))
        informer = self.informer(*self.signed_in("hub"), "-r", "cm")
        informer.copy.wait_synced("c1", "configmaps")
        self.broker.set_acl("topic read none\n")
        self.broker.kill()
        self.broker.start()
        provider.endpoint.wait_not_ready("/payload/c1/presence")
        self.broker.set_acl(ACCESS_RULES)
        self.api.put("/api/v1/namespaces/default/configmaps", {"metadata": {"name": "meanwhile"}})
        informer.copy.wait_until_equal(lambda: served(self.api, "configmaps"), "c1", "configmaps", deadline=60)
        provider.endpoint.wait_ready(60)
        informer.endpoint.wait_ready(60)


class Enemies(ScenarioCase):
    """Somebody with every right at the broker publishes what nobody of ours would."""

    @classmethod
    def start_parts(cls):
        cls.api = cls.start_for_all(ApiServer(cls.start_for_all(Etcd())))

    def setUp(self):
        self.broker = self.start(Mosquitto())
        self.main = self.provider(cluster="c1")
        self.follower = self.informer("-r", "cm", "--client-id", "victim")
        self.follower.copy.wait_synced("c1", "configmaps")
        scopes = {line.split()[0] for line in self.broker.log.read_text().splitlines() if line.startswith("/payload/c1/stream")}
        found = [word.strip("',") for line in self.broker.log.read_text().splitlines() for word in line.split() if "/payload/c1/stream/" in word]
        self.stream = (list(scopes) + found)[0]
        self.scope = self.stream.rpartition("/")[2]

    def publish(self, topic, body, *, kind=None, retain=False, **attributes):
        path = self.folder / f"message-{time.monotonic_ns()}"
        path.write_bytes(body if isinstance(body, bytes) else body.encode())
        words = ["-V", "mqttv5", "-q", "1", "-t", topic] + (["-r"] if retain else [])
        words += ["-f", path] if path.stat().st_size else ["-n"]
        if kind:
            attributes = {"specversion": "1.0", "id": "1", "source": "c1/x", "type": f"tinf.v1.{kind}", **attributes}
        for name, value in attributes.items():
            words += ["-D", "publish", "user-property", name, value]
        done = subprocess.run(["mosquitto_pub", "-h", "127.0.0.1", "-p", str(self.broker.port), *map(str, words)],
                              capture_output=True, text=True, timeout=20)
        self.assertEqual(done.returncode, 0, done.stderr)

    def refusals(self, daemon):
        return daemon.endpoint.metric("tinf_messages_refused_total")

    def refused_by(self, daemon, send, count=1):
        before = self.refusals(daemon)
        send()
        wait_until(lambda: self.refusals(daemon) >= before + count, 10, f"{daemon.name} refuses what came")

    def wait_unharmed(self):
        name = f"after-{time.monotonic_ns()}"
        self.api.put("/api/v1/namespaces/default/configmaps", {"metadata": {"name": name}})
        self.follower.copy.wait_for("ADDED", name)
        self.follower.copy.wait_until_equal(lambda: served(self.api, "configmaps"), "c1", "configmaps")
        self.follower.endpoint.wait_ready()
        self.main.endpoint.wait_ready()

    def frame(self, **changes):
        return json.dumps({"scope": self.scope, "epoch": "e", "after": 0, "through": 1000, "exact": True,
                           "events": [{"at": 1, "delete": {"namespace": "kube-system", "name": "extension-apiserver-authentication",
                                                           "uid": "u", "resourceVersion": "1"}}], **changes})

    def zstd(self, data):
        return subprocess.run(["zstd", "-19", "-c", "--stream-size", str(len(data))], input=data, capture_output=True, check=True).stdout

    def test_bytes_that_are_no_message_are_refused_everywhere(self):
        both = {"/signal/c1": self.main, "/signal/_all": self.main, "/payload/c1/presence": self.main, self.stream: self.follower,
                "/payload/c1/digest": self.follower, "/payload/c1/reply/victim": self.follower,
                "/signal/_client/victim": self.follower, "/payload/other/presence": self.follower}
        for topic, daemon in both.items():
            with self.subTest(topic):
                self.refused_by(daemon, lambda: self.publish(topic, "hello"))
                self.refused_by(daemon, lambda: self.publish(topic, bytes(range(256)) * 64))
                for kind in ("frame", "page", "notice", "digest", "presence", "client", "watch", "renew", "fetch", "ranges", "no such"):
                    self.publish(topic, "{", kind=kind)
                    self.publish(topic, "[]", kind=kind)
                    self.publish(topic, "{}", kind=kind)
                self.refused_by(daemon, lambda: self.publish(topic, "{}", type="tinf.v99.watch", source="c1/x"))
                self.refused_by(daemon, lambda: self.publish(topic, "{}", kind="frame", encoding="gzip"))
                self.refused_by(daemon, lambda: self.publish(topic, "{}", kind="frame", part="9/3"))
        self.wait_unharmed()

    def test_truncated_bodies_of_every_length_are_refused(self):
        whole = self.frame()
        for length in range(0, len(whole) - 1, 7):
            self.refused_by(self.follower, lambda: self.publish(self.stream, whole[:length] or " ", kind="frame"))
        self.wait_unharmed()

    def test_a_compressed_bomb_is_refused_before_it_grows(self):
        bomb = self.zstd(b"\0" * (200 << 20))
        before = self.follower.resident_bytes()
        self.refused_by(self.follower, lambda: self.publish(self.stream, bomb, kind="frame", encoding="zstd"))
        self.refused_by(self.main, lambda: self.publish("/signal/c1", bomb, kind="watch", encoding="zstd"))
        # One whose head lies about its size, and one that is cut.
        self.refused_by(self.follower, lambda: self.publish(self.stream, bomb[:6] + b"\x10" + bomb[7:], kind="frame", encoding="zstd"))
        self.refused_by(self.follower, lambda: self.publish(self.stream, self.zstd(self.frame().encode())[:-9], kind="frame", encoding="zstd"))
        self.assertLess(self.follower.resident_bytes(), before + (100 << 20))
        self.wait_unharmed()

    def test_deep_nesting_does_not_overflow_anything(self):
        for opening, closing in (("[", "]"), ('{"a":', "}")):
            deep = opening * 20000 + "1" + closing * 20000
            for kind, topic, daemon in (("watch", "/signal/c1", self.main), ("digest", "/payload/c1/digest", self.follower),
                                        ("frame", self.stream, self.follower), ("presence", "/payload/c1/presence", self.follower)):
                with self.subTest(kind=kind, opening=opening):
                    self.refused_by(daemon, lambda: self.publish(topic, deep, kind=kind))
                    self.publish(topic, '{"scope":' + deep + "}", kind=kind)
            self.publish(self.stream, self.frame(events=[]).replace("[]", '[{"at":1,"put":{"metadata":{"name":"x","a":' + deep + "}}}]"),
                         kind="frame")
        self.wait_unharmed()

    def test_another_clusters_name_on_a_clusters_topic_is_refused(self):
        self.refused_by(self.follower, lambda: self.publish(self.stream, self.frame(), kind="frame", source="c2/x"))
        presence = {"state": "present", "cluster": "c2", "instance": "i", "versions": [1], "resources": []}
        self.refused_by(self.follower, lambda: self.publish("/payload/c1/presence", json.dumps(presence), kind="presence"))
        self.refused_by(self.follower, lambda: self.publish("/payload/UPPER/presence", json.dumps({**presence, "cluster": "UPPER"}),
                                                            kind="presence", source="UPPER/x"))
        self.wait_unharmed()

    def test_forged_frames_and_digests_of_the_right_cluster_end_in_an_equal_copy(self):
        for _ in range(5):
            self.publish(self.stream, self.frame(), kind="frame")
            self.publish(self.stream, self.frame(after=1 << 60, through=(1 << 60) + 1), kind="frame")
            self.publish(self.stream, self.frame(events=[{"at": 1, "put": {"metadata": {"name": "forged"}}}]), kind="frame")
            self.publish("/payload/c1/digest", json.dumps({"interval": 4294967295, "streams": [
                {"scope": self.scope, "epoch": "e", "sequence": 1, "fingerprint": "0:" + "0" * 32}]}), kind="digest")
            self.publish("/payload/c1/reply/victim", json.dumps({
                "notice": "refused", "scope": self.scope, "reason": "Forbidden", "message": "\u001b[31mforged\n", "request": 1}), kind="notice")
        self.wait_unharmed()
        self.assertFalse([line for line in self.follower.errors if "\x1b" in line])

    def test_requests_beyond_measure_do_not_stop_a_provider(self):
        for number in range(50):
            self.publish("/signal/c1", json.dumps({
                "client": f"e{number}", "scope": {"group": "", "version": "v1", "resource": "configmaps", "labelSelector": f"a=b{number}"},
                "lease": 4294967295, "window": 4294967295, "request": number}), kind="watch", source="e/x")
        for client in ("a/b", "#", "", "x" * 200):
            self.publish("/signal/c1", json.dumps({"client": client, "scope": {"group": "", "version": "v1", "resource": "configmaps"},
                                                   "lease": 60, "window": 1, "request": 1}), kind="watch", source="e/x")
        self.publish("/signal/c1", json.dumps({"client": "e1", "scope": self.scope, "snapshot": "s", "pages": [[0, 4294967295]]}),
                     kind="fetch", source="e/x")
        self.publish("/signal/c1", json.dumps({"client": "e1", "scopes": ["x" * 10000] * 20}), kind="renew", source="e/x")
        wait_until(lambda: self.main.endpoint.metric("tinf_provider_scopes") >= 50, 20, "the provider follows what it was asked for")
        self.wait_unharmed()

    def test_a_presence_that_somebody_takes_back_is_said_again(self):
        for _ in range(3):
            self.publish("/payload/c1/presence", "", retain=True)
        self.wait_unharmed()

    def test_a_thousand_bad_messages_are_counted_and_logged_a_few_times(self):
        before = self.refusals(self.follower)
        path = self.folder / "lines"
        path.write_text("bad\n" * 1000)
        with open(path) as lines:
            subprocess.run(["mosquitto_pub", "-h", "127.0.0.1", "-p", str(self.broker.port), "-q", "1", "-t", self.stream, "-l"],
                           stdin=lines, check=True, timeout=30)
        wait_until(lambda: self.refusals(self.follower) >= before + 1000, 20, "all of them are counted")
        self.assertLess(len([line for line in self.follower.errors if "refused" in line]), 10)
        self.wait_unharmed()
