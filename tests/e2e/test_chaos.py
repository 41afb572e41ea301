"""Any of the parts fails at any time, two at once, under a steady load: every copy ends equal, and each line of it was right.

TINF_CHAOS_SECONDS (default 40) is how long faults are made; TINF_CHAOS_SEED repeats the choice of faults that a failure names.
"""

import os
import random
import time
import types

from real import ApiServer, Churn, Etcd, Mosquitto, Relay, ScenarioCase, served, write_kubeconfig

SECONDS = float(os.environ.get("TINF_CHAOS_SECONDS", "40"))
SEED = int(os.environ.get("TINF_CHAOS_SEED", str(random.SystemRandom().randrange(1_000_000))))


class Chaos(ScenarioCase):
    @classmethod
    def start_parts(cls):
        cls.etcd = cls.start_for_all(Etcd())
        cls.api = cls.start_for_all(ApiServer(cls.etcd))

    def setUp(self):
        self.random = random.Random(SEED)
        self.broker = self.start(Mosquitto())
        self.to_api, self.to_broker, self.from_broker = (
            self.start(Relay(port)) for port in (self.api.port, self.broker.port, self.broker.port))
        kubeconfig = write_kubeconfig(self.api.folder / "kubeconfig-chaos", f"https://127.0.0.1:{self.to_api.port}",
                                      authority=self.api.authority.certificate, token=self.api.tokens["admin"])
        self.api.add_config_maps(200, prefix="still")
        self.provider_ = self.provider(broker=at(self.to_broker), kubeconfig=kubeconfig)
        follow = ["-r", "configmaps", "-n", "default"]
        self.all = self.informer(*follow, "--client-id", "all", broker=at(self.from_broker))
        self.dark = self.informer(*follow, "--client-id", "dark", "-l", "shade=dark")
        self.faults = {
            "provider killed": (self.provider_.kill, self.provider_.start),
            "provider frozen": (self.provider_.pause, self.provider_.resume),
            "informer frozen": (self.all.pause, self.all.resume),
            "broker killed, its state lost": (self.broker.kill, self.broker.start),
            "broker frozen": (self.broker.pause, self.broker.resume),
            "API server killed": (self.api.kill, self.api.start),
            "API server frozen": (self.api.pause, self.api.resume),
            "etcd frozen": (self.etcd.pause, self.etcd.resume),
            "connections to the API server cut": (lambda: self.to_api.cut(refuse=True), self.to_api.resume),
            "connections to the API server silent": (self.to_api.silence, self.to_api.resume),
            "provider's connection to the broker cut": (self.to_broker.cut, self.to_broker.resume),
            "provider's connection to the broker silent": (self.to_broker.silence, self.to_broker.resume),
            "informer's connection to the broker cut": (lambda: self.from_broker.cut(refuse=True), self.from_broker.resume),
            "informer's connection to the broker silent": (self.from_broker.silence, self.from_broker.resume),
        }

    def expected(self, shade=None):
        def wanted(thing):
            return shade is None or thing["metadata"].get("labels", {}).get("shade") == shade
        return {key: thing for key, thing in served(self.api, "configmaps", "default").items() if wanted(thing)}

    def make_two_faults(self):
        """For a moment each, beginning and ending independently; both are over at the end."""
        events = []
        for name in self.random.sample(sorted(self.faults), 2):
            begin = self.random.uniform(0, 1)
            events += [(begin, name, 0), (begin + self.random.uniform(0.2, 3), name, 1)]
        at_once = {name for _, name, _ in events}
        if at_once == {"broker killed, its state lost", "broker frozen"} or at_once == {"API server killed", "API server frozen"} or (
                at_once == {"provider killed", "provider frozen"}):
            return  # One process, and what is dead cannot be frozen.
        before = 0
        for moment, name, which in sorted(events):
            time.sleep(moment - before)  # The load goes on meanwhile: this is the length of a fault, not a wait for anything.
            before = moment
            self.told.append(f"{'end of ' if which else ''}{name}")
            self.faults[name][which]()

    def test_every_copy_ends_equal(self):
        self.told = [f"seed {SEED}"]
        for informer in (self.all, self.dark):
            informer.copy.wait_synced("c1", "configmaps")
        until, number = time.monotonic() + SECONDS, 0
        try:
            while time.monotonic() < until:
                number += 1
                churn = Churn(self.api, "default", seed=SEED + number, labels=("dark", "light")).start()
                for _ in range(3):
                    self.make_two_faults()
                churn.stop()
                for informer, shade in ((self.all, None), (self.dark, "dark")):
                    informer.copy.wait_until_equal(lambda: self.expected(shade), "c1", "configmaps", deadline=120)
                    informer.endpoint.wait_ready(60)
                self.told.append(f"equal after {churn.done} changes")
        except BaseException:
            print("\n".join(self.told), flush=True)
            raise
        self.assertGreater(number, 0)


def at(relay):
    """A broker as provider() and informer() want one, behind a relay."""
    return types.SimpleNamespace(url=f"tcp://127.0.0.1:{relay.port}")
