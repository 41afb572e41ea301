"""Every part may fail at any time: at the end the copy is what the API server has, and no delete is missed."""

import random
import subprocess

from real import ApiServer, Churn, Etcd, Mosquitto, Relay, ScenarioCase, served, wait_until, write_kubeconfig


def config_map(name, value="v"):
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"key": value}}


class OutageCase(ScenarioCase):
    """Each test has a broker and a namespace of its own."""

    def setUp(self):
        self.broker = self.start(self.new_broker())
        self.namespace = self.id().rpartition(".")[2].removeprefix("test_").replace("_", "-")[:60].strip("-")
        self.api.put("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}})
        self.path = f"/api/v1/namespaces/{self.namespace}/configmaps"

    def new_broker(self):
        return Mosquitto()

    def follow(self, *flags, **options):
        return self.informer("-r", "configmaps", "-n", self.namespace, *flags, **options)

    def expected(self, api=None):
        return served(api or self.api, "configmaps", self.namespace)

    def wait_equal(self, informer, cluster="c1", api=None, deadline=60):
        informer.copy.wait_until_equal(lambda: self.expected(api), cluster, "configmaps", deadline)

    def some_objects(self, count=20, api=None):
        (api or self.api).add_config_maps(count, self.namespace, prefix="old")

    def change_behind_the_back(self):
        """One of each: what a copy that was cut off must make good."""
        self.api.must("DELETE", f"{self.path}/old-00000")
        self.api.put(self.path, config_map("old-00001", "changed"))
        self.api.must("DELETE", f"{self.path}/old-00002")
        self.api.put(self.path, config_map("old-00002", "made anew"))
        self.api.put(self.path, config_map("new"))

    def relayed_kubeconfig(self, relay):
        return write_kubeconfig(self.api.folder / f"kubeconfig-relay-{relay.port}", f"https://127.0.0.1:{relay.port}",
                                authority=self.api.authority.certificate, token=self.api.tokens["admin"])

    def retained(self, topic="#"):
        """{topic: size} of what the broker keeps."""
        done = subprocess.run(["mosquitto_sub", "-h", "127.0.0.1", "-p", str(self.broker.port), "-t", topic, "-F", "%t %l",
                               "--retained-only", "-W", "1"], text=True, capture_output=True, timeout=20)
        return dict(line.rsplit(" ", 1) for line in done.stdout.splitlines())


class OneOfThemFails(OutageCase):
    @classmethod
    def start_parts(cls):
        cls.etcd = cls.start_for_all(Etcd())
        cls.api = cls.start_for_all(ApiServer(cls.etcd))

    def test_a_provider_killed_under_load_leaves_no_trace(self):
        self.some_objects()
        provider = self.provider()
        informer = self.follow()
        informer.copy.wait_synced("c1", "configmaps")
        churn = Churn(self.api, self.namespace).start()
        for _ in range(3):
            before = churn.done
            wait_until(lambda: churn.done > before + 50, 20, "some changes")
            provider.kill()
            mark = len(informer.errors)
            informer.wait_for_error("the cluster is away", since=max(0, mark - 1))
            before = churn.done
            wait_until(lambda: churn.done > before + 50, 20, "some changes meanwhile")
            provider.start()
        churn.stop()
        self.wait_equal(informer)
        informer.endpoint.wait_ready()

    def test_what_was_deleted_while_the_provider_was_dead_is_deleted(self):
        self.some_objects()
        provider = self.provider()
        informer = self.follow()
        informer.copy.wait_synced("c1", "configmaps")
        provider.kill()
        informer.wait_for_error("the cluster is away")
        self.change_behind_the_back()
        provider.start()
        self.wait_equal(informer)
        self.assertEqual([change for change, key in informer.copy.changes if key[3] == "old-00000"], ["ADDED", "DELETED"])
        informer.endpoint.wait_ready()

    def test_an_informer_killed_under_load_begins_anew_with_all(self):
        self.some_objects()
        self.provider()
        churn = Churn(self.api, self.namespace).start()
        for _ in range(3):
            informer = self.follow("--client-id", "always-the-same")
            informer.copy.wait_synced("c1", "configmaps")
            before = churn.done
            wait_until(lambda: churn.done > before + 30, 20, "some changes")
            informer.kill()
        churn.stop()
        informer = self.follow("--client-id", "always-the-same")
        self.wait_equal(informer)

    def test_a_broker_killed_under_load_comes_back_empty(self):
        self.some_objects()
        self.provider()
        informer = self.follow()
        informer.copy.wait_synced("c1", "configmaps")
        churn = Churn(self.api, self.namespace).start()
        for _ in range(3):
            before = churn.done
            wait_until(lambda: churn.done > before + 50, 20, "some changes")
            self.broker.kill()
            informer.endpoint.wait_not_ready("broker")
            before = churn.done
            wait_until(lambda: churn.done > before + 50, 20, "some changes meanwhile")
            self.broker.start()
        churn.stop()
        self.wait_equal(informer)
        informer.endpoint.wait_ready()

    def test_after_an_outage_of_the_broker_only_the_difference_travels(self):
        self.some_objects(200)
        provider = self.provider()
        informer = self.follow()
        informer.copy.wait_synced("c1", "configmaps")
        self.broker.kill()
        informer.endpoint.wait_not_ready("broker")
        self.change_behind_the_back()
        self.broker.start()
        self.wait_equal(informer)
        self.assertEqual(provider.endpoint.metric("tinf_provider_snapshots_total"), 1)
        self.assertEqual(len(informer.copy.changes), 200 + 5)

    def test_an_api_server_killed_under_load_is_waited_for(self):
        self.some_objects()
        provider = self.provider()
        informer = self.follow()
        informer.copy.wait_synced("c1", "configmaps")
        churn = Churn(self.api, self.namespace).start()
        for _ in range(2):
            before = churn.done
            wait_until(lambda: churn.done > before + 50, 30, "some changes")
            self.api.kill()
            self.api.start()
        before = churn.done
        wait_until(lambda: churn.done > before + 50, 30, "some changes")
        churn.stop()
        self.wait_equal(informer)
        provider.endpoint.wait_ready()
        informer.endpoint.wait_ready()

    def test_an_old_copy_is_said_to_be_old(self):
        self.some_objects()
        self.provider()
        follower = self.follow()
        self.wait_equal(follower)
        wait_until(lambda: follower.endpoint.metric("tinf_informer_proven_equal_age_seconds") >= 0, 60, "a proof")
        once = self.follow("--once")
        self.assertEqual(once.wait_for_exit(30), 0)
        self.assertNotRegex("\n".join(once.errors), "the copy is old")
        self.api.kill()
        wait_until(lambda: follower.endpoint.metric("tinf_informer_proven_equal_age_seconds") >= 10, 60, "it is old")
        once = self.follow("--once")
        self.assertEqual(once.wait_for_exit(30), 0)
        self.assertRegex("\n".join(once.errors), r"the copy is old: .* cluster=c1 resource=configmaps age=\d+s")
        self.api.start()

    def test_a_watch_whose_version_has_been_compacted_away_lists_again(self):
        self.some_objects()
        relay = self.start(Relay(self.api.port))
        provider = self.provider(kubeconfig=self.relayed_kubeconfig(relay))
        informer = self.follow()
        informer.copy.wait_synced("c1", "configmaps")
        lists = provider.endpoint.metric("tinf_reflector_lists_total", resource="configmaps")
        relay.cut(refuse=True)
        self.change_behind_the_back()
        self.etcd.compact()
        self.api.restart()  # Its own cache would still remember.
        relay.resume()
        self.wait_equal(informer)
        self.assertGreater(provider.endpoint.metric("tinf_reflector_lists_total", resource="configmaps"), lists)
        # The list is compared with what was there: informers are told the difference, not the set.
        self.assertEqual(len(informer.copy.changes), 20 + 5)

    def test_a_connection_to_the_api_server_that_is_cut_again_and_again(self):
        self.some_objects()
        relay = self.start(Relay(self.api.port))
        self.provider(kubeconfig=self.relayed_kubeconfig(relay))
        informer = self.follow()
        informer.copy.wait_synced("c1", "configmaps")
        churn = Churn(self.api, self.namespace).start()
        for _ in range(10):
            before = churn.done
            wait_until(lambda: churn.done > before + 20, 20, "some changes")
            relay.cut()
        churn.stop()
        self.wait_equal(informer)

    def test_connections_to_the_broker_that_are_cut_again_and_again_at_every_quality_of_service(self):
        self.some_objects()
        for qos in ("0", "1", "2"):
            with self.subTest(qos=qos):
                cluster = f"qos{qos}"
                up, down = self.start(Relay(self.broker.port)), self.start(Relay(self.broker.port))
                self.provider("--qos", qos, cluster=cluster, broker=up)
                informer = self.follow("--cluster", cluster, "--qos", qos, broker=down)
                informer.copy.wait_synced(cluster, "configmaps")
                churn = Churn(self.api, self.namespace, seed=int(qos), pause=0.0).start()
                dice = random.Random(qos)
                for _ in range(10):
                    before = churn.done
                    wait_until(lambda: churn.done > before + 20, 20, "some changes")
                    dice.choice((up, down)).cut()
                churn.stop()
                self.wait_equal(informer, cluster)

    def test_a_cable_pulled_between_informer_and_broker_is_noticed_and_made_good(self):
        self.some_objects()
        self.provider()
        relay = self.start(Relay(self.broker.port))
        informer = self.follow(broker=relay)
        informer.copy.wait_synced("c1", "configmaps")
        relay.silence()
        self.change_behind_the_back()
        relay.cut()
        relay.resume()
        self.wait_equal(informer)
        informer.endpoint.wait_ready()

    def test_a_frozen_informer_catches_up(self):
        self.some_objects()
        self.provider()
        informer = self.follow()
        informer.copy.wait_synced("c1", "configmaps")
        informer.pause()
        Churn(self.api, self.namespace, names=200).burst(1500)
        informer.resume()
        self.wait_equal(informer)

    def test_a_frozen_provider_catches_up(self):
        self.some_objects()
        provider = self.provider()
        informer = self.follow()
        informer.copy.wait_synced("c1", "configmaps")
        provider.pause()
        Churn(self.api, self.namespace, names=200).burst(1500)
        provider.resume()
        self.wait_equal(informer)

    def test_several_informers_share_what_one_provider_watches(self):
        self.some_objects()
        provider = self.provider()
        everything = [self.follow() for _ in range(4)]
        selected = [self.follow("--field-selector", "metadata.name=churn-1") for _ in range(2)]
        for informer in everything + selected:
            informer.copy.wait_synced("c1", "configmaps")
        wait_until(lambda: provider.endpoint.metric("tinf_provider_subscriptions") == 6, 10, "six subscriptions")
        self.assertEqual(provider.endpoint.metric("tinf_provider_scopes"), 2)
        churn = Churn(self.api, self.namespace).start()
        wait_until(lambda: churn.done > 100, 20, "some changes")
        everything[0].kill()
        self.assertEqual(everything[1].terminate(), 0)
        late = self.follow()
        before = churn.done
        wait_until(lambda: churn.done > before + 100, 20, "some changes")
        churn.stop()
        for informer in everything[2:] + [late]:
            self.wait_equal(informer)
        for informer in selected:
            informer.copy.wait_until_equal(
                lambda: served(self.api, "configmaps", self.namespace, "fieldSelector=metadata.name%3Dchurn-1"), "c1", "configmaps")
        for informer in selected:
            self.assertEqual(informer.terminate(), 0)
        wait_until(lambda: provider.endpoint.metric("tinf_provider_scopes") == 1, 10, "nobody follows the other scope")

    def test_a_broker_away_at_start_is_said_once_and_waited_for(self):
        self.some_objects()
        self.broker.kill()
        provider, informer = self.provider(), self.follow()
        provider.endpoint.wait_not_ready("broker")
        informer.endpoint.wait_not_ready("broker")
        self.assertEqual((provider.endpoint.get("/livez")[0], informer.endpoint.get("/livez")[0]), (200, 200))
        for daemon in (provider, informer):
            daemon.wait_for_error("cannot connect.*broker")
        self.broker.start()
        self.wait_equal(informer)
        provider.endpoint.wait_ready()
        informer.endpoint.wait_ready()
        for daemon in (provider, informer):
            self.assertEqual(len([line for line in daemon.errors if "cannot connect" in line]), 1, daemon.errors)

    def test_an_api_server_away_at_start_is_said_once_and_waited_for(self):
        relay = self.start(Relay(self.api.port))
        relay.cut(refuse=True)
        self.some_objects()
        provider = self.provider(kubeconfig=self.relayed_kubeconfig(relay))
        informer = self.follow()
        provider.endpoint.wait_not_ready("API server")
        informer.endpoint.wait_not_ready("no cluster has shown itself")
        provider.wait_for_error("API server cannot be asked.*trying again")
        relay.resume()
        self.wait_equal(informer)
        provider.endpoint.wait_ready()
        informer.endpoint.wait_ready()
        self.assertEqual(len([line for line in provider.errors if "cannot be asked" in line]), 1, provider.errors)

    def test_both_end_within_five_seconds_and_take_their_words_back(self):
        self.some_objects()
        provider, informer = self.provider(), self.follow("--client-id", "leaver")
        informer.copy.wait_synced("c1", "configmaps")
        wait_until(lambda: len([topic for topic in self.retained() if topic.startswith("/signal/_client/")]) == 2 and
                   {"/payload/c1/presence", "/signal/_client/leaver"} < set(self.retained()), 10,
                   "both have said who they are")
        churn = Churn(self.api, self.namespace).start()
        wait_until(lambda: churn.done > 20, 20, "some changes")
        self.assertEqual(provider.terminate(), 0)  # Within 5 s, or it fails.
        churn.stop()
        informer.wait_for_error("the cluster is away")
        informer.endpoint.wait_not_ready("cluster")
        self.assertEqual(informer.terminate(), 0)
        self.assertEqual(self.retained(), {})

    def test_both_end_within_five_seconds_without_a_broker_or_with_a_silent_one(self):
        provider, informer = self.provider(), self.follow()
        informer.copy.wait_synced("c1", "configmaps")
        self.broker.pause()
        self.assertEqual((provider.terminate(), informer.terminate()), (0, 0))
        self.broker.resume()
        self.broker.kill()
        provider, informer = self.provider(), self.follow()
        provider.endpoint.wait_not_ready("broker")
        informer.endpoint.wait_not_ready("broker")
        self.assertEqual((provider.terminate(), informer.terminate()), (0, 0))

    def test_a_provider_ends_within_five_seconds_while_its_api_server_is_silent(self):
        relay = self.start(Relay(self.api.port))
        relay.silence()
        provider = self.provider(kubeconfig=self.relayed_kubeconfig(relay))
        provider.endpoint.wait_not_ready("API server")
        self.assertEqual(provider.terminate(), 0)

    def test_a_right_that_was_taken_away_keeps_the_copy_until_it_is_given_back(self):
        def rules(*resources):
            return [{"apiGroups": [""], "resources": list(resources), "verbs": ["get", "list", "watch"]}]
        self.some_objects()
        kubeconfig = self.api.grant("restricted", rules("configmaps", "namespaces"))
        provider = self.provider(kubeconfig=kubeconfig)
        informer = self.informer("-n", self.namespace)
        informer.copy.wait_synced("c1", "configmaps")
        provider.kill()
        self.api.grant("restricted", rules("namespaces", "services"))
        wait_until(lambda: self.api.request("GET", self.path, user="restricted")[0] == 403, 10, "the right is gone")
        provider.start()
        informer.copy.wait_synced("c1", "services")
        informer.wait_for_error("no longer offered: its copy stays as it is.*configmaps")
        informer.endpoint.wait_not_ready("configmaps of c1 is no longer offered")
        self.assertEqual(informer.endpoint.metric("tinf_informer_objects", resource="configmaps"), 20)
        self.change_behind_the_back()
        provider.kill()
        self.api.grant("restricted", rules("configmaps", "services"))
        provider.start()
        self.wait_equal(informer, deadline=90)
        informer.endpoint.wait_ready()

    def test_the_last_will_speaks_for_a_killed_provider(self):
        provider, informer = self.provider(), self.follow()
        informer.copy.wait_synced("c1", "configmaps")
        provider.kill()
        informer.wait_for_error("the cluster is away")
        informer.endpoint.wait_not_ready("cluster")

    def test_faults_drawn_from_a_seed_all_at_once(self):
        self.some_objects(50)
        seed = random.randrange(1 << 32)
        dice = random.Random(seed)
        print(f"\nseed {seed}", flush=True)
        api_relay = self.start(Relay(self.api.port))
        broker_relay = self.start(Relay(self.broker.port))
        provider = self.provider(kubeconfig=self.relayed_kubeconfig(api_relay))
        informer = self.follow("--qos", "0", broker=broker_relay)
        other = self.follow()
        churn = Churn(self.api, self.namespace, seed=seed).start()
        for _ in range(25):
            before = churn.done
            amount = dice.randrange(5, 60)
            wait_until(lambda: churn.done > before + amount, 30, "some changes")
            fault = dice.choice(("broker", "provider", "api link", "broker link", "freeze", "compact"))
            if fault == "broker":
                self.broker.kill()
                self.broker.start()
            elif fault == "provider":
                provider.kill()
                provider.start()
            elif fault == "api link":
                api_relay.cut()
            elif fault == "broker link":
                broker_relay.cut()
            elif fault == "freeze":
                informer.pause()
                amount = dice.randrange(50)
                before = churn.done
                wait_until(lambda: churn.done > before + amount, 30, "some changes")
                informer.resume()
            else:
                self.etcd.compact()
        churn.stop()
        self.wait_equal(informer, deadline=90)
        self.wait_equal(other, deadline=90)
        informer.endpoint.wait_ready(60)


class WithoutWatchCache(OutageCase):
    @classmethod
    def start_parts(cls):
        cls.etcd = cls.start_for_all(Etcd())
        cls.api = cls.start_for_all(ApiServer(cls.etcd, options=["--watch-cache=false"]))

    def test_compaction_under_load_with_connections_that_break(self):
        self.some_objects()
        relay = self.start(Relay(self.api.port))
        self.provider(kubeconfig=self.relayed_kubeconfig(relay))
        informer = self.follow()
        informer.copy.wait_synced("c1", "configmaps")
        churn = Churn(self.api, self.namespace).start()
        for _ in range(5):
            relay.cut(refuse=True)
            before = churn.done
            wait_until(lambda: churn.done > before + 50, 30, "some changes")
            self.etcd.compact()
            relay.resume()
        churn.stop()
        self.wait_equal(informer)


class ThreeClusters(OutageCase):
    @classmethod
    def start_parts(cls):
        cls.api = cls.start_for_all(ApiServer(cls.start_for_all(Etcd())))
        cls.second = cls.start_for_all(ApiServer(cls.start_for_all(Etcd())))

    def test_a_third_cluster_joins_and_each_keeps_to_itself(self):
        third = self.start(ApiServer(self.start(Etcd())))
        servers = {"alpha": self.api, "beta": self.second, "gamma": third}
        for api in servers.values():
            api.put("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}})
            self.some_objects(10, api)
        providers = {name: self.provider(cluster=name, api=servers[name]) for name in ("alpha", "beta")}
        all_of_them = self.follow()
        only = self.follow("--cluster", "alpha", "--cluster", "gamma")
        for name in ("alpha", "beta"):
            all_of_them.copy.wait_synced(name, "configmaps")
        only.endpoint.wait_not_ready("cluster gamma has not shown itself")
        churns = [Churn(api, self.namespace, seed=number).start() for number, api in enumerate(servers.values())]
        providers["gamma"] = self.provider(cluster="gamma", api=third)
        all_of_them.copy.wait_synced("gamma", "configmaps")
        providers["beta"].kill()
        self.broker.kill()
        self.broker.start()
        providers["beta"].start()
        wait_until(lambda: min(churn.done for churn in churns) > 100, 30, "some changes everywhere")
        for churn in churns:
            churn.stop()
        for name, api in servers.items():
            self.wait_equal(all_of_them, name, api)
        for name in ("alpha", "gamma"):
            self.wait_equal(only, name, servers[name])
        self.assertEqual(only.copy.objects("beta", "configmaps"), {})
        all_of_them.endpoint.wait_ready()
        only.endpoint.wait_ready()


    def test_a_cluster_rebuilt_under_its_old_name_replaces_the_copy(self):
        for api, count in ((self.api, 20), (self.second, 7)):
            api.put("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.namespace}})
            self.some_objects(count, api)
        old, new = self.unstarted_provider(broker=self.broker), self.unstarted_provider(broker=self.broker, api=self.second)
        self.start(old)
        informer = self.follow()
        self.wait_equal(informer, api=self.api)
        old.kill()
        self.start(new)
        self.wait_equal(informer, api=self.second)
        self.assertEqual(new.terminate(), 0)
        old.start()
        self.wait_equal(informer, api=self.api)
        informer.endpoint.wait_ready()


class RestoredBackup(OutageCase):
    @classmethod
    def start_parts(cls):
        cls.etcd = cls.start_for_all(Etcd())
        cls.api = cls.start_for_all(ApiServer(cls.etcd))

    def test_a_cluster_set_back_to_its_backup_takes_the_copy_with_it(self):
        self.some_objects()
        self.api.kill()
        self.etcd.save("early")
        self.api.start()
        self.provider()
        informer = self.follow()
        informer.copy.allow_rewinds()
        informer.copy.wait_synced("c1", "configmaps")
        self.change_behind_the_back()
        self.api.add_config_maps(30, self.namespace, prefix="lost")
        self.wait_equal(informer)
        self.api.kill()
        self.etcd.restore("early")
        self.api.start()
        self.wait_equal(informer)
        self.api.put(self.path, config_map("after"))
        self.wait_equal(informer)
