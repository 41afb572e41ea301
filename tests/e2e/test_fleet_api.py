"""The copies of two clusters in the hands of kubectl, old and new: what an informer with --serve answers."""

import json
import subprocess
import threading

from real import (ApiServer, Authority, Daemon, Etcd, Kubectl, Mosquitto, ScenarioCase, wait_until, write_kubeconfig)

VERSIONS = ("new", "old")

WIDGETS = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "widgets.shop.example.com"},
           "spec": {"group": "shop.example.com", "scope": "Namespaced",
                    "names": {"plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wi"], "categories": ["all"]},
                    "versions": [{"name": "v1", "served": True, "storage": True,
                                  "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
                                  "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}}]}}


def pod(name, node, **labels):
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default", "labels": labels},
            "spec": {"nodeName": node, "containers": [{"name": "c", "image": "nginx"}]}}


def event(name, of, uid):
    return {"apiVersion": "v1", "kind": "Event", "metadata": {"name": name, "namespace": "default"}, "type": "Normal",
            "reason": "Tested", "message": f"seen in {name}", "source": {"component": "test"}, "reportingComponent": "",
            "reportingInstance": "",
            "involvedObject": {"apiVersion": "v1", "kind": "Pod", "name": of, "namespace": "default", "uid": uid}}


def rows(output):
    """The lines of a table without its head, as lists of words."""
    return [line.split() for line in output.splitlines()[1:]]


class TwoClusters(ScenarioCase):
    """cluster1 is a real API server, cluster2 a devcluster; both have a Pod default/web."""

    @classmethod
    def start_parts(cls):
        cls.broker = cls.start_for_all(Mosquitto())
        api = cls.start_for_all(ApiServer(cls.start_for_all(Etcd())))
        kubeconfig = cls.folder / "cluster2"
        cls.start_for_all(Daemon("devcluster", "--kubeconfig-out", kubeconfig)).wait_for_line("devcluster serves")
        cls.own = {"cluster1": Kubectl(api.kubeconfig()), "cluster2": Kubectl(kubeconfig)}
        for cluster, kubectl in cls.own.items():
            wait_until(lambda k=kubectl: k.run("create", "serviceaccount", "default", check=False).returncode == 0, 20,
                       "pods have an account: no controller makes it")
            kubectl.apply(pod("web", "n1", app="web", tier="front"))
            uid = kubectl.json("get", "pod", "web", "-n", "default")["metadata"]["uid"]
            kubectl.apply(event(f"web.{cluster}", "web", uid))
            kubectl.run("create", "configmap", "settings", f"--from-literal=of={cluster}")
        cls.own["cluster1"].apply(pod("db", "n2", app="db"), WIDGETS)
        cls.own["cluster1"].run("wait", "--for=condition=Established", "crd/widgets.shop.example.com", "--timeout=10s")
        cls.own["cluster1"].apply({"apiVersion": "shop.example.com/v1", "kind": "Widget",
                                   "metadata": {"name": "w", "namespace": "default"}, "spec": {"size": 5}})
        for cluster, config in (("cluster1", api.kubeconfig()), ("cluster2", kubeconfig)):
            cls.start_for_all(cls.unstarted_provider("--allow", "events", cluster=cluster, kubeconfig=config))
        cls.informer = cls.start_for_all(cls.unstarted_informer("--serve", "127.0.0.1:0"))
        cls.url = cls.informer.wait_for_error(r'url="?(http://[0-9.:]+)').group(1)
        cls.informer.endpoint.wait_ready()

    def fleet(self, version="new", path=""):
        return Kubectl(server=self.url + path, version=version)

    def test_all_clusters_at_once_and_each_by_its_namespace(self):
        for version in VERSIONS:
            with self.subTest(version):
                kubectl = self.fleet(version)
                found = [row[:2] for row in rows(kubectl.run("get", "pods", "-A").stdout)]
                self.assertEqual(found, [["cluster1.default", "db"], ["cluster1.default", "web"], ["cluster2.default", "web"]])
                self.assertEqual([row[0] for row in rows(kubectl.run("get", "po", "-n", "cluster1.default").stdout)], ["db", "web"])
                for cluster in ("cluster1", "cluster2"):
                    settings = kubectl.json("get", "cm", "settings", "-n", f"{cluster}.default")
                    self.assertEqual(settings["data"], {"of": cluster})
                    self.assertEqual(settings["metadata"]["labels"]["fleet.transport-informer.io/cluster"], cluster)
                    own = self.own[cluster].json("get", "cm", "settings", "-n", "default")["metadata"]
                    self.assertEqual(settings["metadata"]["annotations"]["fleet.transport-informer.io/resource-version"],
                                     own["resourceVersion"])
                    self.assertEqual(settings["metadata"]["uid"], own["uid"])
                namespaces = [row[0] for row in rows(kubectl.run("get", "namespaces").stdout)]
                self.assertIn("cluster1.default", namespaces)
                self.assertIn("cluster2.kube-system", namespaces)
                nowhere = kubectl.run("get", "cm", "-n", "default")
                self.assertIn("names no cluster", nowhere.stderr)

    def test_one_cluster_by_its_own_names(self):
        for version in VERSIONS:
            with self.subTest(version):
                for cluster in ("cluster1", "cluster2"):
                    kubectl = self.fleet(version, f"/clusters/{cluster}")
                    self.assertEqual(kubectl.json("get", "cm", "settings", "-n", "default")["data"], {"of": cluster})
                self.assertEqual([row[:2] for row in rows(kubectl.run("get", "pods", "-A").stdout)], [["default", "web"]])
                self.assertIn("the server doesn't have a resource type", kubectl.run("get", "widgets", check=False).stderr)
                missing = self.fleet(version, "/clusters/cluster9").run("get", "--raw", "/clusters/cluster9/api/v1/pods", check=False)
                self.assertRegex(missing.stderr, 'clusters "cluster9" not found: known are cluster1, cluster2')

    def test_a_page_in_a_browser_that_calls_us_by_its_own_name_is_refused(self):
        for host, status in (("localhost:1", "200"), ("127.0.0.1", "200"), ("[::1]:80", "200"), ("evil.example", "403"),
                             ("127.0.0.1.evil.example:80", "403"), ("", "403")):
            done = subprocess.run(["curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"Host: {host}" if host else "Host;",
                                   f"{self.url}/api/v1/pods"], capture_output=True, text=True)
            self.assertEqual(done.stdout, status, host)

    def test_selectors(self):
        for version in VERSIONS:
            with self.subTest(version):
                kubectl = self.fleet(version)

                def names(*words):
                    return sorted(kubectl.run("get", "pods", "-A", "-o", "name", *words).stdout.split())
                self.assertEqual(names("-l", "app=web"), ["pod/web", "pod/web"])
                self.assertEqual(names("-l", "fleet.transport-informer.io/cluster=cluster1"), ["pod/db", "pod/web"])
                self.assertEqual(names("-l", "app=web,fleet.transport-informer.io/cluster notin (cluster1)"), ["pod/web"])
                self.assertEqual(names("--field-selector", "spec.nodeName=n2"), ["pod/db"])
                self.assertEqual(names("--field-selector", "metadata.labels.tier=front"), ["pod/web", "pod/web"])
                self.assertEqual(names("--chunk-size=1"), ["pod/db", "pod/web", "pod/web"])
                table = kubectl.run("get", "pods", "-A", "--show-labels", "-o", "wide", "--sort-by=.metadata.name").stdout
                self.assertIn("fleet.transport-informer.io/cluster=cluster2", table)

    def test_what_there_is_and_its_columns(self):
        for version in VERSIONS:
            with self.subTest(version):
                kubectl = self.fleet(version)
                offered = kubectl.run("api-resources").stdout
                self.assertRegex(offered, r"pods +po .*Pod")
                self.assertRegex(offered, r"widgets +wi +shop.example.com")
                self.assertRegex(kubectl.run("get", "all", "-n", "cluster1.default").stdout, r"(?s)pod/db.*pod/web.*widget.shop.example.com/w +5")
                self.assertEqual(rows(kubectl.run("get", "wi", "-A").stdout), [["cluster1.default", "w", "5"]])
                self.assertEqual(json.loads(kubectl.run("get", "--raw", "/api/v1/pods?clusters=cluster2").stdout)["items"][0]["metadata"]
                                 ["namespace"], "cluster2.default")

    def test_describe_shows_the_events_of_the_right_cluster(self):
        for version in VERSIONS:
            with self.subTest(version):
                said = self.fleet(version).run("describe", "pod", "web", "-n", "cluster2.default").stdout
                self.assertRegex(said, r"Namespace: +cluster2.default")
                self.assertIn("seen in web.cluster2", said)
                self.assertNotIn("seen in web.cluster1", said)
                said = self.fleet(version, "/clusters/cluster1").run("describe", "pod", "web", "-n", "default").stdout
                self.assertIn("seen in web.cluster1", said)

    def test_a_watch_over_all_clusters(self):
        for version in VERSIONS:
            with self.subTest(version):
                watch = self.fleet(version).start("get", "configmaps", "-A", "-w", "--output-watch-events")
                self.addCleanup(lambda process=watch: (process.kill(), process.communicate()))
                lines = []
                threading.Thread(target=lambda pipe=watch.stdout, into=lines: into.extend(iter(pipe.readline, "")),
                                 daemon=True).start()

                def printed(change, cluster, name):
                    wait_until(lambda: any(line.split()[:3] == [change, f"{cluster}.default", name] for line in list(lines)), 20,
                               f"{change} {cluster} {name} among {lines}")
                printed("ADDED", "cluster2", "settings")  # What follows is after the list, so that the watch has it.
                name = f"watched-{version}"
                for cluster, kubectl in self.own.items():
                    kubectl.run("create", "configmap", name)
                    printed("ADDED", cluster, name)
                    kubectl.run("label", "configmap", name, "a=b")
                    printed("MODIFIED", cluster, name)
                    kubectl.run("delete", "configmap", name)
                    printed("DELETED", cluster, name)

    def test_who_writes_is_told_where(self):
        for version in VERSIONS:
            with self.subTest(version):
                for words in (("delete", "pod", "web", "-n", "cluster1.default"), ("label", "pod", "web", "a=b", "-n", "cluster1.default"),
                              ("create", "configmap", "new", "-n", "cluster1.default")):
                    refused = self.fleet(version).run(*words, check=False)
                    self.assertEqual(refused.returncode, 1)
                    self.assertIn("read-only here: write to the cluster cluster1 itself, where the namespace is default", refused.stderr)
                refused = self.fleet(version, "/clusters/cluster2").run("delete", "cm", "settings", "-n", "default", check=False)
                self.assertIn("write to the cluster cluster2 itself", refused.stderr)


class ClustersComeAndGo(ScenarioCase):
    """Behind TLS and tokens, over a compressed store; and over a file that outlives the process."""

    @classmethod
    def start_parts(cls):
        cls.broker = cls.start_for_all(Mosquitto())
        cls.kubeconfig = cls.folder / "cluster1"
        cls.start_for_all(Daemon("devcluster", "--kubeconfig-out", cls.kubeconfig)).wait_for_line("devcluster serves")

    def test_a_cluster_that_is_away_is_named_and_its_objects_stay(self):
        certificate, key = Authority(self.folder / "pki").server("informer")
        tokens = self.folder / "tokens"
        tokens.write_text("right\n")
        informer = self.informer("--serve", "127.0.0.1:0", "--tls-cert", certificate, "--tls-key", key, "--token-file", tokens,
                                 "--store", "memory:?compress=true", output="none")
        url = informer.wait_for_error(r'url="?(https://[0-9.:]+)').group(1)
        kubectl = Kubectl(write_kubeconfig(self.folder / "fleet", url, authority=certificate, token="right"))
        stranger = Kubectl(write_kubeconfig(self.folder / "stranger", url, authority=certificate, token="wrong"))
        self.assertRegex(stranger.run("get", "pods", check=False).stderr, "Unauthorized|logged in")
        self.assertIn("none is known yet", kubectl.run("get", "--raw", "/clusters/cluster1/api", check=False).stderr)

        provider = self.provider(cluster="cluster1", kubeconfig=self.kubeconfig)
        Kubectl(self.kubeconfig).run("create", "configmap", "stays")
        wait_until(lambda: "stays" in kubectl.run("get", "cm", "-A", check=False).stdout, 20, "the new cluster is served")
        self.assertEqual(kubectl.run("get", "cm", "-A").stderr, "")
        provider.terminate()

        def away():
            seen = kubectl.run("get", "cm", "-A")
            return "the cluster cluster1 is away" in seen.stderr and "stays" in seen.stdout
        wait_until(away, 20, "a warning names the cluster")

    def test_a_watch_goes_on_over_a_restart_of_the_informer_that_has_a_file(self):
        flags = ("--serve", "127.0.0.1:0", "--store", f"sqlite:{self.folder}/fleet.db", "--client-id", "hub")
        own = Kubectl(self.kubeconfig)
        provider = self.provider(cluster="cluster1", kubeconfig=self.kubeconfig)
        informer = self.informer(*flags, output="none")
        informer.endpoint.wait_ready()

        def serving():
            return Kubectl(server=informer.wait_for_error(r'url="?(http://[0-9.:]+)').group(1))
        own.run("create", "configmap", "kept")
        kubectl = serving()
        wait_until(lambda: "kept" in kubectl.run("get", "cm", "-A").stdout, 20, "it is served")
        version = json.loads(kubectl.run("get", "--raw", "/api/v1/configmaps").stdout)["metadata"]["resourceVersion"]
        provider.terminate()
        informer.terminate()

        own.run("create", "configmap", "later")
        informer = self.informer(*flags, output="none")
        kubectl = serving()
        self.assertIn("kept", kubectl.run("get", "cm", "-A").stdout)
        wait_until(lambda: "cluster1 is away" in kubectl.run("get", "cm", "-A").stderr, 20, "a warning says what it may be worth")
        self.provider(cluster="cluster1", kubeconfig=self.kubeconfig)
        wait_until(lambda: "later" in kubectl.run("get", "cm", "-A").stdout, 20, "it has caught up")
        told = kubectl.run("get", "--raw", f"/api/v1/configmaps?watch=1&timeoutSeconds=2&resourceVersion={version}").stdout
        events = [json.loads(line) for line in told.splitlines()]
        self.assertEqual([(one["type"], one["object"]["metadata"]["name"]) for one in events], [("ADDED", "later")])

    def test_a_client_library_follows_the_fleet_as_it_would_a_cluster(self):
        """Our own: a provider that takes the fleet's API for a cluster's."""
        self.provider(cluster="cluster1", kubeconfig=self.kubeconfig)
        serving = self.informer("--serve", "127.0.0.1:0", "--cluster", "cluster1", output="none")
        url = serving.wait_for_error(r'url="?(http://[0-9.:]+)').group(1)
        serving.endpoint.wait_ready()
        self.provider(cluster="all", kubeconfig=write_kubeconfig(self.folder / "all", url))
        follower = self.informer("--cluster", "all", "-r", "cm")
        own, fleet = Kubectl(self.kubeconfig), Kubectl(server=url)
        for number in range(5):
            own.run("create", "configmap", f"followed-{number}")
        own.run("delete", "configmap", "followed-3")
        follower.copy.wait_for("ADDED", "followed-4")
        own.run("label", "configmap", "followed-4", "a=b")

        def expected():
            items = fleet.json("get", "cm", "-A")["items"]
            return {(item["metadata"]["namespace"], item["metadata"]["name"]): item for item in items}
        wait_until(lambda: ("cluster1.default", "followed-3") not in expected(), 20, "the fleet has what happened")
        follower.copy.wait_until_equal(expected, "all", "configmaps")
        follower.endpoint.wait_ready()
