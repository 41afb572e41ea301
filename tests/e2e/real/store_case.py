"""A test case about what a store that outlives its informers holds: some configmaps of one namespace, changed meanwhile."""

from .copy import Copy, as_text, served
from .mosquitto import Mosquitto
from .scenario import ScenarioCase
from .waiting import wait_until


def config_map(name, value="v", **metadata):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **metadata}, "data": {"key": value}}


class StoreCase(ScenarioCase):
    """Each test has a broker and a namespace of its own. A subclass starts cls.api, and gives each test self.store, with
    url, environment(), texts() and faults()."""

    store = None

    def setUp(self):
        self.broker = self.start(Mosquitto())
        self.namespace = self.id().rpartition(".")[2].removeprefix("test_").replace("_", "-")[:60].strip("-")
        self.api.put("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}})
        self.path = f"/api/v1/namespaces/{self.namespace}/configmaps"

    def follow(self, *flags, store=None, resources="configmaps", **options):
        """An informer of these resources of the namespace over the store; store: another URL of it."""
        words = [word for one in resources.split() for word in ("-r", one)]
        return self.informer(*words, "-n", self.namespace, "--store", store or self.store.url, *flags,
                             environment=self.store.environment(), **options)

    def expected(self):
        return served(self.api, "configmaps", self.namespace)

    def wait_equal(self, informer, deadline=60):
        informer.copy.wait_until_equal(self.expected, "c1", "configmaps", deadline)

    def start_again(self, informer):
        """After stop() or kill(): a life whose lines are counted anew."""
        informer.copy = Copy(informer, begin=informer.written())
        informer.start()

    def wait_stored(self, cluster="c1", deadline=60):
        """Without a handler: what the store says."""
        def look():
            return self.store.texts(cluster, "configmaps") == {key: as_text(thing) for key, thing in self.expected().items()}
        wait_until(look, deadline, "the store has the API server's set, byte for byte", every=0.1)

    def check_store(self, cluster="c1", expected=None):
        """The store agrees with itself and is the API server's set, or `expected`, byte for byte."""
        self.assertEqual(self.store.faults(), [])
        expected = {key: as_text(thing) for key, thing in (self.expected() if expected is None else expected).items()}
        self.assertEqual(self.store.texts(cluster, "configmaps"), expected)

    def synced(self, count=100, **options):
        """(provider, informer) over so many objects "old-00000" and on, ready."""
        self.api.add_config_maps(count, self.namespace, prefix="old", size=1024)
        provider = self.provider()
        informer = self.follow(**options)
        self.wait_equal(informer)
        informer.endpoint.wait_ready()
        return provider, informer

    def recovers(self, informer, provider):
        """After a fault, by itself: equal, ready, and only the first set was sent as a whole."""
        self.wait_equal(informer)
        informer.endpoint.wait_ready(60)
        self.check_store()
        self.assertEqual(provider.endpoint.metric("tinf_provider_snapshots_total"), 1)

    def change_behind_the_back(self):
        """Of synced(): one of each kind of change, five lines."""
        self.api.must("DELETE", f"{self.path}/old-00000")
        self.api.put(self.path, config_map("old-00001", "changed"))
        self.api.must("DELETE", f"{self.path}/old-00002")
        self.api.put(self.path, config_map("old-00002", "made anew"))
        self.api.put(self.path, config_map("new"))
