"""Who may read what of a fleet, in the hands of kubectl, old and new: certificates, tokens, rules, the audit log."""

import json
import os
import pathlib
import signal
import ssl
import socket
import subprocess

from real import (ApiServer, Authority, Daemon, Etcd, Kubectl, Mosquitto, ScenarioCase, program, wait_until, write_kubeconfig)

VERSIONS = ("new", "old")

RULES = """
rules:
- name: operators
  groups: [operators]
  clusters: ["*"]
  namespaces: ["*"]
  apiGroups: ["*"]
  resources: ["*", secrets]
  verbs: ["*"]
- name: first
  users: [first]
  clusters: ["cluster1"]
  namespaces: ["*"]
  apiGroups: ["*"]
  resources: ["*"]
  verbs: [get, list, watch]
- name: shop
  users: [shop, "system:serviceaccount:default:robot"]
  clusters: ["*"]
  namespaces: [shop]
  apiGroups: [""]
  resources: [configmaps]
  verbs: [get, list, watch]
- name: probes
  users: [first]
  nonResourceURLs: [/readyz]
  verbs: [get]
"""


def replace(path, text):
    """As whoever rotates files does it: never half a file under the name that is read."""
    fresh = path.with_name(path.name + ".new")
    fresh.write_text(text)
    fresh.rename(path)


class WhoMayRead(ScenarioCase):
    """cluster1 is a real API server, whose tokens count, too; cluster2 a devcluster. All listens on loopback, guarded as if it did not."""

    @classmethod
    def start_parts(cls):
        cls.broker = cls.start_for_all(Mosquitto())
        cls.api = cls.start_for_all(ApiServer(cls.start_for_all(Etcd())))
        kubeconfig = cls.folder / "cluster2"
        cls.start_for_all(Daemon("devcluster", "--kubeconfig-out", kubeconfig)).wait_for_line("devcluster serves")
        cls.own = {"cluster1": Kubectl(cls.api.kubeconfig()), "cluster2": Kubectl(kubeconfig)}
        for cluster, config in (("cluster1", cls.api.kubeconfig()), ("cluster2", kubeconfig)):
            cls.own[cluster].run("create", "namespace", "shop")
            for namespace in ("default", "shop"):
                cls.own[cluster].run("create", "configmap", "settings", "-n", namespace, f"--from-literal=of={cluster}")
            cls.start_for_all(cls.unstarted_provider("--allow", "secrets", cluster=cluster, kubeconfig=config))
        cls.pki = cls.folder / "pki"
        cls.serving = Authority(cls.pki / "serving", "serving")
        cls.clients = Authority(cls.pki / "clients", "clients")
        certificate, key = cls.serving.server("informer")
        cls.rules, cls.tokens, cls.audit = cls.folder / "rules.yaml", cls.folder / "tokens", cls.folder / "audit.jsonl"
        cls.rules.write_text(RULES)
        cls.tokens.write_text('shop-token,shop,2\nnobody-token,nobody,3\n')
        cls.informer = cls.start_for_all(cls.unstarted_informer(
            "--serve", "127.0.0.1:0", "--tls-cert", certificate, "--tls-key", key, "--client-ca", cls.clients.certificate,
            "--token-file", cls.tokens, "--token-review-kubeconfig", cls.api.kubeconfig(), "--authorization-file", cls.rules,
            "--audit-log", cls.audit, output="none"))
        cls.url = cls.informer.wait_for_error(r'url="?(https://[0-9.:]+)').group(1)
        cls.informer.endpoint.wait_ready()
        cls.certificates = {"operator": cls.clients.client("operator", "operators"), "first": cls.clients.client("first", "dev")}

    @classmethod
    def config(cls, name, path="", **words):
        return write_kubeconfig(cls.folder / f"config-{name}{path.replace('/', '-')}", cls.url + path,
                                authority=cls.serving.certificate, **words)

    def by_certificate(self, user, version, path=""):
        certificate, key = self.certificates[user]
        return Kubectl(self.config(user, path, certificate=certificate, key=key), version=version)

    def by_token(self, token, version, path=""):
        return Kubectl(self.config(token[:12], path, token=token), version=version)

    def namespaces_of(self, kubectl, *words):
        items = json.loads(kubectl.run("get", "cm", "-A", "-o", "json", *words).stdout)["items"]
        return sorted(one["metadata"]["namespace"] for one in items if one["metadata"]["name"] == "settings")

    def audited(self, **members):
        return [line for line in map(json.loads, self.audit.read_text().splitlines()) if members.items() <= line.items()]

    def test_the_fleet_is_what_one_may_read_of_it(self):
        for version in VERSIONS:
            with self.subTest(version):
                self.assertEqual(self.namespaces_of(self.by_certificate("operator", version)),
                                 ["cluster1.default", "cluster1.shop", "cluster2.default", "cluster2.shop"])
                first = self.by_certificate("first", version)
                self.assertEqual(self.namespaces_of(first), ["cluster1.default", "cluster1.shop"])
                self.assertEqual(self.namespaces_of(first, "--chunk-size=1"), ["cluster1.default", "cluster1.shop"])
                refused = first.run("get", "cm", "-n", "cluster2.shop", check=False)
                self.assertIn('configmaps is forbidden: User "first" cannot list resource "configmaps" in API group "" in the '
                              'namespace "cluster2.shop"', refused.stderr)
                self.assertIn("doesn't have a resource type", first.run("get", "secrets", "-A", check=False).stderr)
                self.assertIn("Forbidden", first.run("get", "--raw", "/api/v1/secrets", check=False).stderr)
                shop = self.by_token("shop-token", version)
                self.assertEqual(json.loads(shop.run("get", "cm", "settings", "-n", "cluster2.shop", "-o", "json").stdout)["data"],
                                 {"of": "cluster2"})
                self.assertIn('cannot list resource "configmaps" in API group "" at the cluster scope',
                              shop.run("get", "cm", "-A", check=False).stderr)
                self.assertEqual(self.by_token("shop-token", version, "/clusters/cluster2")
                                 .run("get", "cm", "settings", "-n", "shop", "-o", "name").stdout.strip(), "configmap/settings")
                self.assertNotIn("deployments", shop.run("api-resources").stdout)
                self.assertIn("configmaps", shop.run("api-resources").stdout)
                stranger = self.by_token("wrong-token", version)
                self.assertRegex(stranger.run("get", "cm", "-A", check=False).stderr, "Unauthorized|logged in")

    def test_kubectl_auth_tells_what_one_may(self):
        for version in VERSIONS:
            with self.subTest(version):
                shop, first = self.by_token("shop-token", version), self.by_certificate("first", version)

                def can_i(kubectl, *words):
                    done = kubectl.run("auth", "can-i", *words, check=False)
                    self.assertIn(done.stdout.split()[0], ("yes", "no"), done)
                    return done.stdout.split()[0] == "yes"
                self.assertTrue(can_i(shop, "get", "cm", "-n", "cluster1.shop"))
                self.assertFalse(can_i(shop, "get", "cm", "-n", "cluster1.default"))
                self.assertFalse(can_i(shop, "list", "cm", "-A"))
                self.assertTrue(can_i(first, "list", "cm", "-A"))
                self.assertTrue(can_i(first, "watch", "nodes"))
                self.assertFalse(can_i(first, "delete", "cm", "-n", "cluster1.shop"))
                self.assertFalse(can_i(first, "get", "secrets", "-n", "cluster1.shop"))
                self.assertTrue(can_i(first, "get", "/readyz"))
                self.assertFalse(can_i(shop, "get", "/readyz"))
                listed = shop.run("auth", "can-i", "--list", "-n", "cluster1.shop").stdout
                self.assertRegex(listed, r"configmaps +\[\] +\[\] +\[get list watch\]")
        said = json.loads(self.by_certificate("first", "new").run("auth", "whoami", "-o", "json").stdout)
        self.assertEqual(said["status"]["userInfo"], {"username": "first", "groups": ["dev", "system:authenticated"]})

    def test_a_clusters_tokens_count_if_its_api_server_says_so(self):
        self.api.service_account("robot", [])
        token = self.api.tokens["default-robot"]
        for version in VERSIONS:
            with self.subTest(version):
                robot = self.by_token(token, version)
                self.assertIn("settings", robot.run("get", "cm", "-n", "cluster2.shop").stdout)
                refused = robot.run("get", "cm", "-n", "cluster2.default", check=False)
                self.assertIn('User "system:serviceaccount:default:robot" cannot list', refused.stderr)
        self.own["cluster1"].run("delete", "serviceaccount", "robot")
        robot = self.by_token(token, "new")
        wait_until(lambda: "nauthorized" in robot.run("get", "cm", "-n", "cluster2.shop", check=False).stderr
                   or "logged in" in robot.run("get", "cm", "-n", "cluster2.shop", check=False).stderr, 40,
                   "a token whose account has gone is nobody's")

    def test_files_are_read_again_while_it_serves(self):
        first = self.by_certificate("first", "new")

        def set_back():
            replace(self.rules, RULES)
            wait_until(lambda: first.run("get", "--raw", "/api/v1/configmaps", check=False).returncode == 0, 20,
                       "the rules of the other tests are in force")
        self.addCleanup(set_back)
        nobody = self.by_token("nobody-token", "new")
        watch = first.start("get", "cm", "-A", "-w", "-o", "name")
        self.addCleanup(lambda: (watch.kill(), watch.communicate()))
        wait_until(lambda: self.audited(stage="watch-started", user="first"), 20, "the watch is open")
        self.assertIn("Forbidden", nobody.run("get", "--raw", "/api/v1/configmaps", check=False).stderr)
        replace(self.rules, RULES.replace("users: [first]", "users: [nobody]"))
        wait_until(lambda: nobody.run("get", "--raw", "/api/v1/configmaps", check=False).returncode == 0, 20, "the new rules are in force")
        wait_until(lambda: self.audited(stage="watch-ended", user="first"), 20, "who may not watch any more does not")
        replace(self.rules, RULES + "  verb: [get]\n")
        self.informer.wait_for_error(f'the new authorization file is no good.*line {RULES.count(chr(10)) + 1}: a rule has no .*verb')
        self.assertEqual(nobody.run("get", "--raw", "/api/v1/configmaps", check=False).returncode, 0)
        self.assertGreaterEqual(self.informer.endpoint.metric("tinf_api_reload_failures_total"), 1)

    def test_the_audit_log_tells_who_read_what(self):
        self.by_token("shop-token", "new").run("get", "cm", "settings", "-n", "cluster1.shop")
        (line, *_) = self.audited(user="shop", verb="get", resource="configmaps", cluster="cluster1", namespace="shop", name="settings")
        self.assertEqual((line["decision"], line["rule"], line["code"], line["from"]), ("allow", "shop", 200, "127.0.0.1"))
        self.assertGreater(line["bytes"], 100)
        self.assertIn("kubectl", line["userAgent"])
        self.assertNotIn("-token", self.audit.read_text())
        self.assertFalse([line for line in self.informer.errors if "shop-token" in line])
        self.assertEqual(self.audit.stat().st_mode & 0o777, 0o600)
        moved = self.audit.with_name("audit.1")
        self.audit.rename(moved)
        os.kill(self.informer.pid, signal.SIGHUP)
        wait_until(self.audit.exists, 10, "SIGHUP opens it anew")
        self.by_token("shop-token", "new").run("get", "cm", "settings", "-n", "cluster1.shop")
        self.assertTrue(self.audited(user="shop"))

    def test_metrics_of_the_api(self):
        self.by_token("shop-token", "new").run("get", "cm", "settings", "-n", "cluster1.shop")
        self.by_token("wrong-token", "new").run("get", "cm", check=False)
        metric = self.informer.endpoint.metric
        self.assertGreaterEqual(metric("tinf_api_requests_total", verb="get", resource="configmaps", code="200"), 1)
        self.assertGreaterEqual(metric("tinf_api_authentication_failures_total"), 1)
        self.assertGreaterEqual(metric("tinf_api_request_duration_seconds_count", verb="get"), 1)
        self.assertGreater(metric("tinf_api_sent_bytes_total"), 0)
        self.assertEqual(metric("tinf_api_requests_in_flight"), 0)

    def test_tls_is_new_and_plain_text_is_not_spoken(self):
        host, port = self.url.removeprefix("https://").split(":")
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("ALL:@SECLEVEL=0")
        old.minimum_version, old.maximum_version = ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_1
        with socket.create_connection((host, int(port))) as raw, self.assertRaises((ssl.SSLError, ConnectionError)):
            old.wrap_socket(raw)
        with socket.create_connection((host, int(port))) as raw:
            raw.sendall(b"GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n")
            self.assertNotIn(b"200", raw.recv(1000))
        self.assertGreaterEqual(self.informer.endpoint.metric("tinf_api_tls_handshake_failures_total"), 2)


class CommandLine(ScenarioCase):
    """What is refused before anything is served, and the question to a file alone."""

    def test_others_are_served_only_if_it_is_said_who_and_what(self):
        folder = pathlib.Path(self.folder)
        certificate, key = Authority(folder / "pki").server("informer")
        tokens, rules = folder / "tokens", folder / "rules"
        tokens.write_text("t\n")
        rules.write_text("rules: []\n")
        open_to_all = ["--broker", "127.0.0.1:1", "--serve", "0.0.0.0:0"]
        tls = ["--tls-cert", certificate, "--tls-key", key]
        for flags, said in (([], "it needs --tls-cert and --tls-key"), (tls, "it needs --client-ca, --token-file or"),
                            ([*tls, "--token-file", tokens], "it needs --authorization-file, or --authorization-mode AlwaysAllow")):
            status, _, errors = self.run_to_end("informer", *open_to_all, *flags)
            self.assertEqual(status, 2)
            self.assertIn(said, "\n".join(errors))
        rules.write_text("rules:\n- users: [jane]\n  verbs: [delete]\n")
        status, _, errors = self.run_to_end("informer", *open_to_all, *tls, "--token-file", tokens, "--authorization-file", rules)
        self.assertEqual(status, 1)
        self.assertIn(f"{rules}: line 2: the rule needs clusters", "\n".join(errors))

    def test_informer_auth_can_i(self):
        rules = self.folder / "rules.yaml"
        rules.write_text(RULES)

        def ask(*words):
            done = subprocess.run([program("informer"), "auth", "can-i", *words, "--authorization-file", rules], text=True,
                                  capture_output=True)
            return done.returncode, (done.stdout + done.stderr).strip()
        self.assertEqual(ask("get", "cm", "-n", "cluster1.shop", "--as", "shop")[0], 1, "a file knows no short names")
        self.assertEqual(ask("get", "configmaps", "-n", "cluster1.shop", "--as", "shop"), (0, 'yes: the rule "shop" allows it'))
        self.assertEqual(ask("list", "pods", "--as", "x", "--as-group", "operators"),
                         (0, 'yes: the rule "operators" allows it, of its clusters'))
        self.assertEqual(ask("get", "pods", "--as")[0], 2)
