"""client-go over what an informer serves: its informers, watchers and pagers hold what the clusters hold, restarts included."""

import concurrent.futures

from real import (ApiServer, Churn, ClientGo, Etcd, Mosquitto, ScenarioCase, build_client_go, free_port, served, transcript, wait_until)

CLUSTERS = ("cluster1", "cluster2")
SPACES = ("default", "shop")


class GoInformersFollowTheFleet(ScenarioCase):
    """Two clusters with the same names in them change while the informer that serves their copies is stopped and started."""

    @classmethod
    def start_parts(cls):
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            built = pool.submit(build_client_go)
            cls.broker = cls.start_for_all(Mosquitto())
            cls.apis = {cluster: cls.start_for_all(ApiServer(cls.start_for_all(Etcd()))) for cluster in CLUSTERS}
            built.result()
        cls.churns = []
        for seed, (cluster, api) in enumerate(cls.apis.items()):
            api.put("/api/v1/namespaces", {"metadata": {"name": "shop"}})
            cls.start_for_all(cls.unstarted_provider(cluster=cluster, api=api))
            cls.churns += [Churn(api, space, seed=2 * seed + number, labels=("red", "blue")) for number, space in enumerate(SPACES)]

    def change(self, count):
        """So many tries in each namespace of each cluster, at once."""
        with concurrent.futures.ThreadPoolExecutor(len(self.churns)) as pool:
            for _ in pool.map(lambda churn: churn.burst(count), self.churns):
                pass

    def expected(self, resource, cluster=None):
        """{"namespace/name": object} as a client has it: of all clusters under the fleet's names, or of one under its own."""
        objects = {}
        for name, api in self.apis.items():
            if cluster not in (None, name):
                continue
            for (space, own), thing in served(api, resource).items():
                metadata = thing["metadata"]
                if cluster is None and space:
                    space = metadata["namespace"] = f"{name}.{space}"
                elif cluster is None:
                    own = metadata["name"] = f"{name}.{own}"
                objects[f"{space}/{own}" if space else own] = thing
        return objects

    def wrong(self, client, cluster):
        """What a client holds otherwise than its source, in words."""
        state = client.state()
        maps, spaces = self.expected("configmaps", cluster), self.expected("namespaces", cluster)
        for part, expected in (("typed", maps), ("dynamic", maps), ("watched", maps), ("paged", maps), ("namespaces", spaces),
                               ("metadata", {key: {"metadata": thing["metadata"]} for key, thing in maps.items()})):
            found = {key: transcript.unmarked(thing) for key, thing in (state[part] or {}).items()}
            if part == "metadata":
                found = {key: {"metadata": thing["metadata"]} for key, thing in found.items()}
            elif part != "dynamic":  # Go's structs do not say what they are.
                of_kind = {"kind": "Namespace" if part == "namespaces" else "ConfigMap", "apiVersion": "v1"}
                found = {key: {**of_kind, **thing} for key, thing in found.items()}
            different = sorted(key for key in expected.keys() | found.keys() if expected.get(key) != found.get(key))
            if different:
                return f"{part}: {different[:5]}, as {found.get(different[0])} instead of {expected.get(different[0])}"
        return None

    def wait_until_equal(self, clients):
        for client, cluster in clients:
            last = None

            def equal():
                nonlocal last
                last = self.wrong(client, cluster)
                return last is None
            try:
                wait_until(equal, 40, f"{client.name} holds what is there", every=0.1)
            except AssertionError as error:
                raise AssertionError(f"{error}: {str(last)[:2000]}") from None

    def play(self, store):
        """Returns the states at the end, after all hold what the API servers hold: {client's name: state}."""
        port = free_port()
        flags = ("--serve", f"127.0.0.1:{port}", "--store", store, "--client-id", f"hub-{port}")
        self.change(20)
        informer = self.informer(*flags, output="none")
        informer.endpoint.wait_ready()
        root = f"http://127.0.0.1:{port}"
        clients = [(ClientGo(root), None), (ClientGo(root, streams=True), None), (ClientGo(root + "/clusters/cluster2", streams=True), "cluster2")]
        for client, cluster in clients:
            client.name += f"-{cluster or 'fleet'}"
            self.start(client)
        self.change(40)
        self.wait_until_equal(clients)
        before = {client.name: client.state() for client, _ in clients}

        informer.terminate()
        self.change(20)
        self.informer(*flags, output="none")
        self.change(40)
        self.wait_until_equal(clients)
        after = {client.name: client.state() for client, _ in clients}
        for name, state in after.items():
            self.assertEqual(state["errors"], [], name)
            self.assertEqual(state["mapped"], ["/v1, Resource=configmaps", "namespace", "/v1, Resource=namespaces"], name)
            self.assertGreater(state["pagings"], before[name]["pagings"], name)
            self.assertGreater(len(state["paged"]), 7, "more than a page")
            for part in ("typed", "dynamic", "metadata"):
                asked = state["requests"][part]
                self.assertEqual("watchlist" in asked, "streams" in name, f"{name}: {part} asked {asked}")
        return before, after

    def test_a_store_in_a_file_goes_on_where_it_was(self):
        before, after = self.play(f"sqlite:{self.folder}/fleet.db")
        for name, state in after.items():
            self.assertEqual(state["revived"], 0, f"{name}: nothing was told as deleted that lives")
            self.assertEqual(state["rewatched"], 1, f"{name}: the watcher never listed anew")
            for part in ("typed", "dynamic", "metadata"):
                asked, then = state["requests"][part], before[name]["requests"][part]
                self.assertEqual([asked.get(kind) for kind in ("list", "watchlist")], [then.get(kind) for kind in ("list", "watchlist")],
                                 f"{name}: {part} watched on")

    def test_a_store_in_memory_begins_anew_and_has_all_list_anew(self):
        before, after = self.play("memory:")
        for name, state in after.items():
            self.assertGreater(state["rewatched"], 1, f"{name}: its version was forgotten")
            for part in ("typed", "dynamic", "metadata"):
                kind = "watchlist" if "streams" in name else "list"
                self.assertGreater(state["requests"][part][kind], before[name]["requests"][part][kind], f"{name}: {part} listed anew")
