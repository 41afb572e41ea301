"""What a fleet's API answers beyond a kube-apiserver, over memory and over a file: search, owners, orders, older versions;
and a client that keeps nothing but a version."""

import http.client
import json
import pathlib
import random
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

from real import (ApiServer, Churn, Daemon, Etcd, Kubectl, Mosquitto, Part, ScenarioCase, StoreCase, StoreFile, free_port,
                  wait_until)

EXAMPLE = pathlib.Path(__file__).resolve().parents[2] / "examples" / "follow_fleet.py"
NAMED = "fleet.transport-informer.io/cluster"


def ask(url, path, **options):
    """(status, body) of a GET."""
    try:
        with urllib.request.urlopen(f"{url}{path}?{urllib.parse.urlencode(options)}", timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def listed(url, path, **options):
    """namespace/name of each object, in the answer's order."""
    status, body = ask(url, path, **options)
    assert status == 200, body
    return [f"{one['metadata'].get('namespace', '')}/{one['metadata']['name']}" for one in json.loads(body)["items"]]


def refusal(url, path, **options):
    status, body = ask(url, path, **options)
    assert status == 400, body
    return json.loads(body)["message"]


def version_of(url, path):
    return json.loads(ask(url, path, limit=1)[1])["metadata"]["resourceVersion"]


def pod(name, number, owner=None, node="n1", **labels):
    metadata = {"name": name, "namespace": "default", "labels": labels}
    if owner:
        metadata["ownerReferences"] = [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "rs", "uid": owner}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata,
            "spec": {"nodeName": node, "priority": number, "containers": [{"name": "c", "image": "nginx"}]}}


class Watch:
    """Events of a watch, as they come."""

    def __init__(self, url, path, **options):
        self.events = []
        self._answer = urllib.request.urlopen(f"{url}{path}?{urllib.parse.urlencode(dict(watch=1, timeoutSeconds=60, **options))}")
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            for line in self._answer:
                self.events.append(json.loads(line))
        except (OSError, ValueError, http.client.HTTPException):
            pass

    def told(self):
        return [(one["type"], one["object"]["metadata"].get("name")) for one in list(self.events)]


class Queries(ScenarioCase):
    """Two clusters, in memory and in a file, asked the same."""

    @classmethod
    def start_parts(cls):
        cls.broker = cls.start_for_all(Mosquitto())
        cls.own = {}
        for cluster in ("cluster1", "cluster2"):
            kubeconfig = cls.folder / cluster
            cls.start_for_all(Daemon("devcluster", "--kubeconfig-out", kubeconfig, label=f"devcluster-{cluster}")).wait_for_line("devcluster serves")
            cls.own[cluster] = Kubectl(kubeconfig)
            cls.start_for_all(cls.unstarted_provider("--allow", "events", cluster=cluster, kubeconfig=kubeconfig))
        cls.own["cluster1"].apply(pod("web-1", 10, owner="uid-1", app="Shop"), pod("web-2", 9, owner="uid-1"), pod("db", 100, node="n2"),
                                  {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
        cls.own["cluster2"].apply(pod("web-1", 1, tier="shop-front"), pod("other", 2, owner="uid-2"),
                                  {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}})
        cls.urls = {}
        for store in ("memory:", f"sqlite:{cls.folder}/fleet.db"):
            informer = cls.start_for_all(cls.unstarted_informer("--serve", "127.0.0.1:0", "--store", store, output="none",
                                                                label=f"informer-{store[:6]}"))
            cls.urls[store[:6]] = informer.wait_for_error(r'url="?(http://[0-9.:]+)').group(1)
            informer.endpoint.wait_ready()

    def of_each_store(self):
        for store, url in self.urls.items():
            with self.subTest(store):
                yield url

    def test_search_and_owner(self):
        for url in self.of_each_store():
            pods = "/api/v1/pods"
            self.assertEqual(listed(url, pods, search="WEB"), ["cluster1.default/web-1", "cluster1.default/web-2", "cluster2.default/web-1"])
            self.assertEqual(listed(url, pods, search="shop"), ["cluster1.default/web-1", "cluster2.default/web-1"])
            self.assertEqual(listed(url, pods, search="shop", fieldSelector="spec.priority=1"), ["cluster2.default/web-1"])
            self.assertEqual(listed(url, pods, search="shop", labelSelector=f"{NAMED}=cluster1"), ["cluster1.default/web-1"])
            self.assertEqual(listed(url, "/clusters/cluster2" + pods, search="web"), ["default/web-1"])
            self.assertEqual(listed(url, pods, owner="uid-1"), ["cluster1.default/web-1", "cluster1.default/web-2"])
            self.assertEqual(listed(url, pods, owner="uid-1", search="2"), ["cluster1.default/web-2"])
            self.assertIn("is no uid", refusal(url, pods, owner="ReplicaSet/rs"))
            self.assertIn("search: 1000 bytes", refusal(url, pods, search="x" * 1000))

    def test_order(self):
        for url in self.of_each_store():
            pods = "/api/v1/pods"
            self.assertEqual(listed(url, pods, orderBy="spec.priority"),
                             ["cluster2.default/web-1", "cluster2.default/other", "cluster1.default/web-2", "cluster1.default/web-1",
                              "cluster1.default/db"])
            paged, token = [], ""
            while token is not None:
                body = json.loads(ask(url, pods, orderBy="spec.nodeName desc,spec.priority desc", limit=2, **{"continue": token})[1])
                paged += [f"{one['metadata']['namespace']}/{one['metadata']['name']}" for one in body["items"]]
                token = body["metadata"].get("continue")
            self.assertEqual(paged, ["cluster1.default/db", "cluster1.default/web-1", "cluster1.default/web-2", "cluster2.default/other",
                                     "cluster2.default/web-1"])
            self.assertIn("orderBy=a up", refusal(url, pods, orderBy="a up"))
            table = Kubectl(server=url).run("get", "--raw", "/api/v1/pods?orderBy=metadata.name+desc&limit=1").stdout
            self.assertEqual(json.loads(table)["items"][0]["metadata"]["name"], "web-2")

    def test_a_watch_of_what_is_found_in_one_cluster(self):
        for store, url in self.urls.items():
            with self.subTest(store):
                watch = Watch(url, "/api/v1/configmaps", clusters="cluster2", search=f"seen-{store[:3]}")
                name = f"seen-{store[:3]}"
                for kubectl in self.own.values():
                    kubectl.run("create", "configmap", name)
                    kubectl.run("create", "configmap", "un" + store[:3])
                    kubectl.run("label", "configmap", "un" + store[:3], f"x={name}")
                    kubectl.run("label", "configmap", "un" + store[:3], "x-")
                    kubectl.run("delete", "configmap", name, "un" + store[:3])
                # The label that comes and goes brings its object in and takes it out again.
                wait_until(lambda w=watch: len(w.told()) >= 4, 20, "all is told")
                told = watch.told()
                self.assertEqual([one for one in told if one[1] == name], [("ADDED", name), ("DELETED", name)])
                self.assertEqual([one for one in told if one[1] != name], [("ADDED", "un" + store[:3]), ("DELETED", "un" + store[:3])])
                self.assertEqual({one["object"]["metadata"]["namespace"] for one in watch.events}, {"cluster2.default"})

    def test_describe_node_shows_the_pods_of_the_right_cluster(self):
        for url in self.of_each_store():
            for version in ("new", "old"):
                said = Kubectl(server=url, version=version).run("describe", "node", "cluster1.n1").stdout
                self.assertRegex(said, r"(?s)Non-terminated Pods: +\(2 in total\).*cluster1.default +web-1.*cluster1.default +web-2")
                self.assertNotIn("cluster2.default", said)

    def test_what_the_fleet_looked_like(self):
        """Each in its own time: what stands in both stores is the same, their versions are not."""
        for store, url in self.urls.items():
            with self.subTest(store):
                path = "/api/v1/configmaps"
                name = f"then-{store[:3]}"
                for kubectl in self.own.values():
                    kubectl.run("create", "configmap", name, "--from-literal=k=before")
                wait_until(lambda: len(listed(url, path, search=name)) == 2, 20, "both are there")
                then = {"resourceVersion": version_of(url, path), "resourceVersionMatch": "Exact"}
                before = json.loads(ask(url, path, search=name, **then)[1])["items"]
                self.own["cluster1"].run("delete", "configmap", name)
                self.own["cluster2"].run("patch", "configmap", name, "-p", '{"data":{"k":"after"}}')
                wait_until(lambda: [one["data"]["k"] for one in json.loads(ask(url, path, search=name)[1])["items"]] == ["after"], 20,
                           "the change has come")
                self.assertEqual(json.loads(ask(url, path, search=name, **then)[1])["items"], before)
                self.assertEqual([one["data"]["k"] for one in before], ["before", "before"])
                self.assertEqual(listed(url, path, search=name, limit=1, **then), [f"cluster1.default/{name}"])
                changed = json.loads(ask(url, path, search=name)[1])["items"][0]["metadata"]["resourceVersion"]
                just_before = listed(url, path, search=name, resourceVersion=int(changed) - 1, resourceVersionMatch="Exact")
                self.assertIn(f"cluster2.default/{name}", just_before)
                self.assertEqual(ask(url, path, resourceVersion=1, resourceVersionMatch="Exact")[0], 410)


class OptionsAsAKubeApiServerHasThem(ScenarioCase):
    @classmethod
    def start_parts(cls):
        cls.api = cls.start_for_all(ApiServer(cls.start_for_all(Etcd())))
        cls.broker = cls.start_for_all(Mosquitto())
        cls.start_for_all(cls.unstarted_provider(cluster="cluster1"))
        cls.api.add_config_maps(3)
        informer = cls.start_for_all(cls.unstarted_informer("--serve", "127.0.0.1:0", output="none"))
        cls.url = informer.wait_for_error(r'url="?(http://[0-9.:]+)').group(1)
        informer.endpoint.wait_ready()

    def both(self, **options):
        """(status, answer as text) of the cluster itself, and of the fleet's view of it."""
        path = "/api/v1/namespaces/default/configmaps"
        status, answer = self.api.request("GET", f"{path}?{urllib.parse.urlencode(options)}")
        real = (status, answer if isinstance(answer, str) else json.dumps(answer))
        return real, ask(self.url, "/clusters/cluster1" + path, **options)

    def test_limit_of_a_watch(self):
        for limit in ("1", "-1"):
            real, ours = self.both(watch=1, timeoutSeconds=1, limit=limit)
            self.assertEqual([answer[1].count('"ADDED"') for answer in (real, ours)], [3, 3], limit)
        for options in ({"limit": "abc"}, {"timeoutSeconds": "x"}):
            real, ours = self.both(watch=1, **options)
            self.assertEqual([answer[0] for answer in (real, ours)], [400, 400])
            self.assertEqual(*(json.loads(answer[1])["message"] for answer in (real, ours)))

    def test_how_many_remain(self):
        tokens = [None, None]
        for remaining in (2, 1, None):
            for side, token in enumerate(tokens):
                more = {"continue": token} if token else {}
                metadata = json.loads(self.both(limit=1, **more)[side][1])["metadata"]
                tokens[side] = metadata.get("continue")
                self.assertEqual(metadata.get("remainingItemCount"), remaining if side == 0 else None, "of a namespace the copy does not know")
        all_of_them = json.loads(ask(self.url, "/clusters/cluster1/api/v1/configmaps", limit=1)[1])["metadata"]
        counted = len(listed(self.url, "/clusters/cluster1/api/v1/configmaps"))
        self.assertEqual(all_of_them["remainingItemCount"], counted - 1)


class AfterARestart(StoreCase):
    @classmethod
    def start_parts(cls):
        cls.api = cls.start_for_all(ApiServer(cls.start_for_all(Etcd())))

    def setUp(self):
        super().setUp()
        folder = self.folder / self.namespace
        folder.mkdir()
        self.store = StoreFile(folder / "fleet.db")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def serve(self, *flags, options=""):
        informer = self.informer("--serve", f"127.0.0.1:{self.port}", "--store", self.store.url + options, "-n", self.namespace, *flags,
                                 output="none")
        informer.endpoint.wait_ready()
        return informer

    def test_older_versions_are_still_there(self):
        provider = self.provider()
        informer = self.serve("-r", "configmaps", options="?changes=50")
        self.api.add_config_maps(10, self.namespace)
        wait_until(lambda: len(listed(self.url, "/api/v1/configmaps")) == 10, 20, "all are there")
        then = {"resourceVersion": version_of(self.url, "/api/v1/configmaps"), "resourceVersionMatch": "Exact"}
        before = ask(self.url, "/api/v1/configmaps", **then)
        self.assertEqual(before[0], 200)
        provider.terminate()
        informer.terminate()
        for number in range(10):
            self.api.must("DELETE", f"{self.path}/item-{number:05}")
        informer.start()
        wait_until(lambda: ask(self.url, "/readyz")[0] == 503, 20, "it serves, and says that nobody is there", tolerate=(OSError,))
        self.assertEqual(ask(self.url, "/api/v1/configmaps", **then), before)
        provider.start()
        wait_until(lambda: not listed(self.url, "/api/v1/configmaps"), 20, "all have gone")
        self.assertEqual(ask(self.url, "/api/v1/configmaps", **then), before)
        self.assertEqual(len(listed(self.url, "/api/v1/configmaps", limit=4, **then)), 4)
        Churn(self.api, self.namespace, names=5).burst(600)
        wait_until(lambda: ask(self.url, "/api/v1/configmaps", **then)[0] == 410, 30, "the log no longer reaches back")

    def test_what_is_remembered_is_offered_though_it_is_empty_and_its_cluster_away(self):
        provider = self.provider()
        informer = self.serve("-r", "configmaps", "-r", "pods")
        provider.terminate()
        informer.terminate()
        informer.start()
        wait_until(lambda: ask(self.url, "/readyz")[0] == 503, 20, "it serves", tolerate=(OSError,))
        names = [one["name"] for one in json.loads(ask(self.url, "/api/v1")[1])["resources"]]
        self.assertEqual(sorted(names), ["configmaps", "pods"])
        self.assertEqual(listed(self.url, "/api/v1/pods"), [])

    def test_a_lost_state_ends_a_watch(self):
        self.provider()
        self.serve("-r", "configmaps")
        self.api.add_config_maps(2, self.namespace)
        wait_until(lambda: len(listed(self.url, "/api/v1/configmaps")) == 2, 20, "both are there")
        watch = Watch(self.url, "/api/v1/configmaps", resourceVersion=version_of(self.url, "/api/v1/configmaps"))
        self.assertEqual(self.store.change("UPDATE object SET body = 'nothing' WHERE name = 'item-00001'"), 1)
        self.api.must("DELETE", f"{self.path}/item-00001")
        wait_until(lambda: watch.told(), 60, "it is told")
        self.assertEqual(watch.events[-1]["type"], "ERROR")
        self.assertEqual(watch.events[-1]["object"]["code"], 410)
        self.assertEqual([name.rpartition("/")[2] for name in listed(self.url, "/api/v1/configmaps")], ["item-00000"])

    def test_a_client_that_keeps_a_version_misses_nothing(self):
        seed = random.SystemRandom().randrange(1_000_000)
        print(f"\nseed {seed}", flush=True)
        dice = random.Random(seed)
        self.provider()
        informer = self.serve("-r", "configmaps")
        self.api.add_config_maps(20, self.namespace)
        wait_until(lambda: len(listed(self.url, "/api/v1/configmaps")) == 20, 20, "all are there")
        begin = int(version_of(self.url, "/api/v1/configmaps"))
        state, told = self.folder / f"state-{seed}", self.folder / f"told-{seed}"

        def client():
            return self.start(Client(self.url, state, told))
        one = client()
        wait_until(state.exists, 20, "it has seen what there is")
        churn = Churn(self.api, self.namespace, names=20, seed=seed, pause=0.0).start()
        try:
            for number in range(12):
                time.sleep(dice.uniform(0.05, 0.5))  # The length of a life, not a wait for anything.
                one.kill()
                if number % 3 == 2:
                    if number % 2:
                        informer.kill()
                    else:
                        informer.terminate()
                    informer.start()
                one.start()
        finally:
            churn.stop()
        informer.endpoint.wait_ready()
        end = version_of(self.url, "/api/v1/configmaps")

        def seen():
            return [line.split() for line in told.read_text().splitlines()]
        wait_until(lambda: seen() and int(seen()[-1][2]) >= int(end), 30, "the last change is told")
        one.kill()
        changes = {(kind, f"c1.{self.namespace}/{name}", str(version)) for version, kind, name in
                   self.store.ask("SELECT version, type, name FROM changes WHERE version > ? AND resource = 'configmaps'", begin)}
        self.assertGreater(len(changes), 100, "otherwise the run has shown nothing")
        lines = [tuple(line) for line in seen()]
        self.assertEqual(changes - set(lines), set(), "missed")
        self.assertEqual({line for line in lines if int(line[2]) > begin} - changes, set(), "told, and not made")
        first = list(dict.fromkeys(line for line in lines if int(line[2]) > begin))
        self.assertEqual(first, sorted(first, key=lambda line: int(line[2])), "the first time in order")


class Client(Part):
    """examples/follow_fleet.py; what it prints goes to the end of a file."""

    label = "follow_fleet"

    def __init__(self, url, state, told):
        super().__init__()
        self._words = [sys.executable, "-u", str(EXAMPLE), url, "/api/v1/configmaps", str(state)]
        self._told = told

    def command(self):
        return self._words

    def _open_output(self):
        return open(self._told, "ab")
