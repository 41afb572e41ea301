"""Every way in which the daemons can be told what to do: flags, environment, file, and the credentials behind them."""

import json
import pathlib
import re
import shutil
import socket
import subprocess

from real import (ApiServer, Authority, Copy, Daemon, Endpoint, Etcd, Mosquitto, ScenarioCase, free_port, program,
                  served, wait_until, write_kubeconfig)

READ_ALL = [{"apiGroups": [""], "resources": ["configmaps", "namespaces"], "verbs": ["get", "list", "watch"]}]


class OptionCase(ScenarioCase):
    @classmethod
    def start_parts(cls):
        cls.etcd = cls.start_for_all(Etcd())
        cls.api = cls.start_for_all(ApiServer(cls.etcd, users=("restricted", "rotated", "planned")))

    def file(self, name, text):
        path = self.folder / name
        path.write_text(text)
        return path

    def wait_equal(self, informer, cluster="c1"):
        informer.copy.wait_until_equal(lambda: served(self.api, "configmaps"), cluster, "configmaps")

    def at(self, url):
        """Something with a url, as provider() and informer() take a broker."""
        return type("Address", (), {"url": url})

    def travels(self, broker, *flags, provider_flags=None, informer_flags=None, **options):
        provider = self.provider(*flags, *(provider_flags or ()), broker=broker, **options)
        informer = self.informer("-r", "cm", *flags, *(informer_flags or ()), broker=broker)
        self.wait_equal(informer)
        provider.endpoint.wait_ready()
        informer.endpoint.wait_ready()
        self.assertEqual((informer.terminate(), provider.terminate()), (0, 0))
        return provider


class Brokers(OptionCase):
    def test_every_spelling_of_a_brokers_address(self):
        broker = self.start(Mosquitto())
        secure = self.start(Mosquitto(tls=True))
        trust = ["--ca-crt", secure.authority.certificate]
        plain = f"127.0.0.1:{broker.port}"
        hidden = f"localhost:{secure.port}"
        for url, flags in ((plain, []), (f"tcp://{plain}", []), (f"mqtt://{plain}/", []), (f"mqtts://{hidden}", trust),
                           (f"ssl://{hidden}", trust), (hidden, ["--tls", *trust]), (f"tcp://{hidden}", trust)):
            with self.subTest(url=url, flags=flags):
                self.travels(self.at(url), *flags)

    def test_a_client_certificate_is_the_name_at_the_broker(self):
        broker = self.start(Mosquitto(client_certificates=True, acl=(
            "pattern readwrite /payload/%u/#\npattern read /signal/%u\npattern read /signal/_all\n"
            "pattern readwrite /signal/_client/%c\nuser hub\ntopic write /signal/#\ntopic read /signal/_client/+\ntopic read /payload/#\n")))

        def signed(name):
            certificate, key = broker.client_certificate(name)
            return ["--client-crt", certificate, "--client-key", key]
        self.travels(broker, "--ca-crt", broker.authority.certificate, provider_flags=signed("c1"), informer_flags=signed("hub"))

    def test_a_user_name_with_a_password_from_a_file(self):
        broker = self.start(Mosquitto(users={"both": "s3cret with spaces"}))
        for ending in ("\n", "", "\r\n"):
            password = self.file(f"password{len(ending)}", "s3cret with spaces" + ending)
            with self.subTest(ending=ending):
                self.travels(broker, "--username", "both", "--password-file", password)

    def test_topic_bases_in_both_spellings_keep_two_fleets_apart(self):
        self.broker = self.start(Mosquitto())
        self.provider("--signal-topic", "fleet/a/signal", "--payload-topic", "fleet/a")
        self.provider("--signal", "x", "--payload", "x", cluster="c2")
        long, short = (self.informer("-r", "cm", "--signal", "fleet/a/signal", "--payload", "fleet/a"),
                       self.informer("-r", "cm", "--signal-topic", "x", "--payload-topic", "x"))
        self.wait_equal(long)
        self.wait_equal(short, "c2")
        self.assertEqual((long.copy.objects("c2", "configmaps"), short.copy.objects("c1", "configmaps")), ({}, {}))
        topics = subprocess.run(["mosquitto_sub", "-h", "127.0.0.1", "-p", str(self.broker.port), "-t", "#", "-F", "%t",
                                 "--retained-only", "-W", "1"], text=True, capture_output=True, timeout=20).stdout.split()
        self.assertIn("fleet/a/c1/presence", topics)
        self.assertIn("x/c2/presence", topics)
        self.assertFalse([topic for topic in topics if topic.startswith("/")], topics)

    def test_the_quality_of_service_is_the_one_asked_for(self):
        for qos in (0, 1, 2):
            with self.subTest(qos=qos):
                broker = self.start(Mosquitto())
                self.travels(broker, "--qos", qos)
                log = broker.log.read_text()
                self.assertEqual(set(re.findall(r"Received PUBLISH from \S+ \(d0, q(\d)", log)), {str(qos)})
                self.assertEqual(set(re.findall(r"\(QoS (\d)\)", log)), {str(qos)})

    def test_a_broker_that_takes_only_small_packets_is_served_in_parts(self):
        broker = self.start(Mosquitto(max_packet_size=4096))
        self.api.put("/api/v1/namespaces/default/configmaps",
                     {"metadata": {"name": "large"}, "data": {str(number): "x" * 1000 + str(number) * 50 for number in range(60)}})
        self.travels(broker)

    def test_a_broker_with_a_limit_that_it_does_not_announce_is_served_in_smaller_parts(self):
        broker = self.start(Mosquitto(settings=["message_size_limit 4000"]))
        noise = "".join(f"{number * number * 7919 % 1000003:06d}" for number in range(30000))  # Not to be compressed to nothing.
        self.api.put("/api/v1/namespaces/default/configmaps", {"metadata": {"name": "noise"}, "data": {"text": noise}})
        provider = self.travels(broker)
        self.assertEqual(len([line for line in provider.errors if "--maximum-message-size" in line]), 1)
        # At quality of service 0 no broker says what it refuses.
        self.travels(broker, "-q", "0", "--maximum-message-size", "4000")


class Stores(OptionCase):
    def test_plain_and_compressed_copies_are_equal_and_the_compressed_one_is_smaller(self):
        self.broker = self.start(Mosquitto())
        self.api.add_config_maps(1000, prefix="load", size=3000)
        self.provider()
        config = self.file("informer.yaml", 'store: "memory:?compress=true"\nresource: cm\n')
        informers = {"memory:": self.informer("-r", "cm", "--store", "memory:"),
                     "memory:?compress=true": self.informer("-r", "cm", "--store", "memory:?compress=true"),
                     "of the file": self.informer("--config", config)}
        for informer in informers.values():
            self.wait_equal(informer)
        for number in range(0, 1000, 20):
            path = f"/api/v1/namespaces/default/configmaps/load-{number:05}"
            if number % 40 == 0:
                self.api.must("DELETE", path)
            else:
                self.api.must("PATCH", path, {"data": {"number": "again"}}, content_type="application/merge-patch+json")
        for informer in informers.values():
            self.wait_equal(informer)
            informer.endpoint.wait_ready()
        taken = {name: informer.endpoint.metric("tinf_informer_store_bytes", resource="configmaps") for name, informer in informers.items()}
        for name in ("memory:?compress=true", "of the file"):
            self.assertLess(taken[name], 0.7 * taken["memory:"])  # Half of each object is without pattern.


class Environments(OptionCase):
    def setUp(self):
        self.broker = self.start(Mosquitto())
        self.home = {"HOME": str(self.folder / "nobody"), "KUBECONFIG": "", "KUBERNETES_SERVICE_HOST": ""}

    def daemon(self, *words, **environment):
        endpoint = Endpoint(free_port())
        daemon = self.start(Daemon(*words, "--listen", endpoint.address, environment={**self.home, **environment}))
        daemon.endpoint = endpoint
        daemon.copy = Copy(daemon)
        return daemon

    def test_an_informer_whose_lines_go_nowhere_says_why(self):
        self.provider()
        command = f"exec {program('informer')} -b {self.broker.url} --client-id i --once"
        for redirection, named in ((">/dev/full", "No space left on device"), (">&-", "Bad file descriptor")):
            done = subprocess.run(["sh", "-c", f"{command} {redirection}"], stderr=subprocess.PIPE, text=True, timeout=30, check=False)
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertRegex(done.stderr.splitlines()[-1], f"^informer: stdout cannot be written: {named}")

    def test_broker_and_kubeconfig_come_from_the_environment_and_a_flag_wins(self):
        kubeconfig = str(self.api.kubeconfig())
        self.daemon("provider", "--cluster", "c1", BROKER=self.broker.url, KUBECONFIG=f"/no/such/file:{kubeconfig}")
        informer = self.daemon("informer", "-r", "cm", "-o", "json", BROKER=self.broker.url)
        self.wait_equal(informer)
        self.daemon("provider", "--cluster", "c2", "--broker", self.broker.url, "--kubeconfig", kubeconfig,
                    BROKER="mqtt://127.0.0.1:1", KUBECONFIG="/no/such/file")
        self.wait_equal(informer, "c2")

    def test_the_kubeconfig_at_home_is_found_as_by_kubectl(self):
        home = self.folder / "home"
        (home / ".kube").mkdir(parents=True)
        (home / ".kube" / "config").write_text(self.api.kubeconfig().read_text())
        self.daemon("provider", "--cluster", "c1", "-b", self.broker.url, HOME=str(home)).endpoint.wait_ready()

    def test_another_context_than_the_current_one(self):
        text = self.api.kubeconfig().read_text()
        text = text.replace("current-context: test", "current-context: wrong").replace("contexts:", (
            "contexts:\n- name: wrong\n  context: {cluster: nowhere, user: test}")).replace("clusters:", (
                "clusters:\n- name: nowhere\n  cluster: {server: 'https://127.0.0.1:1'}"), 1)
        self.provider("--context", "test", kubeconfig=self.file("two-contexts", text)).endpoint.wait_ready()

    def test_a_configuration_file_holds_every_flag_and_the_command_line_wins(self):
        listen = Endpoint(free_port())
        config = self.file("provider.yaml", f"""
# the provider's
broker: {self.broker.url}
cluster: from-file
kubeconfig: {self.api.kubeconfig()}
signal: /s
payload-topic: /p
qos: 0
offer: [configmaps, deployments.apps]
deny:
- deployments
managed-fields: true
log-format: json
listen: {listen.address}
""")
        provider = self.start(Daemon("provider", "--config", config))
        listen.wait_ready()
        config = self.file("informer.yaml", f"broker: 'mqtt://127.0.0.1:1'\nsignal-topic: /s\npayload: /p\ncluster:\n- from-file\n"
                                            f"output: json\nonce: true\ntimeout: 20s\nmanaged-fields: true\nresource: cm\n")
        informer = self.daemon("informer", "--config", config, "--broker", self.broker.url)
        self.assertEqual(informer.wait_for_exit(30), 0)
        self.assertEqual(informer.copy.refresh().synced, {("from-file", "configmaps")})
        informer.copy.wait_until_equal(lambda: served(self.api, "configmaps", managed_fields=True), "from-file", "configmaps")
        self.assertTrue(json.loads(provider.errors[0]))

    def test_log_lines_in_json_are_objects_with_level_component_and_message(self):
        provider = self.provider("--log-format", "json", "-v")
        informer = self.informer("-r", "cm", "--log-format", "json")
        self.wait_equal(informer)
        provider.kill()
        informer.wait_for_error("the cluster is away")
        for line in provider.errors + informer.errors:
            record = json.loads(line)
            self.assertLessEqual({"time", "level", "component", "message"}, set(record), line)
            self.assertIsInstance(record["time"], int)
        self.assertIn("warning", {json.loads(line)["level"] for line in informer.errors})

    def test_version_and_help_go_to_stdout(self):
        for name in ("provider", "informer"):
            status, lines, errors = self.run_to_end(name, "--version")
            self.assertEqual((status, errors), (0, []))
            self.assertRegex("\n".join(lines), rf"^{name} \d+\.\d+\.\d+$")
            status, lines, errors = self.run_to_end(name, "--help")
            self.assertEqual((status, errors), (0, []))
            self.assertIn("--broker", "\n".join(lines))

    def test_the_endpoints_answer_probes_scrapers_and_strangers(self):
        provider, informer = self.provider(), self.informer("-r", "cm")
        self.wait_equal(informer)
        for daemon, metrics in ((provider, {"tinf_provider_scopes": 1, "tinf_provider_subscriptions": 1}),
                                (informer, {"tinf_informer_clusters": 1, "tinf_informer_live": 1})):
            daemon.endpoint.wait_ready()
            self.assertEqual(daemon.endpoint.get("/livez"), (200, "ok\n"))
            self.assertEqual(daemon.endpoint.get("/readyz?verbose")[0], 200)
            self.assertEqual(daemon.endpoint.get("/")[0], 404)
            for name, value in metrics.items():
                wait_until(lambda: daemon.endpoint.metric(name) == value, 10, f"{name} is {value}")
            text = daemon.endpoint.get("/metrics")[1]
            for line in text.splitlines():
                self.assertRegex(line, r"^(# (HELP|TYPE) \w+ .*|\w+(\{.*\})? [-+\d.e]+)$")
            # Whoever connects and says nothing, or too much, keeps nobody from being probed.
            strangers = [socket.create_connection(("127.0.0.1", daemon.endpoint.port)) for _ in range(40)]
            for stranger in strangers[:10]:
                stranger.sendall(b"GET /livez HTTP/1.1\r\nX: " + b"x" * 20000)
            self.assertEqual(daemon.endpoint.get("/livez")[0], 200)
            for stranger in strangers:
                stranger.close()

    def test_the_proof_of_equality_ages_while_the_provider_is_away_and_is_renewed(self):
        provider, informer = self.provider(), self.informer("-r", "cm")
        self.wait_equal(informer)
        age = lambda: informer.endpoint.metric("tinf_informer_proven_equal_age_seconds", resource="configmaps")
        wait_until(lambda: 0 <= age() < 60, 60, "a first proof")
        provider.kill()
        informer.wait_for_error("the cluster is away")
        then = age()
        wait_until(lambda: age() >= then + 1, 10, "it grows older")
        provider.start()
        wait_until(lambda: 0 <= age() < then + 1, 60, "a newer proof")


class Credentials(OptionCase):
    def setUp(self):
        self.broker = self.start(Mosquitto())

    def change_tokens(self, user):
        """From now on the user has another token, which is returned; the API server has restarted."""
        old = self.api.tokens[user]
        self.api.tokens[user] = old[::-1] + "x"
        path = self.api.folder / "tokens.csv"
        path.write_text(path.read_text().replace(old, self.api.tokens[user]))
        self.api.restart()
        return self.api.tokens[user]

    def follow(self, kubeconfig):
        provider = self.provider(kubeconfig=kubeconfig)
        informer = self.informer("-r", "cm")
        self.wait_equal(informer)
        return provider, informer

    def change(self, name):
        self.api.put("/api/v1/namespaces/default/configmaps", {"metadata": {"name": name}})

    def test_every_kind_of_credentials(self):
        for credentials in ("token", "token-file", "certificate"):
            with self.subTest(credentials):
                provider, informer = self.follow(self.api.grant("restricted", READ_ALL, credentials=credentials))
                informer.kill()
                provider.kill()

    def test_a_service_account_with_a_token_in_a_file(self):
        self.follow(self.api.service_account("provider", READ_ALL))

    def test_a_token_file_that_is_rotated_is_read_again(self):
        kubeconfig = self.api.grant("rotated", READ_ALL, credentials="token-file")
        provider, informer = self.follow(kubeconfig)
        token = self.change_tokens("rotated")
        provider.wait_for_error("Unauthorized", deadline=60)
        (self.api.folder / "token-rotated").write_text(token)
        self.change("rotated")
        informer.copy.wait_for("ADDED", "rotated", deadline=60)
        self.wait_equal(informer)
        provider.endpoint.wait_ready(60)

    def test_a_wrong_token_is_waited_for_and_said_once(self):
        path = self.file("wrong-token", "wrong")
        kubeconfig = write_kubeconfig(self.folder / "wrong", self.api.url, authority=self.api.authority.certificate, token_file=path)
        provider = self.provider(kubeconfig=kubeconfig)
        provider.wait_for_error("API server cannot be asked.*Unauthorized")
        provider.endpoint.wait_not_ready("API server")
        path.write_text(self.api.tokens["admin"])
        provider.endpoint.wait_ready(60)
        self.assertEqual(len([line for line in provider.errors if "Unauthorized" in line]), 1, provider.errors)

    def test_a_certificate_authority_that_does_not_fit_is_named(self):
        foreign = Authority(self.folder / "foreign")
        kubeconfig = write_kubeconfig(self.folder / "foreign-authority", self.api.url, authority=foreign.certificate,
                                      token=self.api.tokens["admin"])
        provider = self.provider(kubeconfig=kubeconfig)
        provider.wait_for_error("API server cannot be asked.*certificate")

    def test_a_plugin_gives_credentials_and_is_asked_again_when_they_are_refused(self):
        self.api.grant("planned", READ_ALL)
        token, calls = self.file("plugin-token", self.api.tokens["planned"]), self.folder / "plugin-calls"
        plugin = self.file("plugin", f"""#!/bin/sh
echo "$KUBERNETES_EXEC_INFO" >> {calls}
printf '{{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{{"token":"%s"}}}}' "$(cat {token})"
""")
        plugin.chmod(0o755)
        kubeconfig = write_kubeconfig(self.folder / "plugged", self.api.url, authority=self.api.authority.certificate)
        kubeconfig.write_text(kubeconfig.read_text().replace("user: {}", (
            "user:\n    exec:\n      apiVersion: client.authentication.k8s.io/v1\n"
            f"      command: {plugin}\n      interactiveMode: Never\n      provideClusterInfo: true")))
        provider, informer = self.follow(kubeconfig)
        self.assertEqual(len(calls.read_text().splitlines()), 1)
        info = json.loads(calls.read_text())
        self.assertEqual(info["kind"], "ExecCredential")
        self.assertEqual(info["spec"]["cluster"]["server"], self.api.url)
        token.write_text(self.change_tokens("planned"))
        self.change("planned")
        informer.copy.wait_for("ADDED", "planned", deadline=60)
        provider.endpoint.wait_ready(60)
        self.assertGreater(len(calls.read_text().splitlines()), 1)

    def test_a_plugin_that_fails_is_quoted(self):
        plugin = self.file("failing", "#!/bin/sh\necho 'log in first' >&2\nexit 3\n")
        plugin.chmod(0o755)
        kubeconfig = write_kubeconfig(self.folder / "failing-plugin", self.api.url, authority=self.api.authority.certificate)
        kubeconfig.write_text(kubeconfig.read_text().replace("user: {}", (
            f"user:\n    exec:\n      apiVersion: client.authentication.k8s.io/v1\n      command: {plugin}\n      interactiveMode: Never")))
        self.provider(kubeconfig=kubeconfig).wait_for_error("API server cannot be asked.*failing.*(log in first|3)")

    def pod(self, files):
        """The command line's beginning of a process that finds `files` (name: text) where a pod has its service account.

        In a mount namespace of its own, where the machine lets us have one: root does in most places, others in a user
        namespace. In a container that forbids both, root puts them there for the length of the test.
        """
        place = pathlib.Path("/run/secrets/kubernetes.io/serviceaccount")
        for flags in (["--mount"], ["--map-root-user", "--mount"]):
            unshare = ["/usr/bin/unshare", *flags, "sh", "-c"]
            if subprocess.run([*unshare, "mount -t tmpfs none /run"], capture_output=True, check=False).returncode == 0:
                source = self.folder / "serviceaccount"
                script = f'mount -t tmpfs none /run && mkdir -p {place} && cp {source}/* {place} && exec "$@"'
                break
        else:
            self.assertFalse(place.exists(), "this machine forbids mount namespaces, and is in a pod itself")
            self.addCleanup(shutil.rmtree, place.parent)
            source, unshare, script = place, ["/bin/sh", "-c"], 'exec "$@"'
        source.mkdir(parents=True)
        for name, text in files.items():
            (source / name).write_text(text)
        return [*unshare, script, "sh"]

    def test_in_a_pod_the_service_account_is_found(self):
        self.api.service_account("pod", READ_ALL)
        beginning = self.pod({"token": self.api.tokens["default-pod"], "namespace": "default",
                              "ca.crt": self.api.authority.certificate.read_text()})
        endpoint = Endpoint(free_port())
        provider = self.start(Daemon(*beginning, program("provider"),
                                     "--cluster", "c1", "-b", self.broker.url, "--listen", endpoint.address, label="provider",
                                     environment={"KUBERNETES_SERVICE_HOST": "127.0.0.1", "KUBERNETES_SERVICE_PORT": str(self.api.port),
                                                  "KUBECONFIG": "", "HOME": str(self.folder / "nobody")}))
        endpoint.wait_ready()
        informer = self.informer("-r", "cm")
        self.wait_equal(informer)
        self.assertTrue(provider.running)

    def test_a_right_that_is_taken_away_while_watching_keeps_the_copy_and_is_said(self):
        provider, informer = self.follow(self.api.grant("restricted", READ_ALL))
        held = len(informer.copy.objects("c1", "configmaps"))
        self.api.grant("restricted", [])
        self.api.restart()  # Open watches are not asked again.
        provider.wait_for_error("Forbidden", deadline=60)
        self.assertEqual(len(informer.copy.objects("c1", "configmaps")), held)
        self.api.grant("restricted", READ_ALL)
        self.change("granted-again")
        informer.copy.wait_for("ADDED", "granted-again", deadline=90)
