"""The devcluster in the hands of kubectl, old and new: what it is asked, a real API server answers in the same words."""

import json
import re
import subprocess
import threading

from real import (ApiServer, Authority, Daemon, Etcd, Kubectl, Mosquitto, RealTestCase, ScenarioCase, wait_until)

VERSIONS = ("new", "old")


def text(thing):
    return json.dumps(thing)


def config_map(name, **data):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


DEPLOYMENT = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {
    "replicas": 2, "selector": {"matchLabels": {"app": "d"}},
    "template": {"metadata": {"labels": {"app": "d"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}}}
WIDGETS = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.shop.example.com"},
           "spec": {"group": "shop.example.com", "scope": "Namespaced",
                    "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wi"]},
                    "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {
                        "type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]}}
WIDGET = {"apiVersion": "shop.example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"size": 1.5}}

# (words, what stands on stdin): one user's day, mistakes included.
DAY = [
    ("create configmap a --from-literal=k=v", ""), ("create configmap a --from-literal=k=v", ""),
    ("get configmap a -o jsonpath={.data}", ""), ("get cm", ""), ("get cm a -o name", ""), ("get ConfigMap a -o name", ""),
    ("apply -f -", text(config_map("a1", k="1"))), ("apply -f -", text(config_map("a1", k="1"))),
    ("apply -f -", text(config_map("a1", k="2"))), ("label cm a1 x=y", ""), ("label cm a1 x=z", ""),
    ("label cm a1 x=z --overwrite", ""), ("get cm -l x=z", ""), ("get cm -l x!=z -o name", ""), ("get cm -L x", ""),
    ("annotate cm a1 note=hi", ""), ("annotate cm a1 note-", ""), ("label cm a1 x-", ""),
    ('patch cm a1 --type=merge -p {"data":{"m":"1"}}', ""),
    ('patch cm a1 --type=json -p [{"op":"remove","path":"/data/m"}]', ""), ('patch cm a1 -p {"data":{"s":"1"}}', ""),
    ("get cm a1 -o jsonpath={.data}", ""), ("get cm --field-selector metadata.name=a1 -o name", ""),
    ("replace -f -", text(config_map("a1", k="9"))), ("get cm a1 -o jsonpath={.data.k}", ""),
    ("get cm nope", ""), ("delete cm nope", ""), ("get nonsense", ""), ("get cm --chunk-size=1 -o name", ""),
    ("create deployment web --image=nginx --replicas=2", ""), ("get deploy", ""), ("get deploy web -o jsonpath={.spec.replicas}", ""),
    ("set image deploy/web nginx=nginx:2", ""), ("set env deploy/web A=b", ""), ("apply -f -", text(DEPLOYMENT)),
    ("get deploy d -o jsonpath={.spec.strategy.type}", ""), ("get deploy d -o jsonpath={.metadata.generation}", ""),
    ("create service clusterip s --tcp=80:80", ""), ("get svc s -o jsonpath={.spec.type}", ""), ("expose deploy web --port=80", ""),
    ("create secret generic sec --from-literal=p=q", ""), ("get secret sec -o jsonpath={.data}", ""), ("get secrets", ""),
    ("create serviceaccount sa", ""), ("get sa", ""), ("run p --image=busybox", ""), ("get pods", ""),
    ("get pod p -o jsonpath={.spec.restartPolicy}", ""), ("delete pod p --grace-period=0 --force", ""),
    ("create cm b -n missing", ""), ("create cm c --dry-run=client -o name", ""), ("get cm c", ""),
    ("create -f -", text({**config_map("x"), "metadata": {"generateName": "gen-"}})),
    ("create -f -", text({"apiVersion": "v1", "kind": "Nothing", "metadata": {"name": "x"}})),
    ("describe cm a1", ""), ("rollout history deploy/web", ""), ("delete cm --all", ""), ("get cm -o name", ""),
    ("delete deploy,svc -l app=web", ""), ("get deploy -o name", ""), ("get --raw /healthz", ""), ("get --raw /livez", ""),
]


def settled(output):
    """Without what differs between any two servers: addresses, ages, generated names."""
    output = re.sub(r"https?://127\.0\.0\.1:\d+", "URL", output)
    output = re.sub(r"\b(\d+m)?\d+s\b|<unknown>", "AGE", output)
    output = re.sub(r"gen-\w{5}", "gen-X", output)
    return re.sub(r"[ \t]+", " ", output).strip()


class InTheHandsOfKubectl(RealTestCase):
    @classmethod
    def start_parts(cls):
        cls.api = cls.start_for_all(ApiServer(cls.start_for_all(Etcd())))
        cls.kubeconfig = cls.folder / "kubeconfig"
        cls.devcluster = cls.start_for_all(Daemon("devcluster", "--kubeconfig-out", cls.kubeconfig))
        cls.devcluster.wait_for_line("devcluster serves")

    def kubectl(self, version="new"):
        return Kubectl(self.kubeconfig, version=version)

    def test_a_users_day_is_answered_as_by_a_real_api_server(self):
        for version in VERSIONS:
            servers = [Kubectl(self.api.kubeconfig(), version=version), self.kubectl(version)]
            namespace = f"day-{version}"
            for kubectl in servers:
                kubectl.run("create", "namespace", namespace)
            for words, stdin in DAY:
                place = [] if " -n " in words or "--raw" in words else ["-n", namespace]
                real, dev = (kubectl.run(*words.split(" "), *place, stdin=stdin, check=False) for kubectl in servers)
                with self.subTest(version=version, words=words):
                    self.assertEqual((dev.returncode, settled(dev.stdout), settled(dev.stderr)),
                                     (real.returncode, settled(real.stdout), settled(real.stderr)))

    def test_a_definition_and_its_objects(self):
        for version in VERSIONS:
            with self.subTest(version):
                kubectl = self.kubectl(version)
                kubectl.apply(WIDGETS)
                kubectl.run("wait", "--for=condition=Established", "crd/widgets.shop.example.com", "--timeout=10s")
                kubectl.apply(WIDGET)
                self.assertEqual(kubectl.json("get", "wi", "w")["spec"], {"size": 1.5})
                kubectl.run("patch", "widget", "w", "--type=merge", "-p", '{"spec":{"color":"red"}}')
                self.assertEqual(kubectl.json("get", "widgets.shop.example.com", "w")["spec"], {"size": 1.5, "color": "red"})
                kubectl.run("delete", "crd", "widgets.shop.example.com")
                self.assertIn("NotFound", self.kubectl(version).run("get", "--raw", "/apis/shop.example.com/v1/widgets", check=False).stderr)

    def test_a_watch_prints_every_change(self):
        for version in VERSIONS:
            with self.subTest(version):
                kubectl = self.kubectl(version)
                place = ["-n", f"watch-{version}"]
                kubectl.run("create", "namespace", f"watch-{version}")
                kubectl.run("create", "configmap", "first", *place)
                watch = kubectl.start("get", "configmaps", *place, "-w", "--output-watch-events")
                self.addCleanup(lambda process=watch: (process.kill(), process.communicate()))
                lines = []
                threading.Thread(target=lambda pipe=watch.stdout, into=lines: into.extend(iter(pipe.readline, "")),
                                 daemon=True).start()

                def printed(change, name):
                    wait_until(lambda: any(line.split()[:2] == [change, name] for line in list(lines)), 20,
                               f"{change} {name} among {lines}")
                printed("ADDED", "first")  # What follows is after the list, so that the watch has it.
                kubectl.run("create", "configmap", "w", *place)
                printed("ADDED", "w")
                kubectl.run("label", "configmap", "w", "a=b", *place)
                printed("MODIFIED", "w")
                kubectl.run("delete", "configmap", "w", *place)
                printed("DELETED", "w")

    def test_server_side_apply_is_refused_with_the_remedy(self):
        for version in VERSIONS:
            refused = self.kubectl(version).run("apply", "--server-side", "-f", "-", stdin=text(config_map("ss")), check=False)
            self.assertEqual(refused.returncode, 1)
            self.assertRegex(refused.stderr, "client-side apply|without --server-side")

    def test_a_write_with_an_old_version_is_a_conflict(self):
        kubectl = self.kubectl()
        kubectl.apply(config_map("raced", k="1"))
        old = kubectl.json("get", "cm", "raced")
        kubectl.apply(config_map("raced", k="2"))
        refused = kubectl.run("replace", "-f", "-", stdin=text(old), check=False)
        self.assertIn("the object has been modified", refused.stderr)

    def test_an_address_that_is_taken_and_an_unknown_flag_are_named(self):
        port = self.devcluster.lines[0].rpartition(":")[2]
        taken = self.start(Daemon("devcluster", "--listen", f"127.0.0.1:{port}"))
        self.assertEqual(taken.wait_for_exit(), 1)
        self.assertRegex(taken.errors[-1], f"devcluster: .*{port}")
        unknown = self.start(Daemon("devcluster", "--frobnicate"))
        self.assertNotEqual(unknown.wait_for_exit(), 0)
        self.assertRegex("\n".join(unknown.errors + unknown.lines), "--frobnicate")


class BehindTokensAndTls(RealTestCase):
    def test_only_who_has_a_token_comes_in_and_the_kubeconfig_has_one(self):
        certificate, key = Authority(self.folder / "pki").server("devcluster")
        tokens, kubeconfig = self.folder / "tokens", self.folder / "kubeconfig"
        tokens.write_text("first-token\nsecond-token\n")
        devcluster = self.start(Daemon("devcluster", "--token-file", tokens, "--tls-cert", certificate, "--tls-key", key,
                                       "--kubeconfig-out", kubeconfig))
        url = devcluster.wait_for_line(r"serves (https://\S+)").group(1)
        for version in VERSIONS:
            Kubectl(kubeconfig, version=version).run("get", "namespaces")
        stranger = self.folder / "stranger"
        stranger.write_text(kubeconfig.read_text().replace("first-token", "wrong-token"))
        refused = Kubectl(stranger).run("get", "namespaces", check=False)
        self.assertRegex(refused.stderr, "Unauthorized|logged in")
        plain = subprocess.run(["curl", "-sS", "--cacert", str(certificate), f"{url}/api/v1/namespaces"], capture_output=True, text=True)
        self.assertEqual(json.loads(plain.stdout)["code"], 401)
        self.assertEqual(devcluster.terminate(), 0)


class BehindAProvider(ScenarioCase):
    """The whole story without a cluster: devcluster, provider, broker, informer."""

    def test_a_copy_follows_through_cut_watches_and_compactions(self):
        kubeconfig = self.folder / "kubeconfig"
        devcluster = self.start(Daemon("devcluster", "--kubeconfig-out", kubeconfig, "--debug-paths"))
        url = devcluster.wait_for_line(r"serves (\S+)").group(1)
        self.broker = self.start(Mosquitto())
        provider = self.provider(kubeconfig=kubeconfig)
        informer = self.informer("-r", "cm")
        kubectl = Kubectl(kubeconfig)
        kubectl.apply(config_map("kept", k="1"), config_map("goes", k="1"))
        informer.copy.wait_for("ADDED", "goes")
        for number in range(3):
            for path in ("compact", "cut-watches"):
                done = subprocess.run(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-X", "POST", f"{url}/debug/{path}"],
                                      capture_output=True, text=True)
                self.assertEqual(done.stdout, "200")
            kubectl.apply(config_map("kept", k=str(number)), config_map(f"new-{number}"))
        kubectl.run("delete", "configmap", "goes")
        informer.copy.wait_for("DELETED", "goes")

        def expected():
            items = kubectl.json("get", "cm", "-A", "--show-managed-fields")["items"]
            for item in items:
                item["metadata"].pop("managedFields", None)
            return {(item["metadata"]["namespace"], item["metadata"]["name"]): item for item in items}
        informer.copy.wait_until_equal(expected, "c1", "configmaps")
        provider.endpoint.wait_ready()
        informer.endpoint.wait_ready()
        self.assertEqual(devcluster.terminate(), 0)
