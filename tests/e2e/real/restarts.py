"""What a store that outlives its informers shows when they come and go, or are killed under load: tests for a StoreCase.

TINF_KILLS (default 20) is how often the informer is killed; TINF_KILLS_SEED repeats the moments of a failure.
"""

import os
import random
import time

from .churn import Churn

KILLS = int(os.environ.get("TINF_KILLS", "20"))
SEED = int(os.environ.get("TINF_KILLS_SEED", str(random.SystemRandom().randrange(1_000_000))))


class RestartTests:
    """A StoreCase with self.store that also has exists(), version(), and ask() and changed_since() of its views."""

    def left(self):
        """What a killed informer has left, to be asked; None: it had not begun to make it."""
        return self.store if self.store.exists() else None

    def let_go(self):
        """After a kill: whatever else keeps the next life from beginning at once."""

    def test_after_a_restart_only_differences_travel(self):
        provider, informer = self.synced(500)
        whole = informer.endpoint.metric("tinf_transport_received_bytes_total")
        before = self.store.version()
        self.assertEqual(informer.terminate(), 0)
        self.check_store()
        self.change_behind_the_back()
        self.start_again(informer)
        self.wait_equal(informer)
        informer.endpoint.wait_ready()
        self.check_store()
        # Only now the differences are told: what was there came as initial adds, in the state that the store had.
        told = sorted((kind, key[3]) for kind, key in informer.copy.changes[500:])
        self.assertEqual(told, [("ADDED", "new"), ("ADDED", "old-00002"), ("DELETED", "old-00000"), ("DELETED", "old-00002"),
                                ("MODIFIED", "old-00001")])
        # The log says the same.
        self.assertEqual(self.store.changed_since(before), told)
        self.assertEqual(provider.endpoint.metric("tinf_provider_snapshots_total"), 1)  # The first one.
        self.assertLess(informer.endpoint.metric("tinf_transport_received_bytes_total"), whole / 10)

    def test_killed_again_and_again_under_load_it_never_contradicts_itself(self):
        print(f"\nseed {SEED}", flush=True)
        dice = random.Random(SEED)
        self.api.add_config_maps(200, self.namespace, prefix="still")
        self.provider()
        informer = self.follow()
        churn = Churn(self.api, self.namespace, names=100, seed=SEED, labels=("dark", "light"), pause=0.0).start()
        first, version, told, resumed = None, 0, 0, 0
        try:
            for number in range(KILLS):
                # The length of a life, not a wait for anything: its beginning is killed as often as what follows.
                time.sleep(dice.uniform(0.0, 0.2) if number % 3 == 0 else dice.uniform(0.2, 1.0))
                informer.kill()
                left = self.left()
                if left:
                    now = self.check_left(left, informer, number)
                    self.assertGreaterEqual(now, version, f"kill {number}: versions went back")
                    resumed += now > version
                    first = first or now
                    version = now
                told += len(informer.copy.changes)
                self.let_go()
                self.start_again(informer)
        finally:
            churn.stop()
        self.wait_equal(informer)
        informer.endpoint.wait_ready()
        self.check_store()
        print(f"{KILLS} kills, {churn.done} writes, {told} lines, {version - (first or 0)} versions; {resumed} lives wrote",
              flush=True)
        # Otherwise the run has shown nothing.
        self.assertGreater(resumed, KILLS // 4)

    def check_left(self, left, informer, number):
        """What a killed informer left is whole, and nothing is missing that it had told of. Returns the version."""
        self.assertEqual(left.faults(), [], f"kill {number}; what it left is {left.url}")
        held = {(namespace, name): int(version) for namespace, name, version in
                left.ask("SELECT namespace, name, resource_version FROM objects")}
        gone = {tuple(row) for row in left.ask("SELECT namespace, name FROM changes WHERE type = 'DELETED'")}
        for key, thing in informer.copy.objects("c1", "configmaps").items():
            told = int(thing["metadata"]["resourceVersion"])
            if key in held:
                self.assertGreaterEqual(held[key], told, f"kill {number}: {key} was told in a newer state than is stored")
            else:
                self.assertIn(key, gone, f"kill {number}: {key} was told, and is not stored")
        return left.version()
