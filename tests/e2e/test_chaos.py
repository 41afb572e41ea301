"""Any of the parts fails at any time, two at once, under a steady load: every copy ends equal, each line of it was right,
and no informer ever said that it was proven equal while it was not.

TINF_CHAOS_SECONDS (default 40) is how long faults are made; TINF_CHAOS_SEED repeats the choice of faults that a failure
names. What happened is told in build/chaos-report.txt.
"""

import dataclasses
import os
import pathlib
import random
import time
import typing

from real import (ApiServer, Churn, Copy, Etcd, Mosquitto, Postgres, Relay, ScenarioCase, StoreDatabase, StoreFile, Tally,
                  Witness, as_text, difference, served, wait_until, write_kubeconfig)

SECONDS = float(os.environ.get("TINF_CHAOS_SECONDS", "40"))
SEED = int(os.environ.get("TINF_CHAOS_SEED", str(random.SystemRandom().randrange(1_000_000))))
REPORT = pathlib.Path(__file__).resolve().parents[2] / "build" / "chaos-report.txt"

# A fault that holds bytes back lets somebody speak, in good faith, of a state that is over (docs/protocol.md says so).
# So long after its end everybody has heard of what was held back: for etcd, the API server must first find it again.
AT_ONCE, SOON, ETCD_FOUND = 0.0, 1.0, 5.0
# A provider whose acknowledgements are lost again and again finds that out after a minute: not for a short run.
LOST_PERCENT = (5, 30) if SECONDS >= 300 else (5,)
# Rounds after which the copies are awaited; between them faults pile up.
ROUNDS_TO_EQUALITY = 3


@dataclasses.dataclass
class Fault:
    name: str
    parts: frozenset  # No two faults of one part at once: what is dead cannot be frozen.
    begin: typing.Callable
    end: typing.Callable
    hides: typing.Optional[float]  # None: nothing is held back. Else: how long after its end all is said again.
    lasts: bool = False            # May go on while informers are held to what they claim.


class Chaos(ScenarioCase):
    @classmethod
    def start_parts(cls):
        cls.etcd = cls.start_for_all(Etcd())
        cls.api = cls.start_for_all(ApiServer(cls.etcd))

    def setUp(self):
        self.random = random.Random(SEED)
        self.broker = self.start(Mosquitto(persistence=True))
        self.api.add_config_maps(200, prefix="still")
        self.etcd.save("older")
        self.api.wait_ready()
        self.to_api = self.start(Relay(self.api.port))
        self.links = {name: self.start(Relay(self.broker.port, mqtt=True, seed=SEED + number))
                      for number, name in enumerate(("provider", "all", "dark", "file", "database"))}
        kubeconfig = write_kubeconfig(self.api.folder / "kubeconfig-chaos", f"https://127.0.0.1:{self.to_api.port}",
                                      authority=self.api.authority.certificate, token=self.api.tokens["admin"])
        self.file = StoreFile(self.folder / "fleet.db")
        self.server = self.start(Postgres())
        self.database = StoreDatabase(self.server)
        self.to_server = self.start(Relay(self.server.port))
        self.daemons = {"provider": self.provider(broker=self.links["provider"], kubeconfig=kubeconfig)}
        self.informers = {
            name: self.informer("-r", "configmaps", "-n", "default", "--client-id", name, *flags, broker=self.links[name],
                                environment=self.database.environment())
            # The last two go on with what is stored when they were killed.
            for name, flags in (("all", ()), ("dark", ("-l", "shade=dark", "--qos", "0")), ("file", ("--store", self.file.url)),
                                ("database", ("--store", self.database.url_by(self.to_server))))}
        self.daemons |= self.informers
        self.faults = list(self.all_faults())
        self.history, self.began = [], time.monotonic()  # of the report: (seconds, text)
        self.hidden_until = 0.0
        self.rewound = False

    def all_faults(self):
        def fault(name, parts, begin, end, hides=None, **more):
            return Fault(name, frozenset(parts.split("+")), begin, end, hides, **more)

        def broker_without_disk():
            self.broker.kill()
            self.broker.wipe()

        def older_etcd():
            self.api.kill()
            self.etcd.restore("older")
            self.rewound = True
            for informer in self.informers.values():
                informer.copy.allow_rewinds()

        for name, daemon in self.daemons.items():
            yield fault(f"{name} killed", name, lambda name=name: self.kill_daemon(name), lambda name=name: self.start_daemon(name))
            yield fault(f"{name} frozen", name, daemon.pause, daemon.resume, SOON)
        yield fault("broker killed", "broker", self.broker.kill, lambda: self.broker.start(wait=False))
        yield fault("broker killed, its disk lost", "broker", broker_without_disk, lambda: self.broker.start(wait=False))
        yield fault("broker frozen", "broker", self.broker.pause, self.broker.resume, SOON)
        yield fault("API server killed", "API", self.api.kill, lambda: self.api.start(wait=False), SOON)
        yield fault("API server frozen", "API", self.api.pause, self.api.resume, SOON)
        yield fault("etcd killed", "etcd", self.etcd.kill, lambda: self.etcd.start(wait=False), ETCD_FOUND)
        yield fault("etcd frozen", "etcd", self.etcd.pause, self.etcd.resume, ETCD_FOUND)
        yield fault("etcd set back to an older state", "API+etcd", older_etcd, lambda: self.api.start(wait=False), ETCD_FOUND)
        yield fault("database server killed", "database server", self.server.kill, lambda: self.server.start(wait=False))
        yield fault("database server frozen", "database server", self.server.pause, self.server.resume)
        for link, relay in {"provider's link to the API server": self.to_api, "database's link to its server": self.to_server,
                            **{f"{name}'s link to the broker": relay for name, relay in self.links.items()}}.items():
            for words, begin, hides in (
                    ("cut", lambda relay=relay: relay.cut(refuse=True), None),
                    ("cut inside a message", relay.cut_inside, None),
                    ("silent", relay.silence, SOON),
                    ("silent one way", lambda relay=relay: relay.silence(self.random.choice(("up", "down"))), SOON),
                    ("swallowing", relay.swallow, SOON),
                    ("swallowing one way", lambda relay=relay: relay.swallow(self.random.choice(("up", "down"))), SOON),
                    ("slow", lambda relay=relay: relay.delay(0.3), SOON),
                    ("narrow", lambda relay=relay: relay.throttle(20_000), SOON)):
                yield fault(f"{link} {words}", link, begin, relay.resume, hides)
            if relay in self.links.values():
                for percent in LOST_PERCENT:
                    yield fault(f"{link} loses {percent} % of messages", link,
                                lambda relay=relay, percent=percent: relay.lose(percent / 100), relay.resume, lasts=True)

    def kill_daemon(self, name):
        self.tally.look(name)
        self.daemons[name].kill()

    def start_daemon(self, name):
        daemon = self.daemons[name]
        if name in self.informers:
            daemon.copy = Copy(daemon, begin=daemon.written())
            daemon.copy.allow_rewinds(self.rewound)
        daemon.start()

    def expected(self, name):
        things = served(self.api, "configmaps", "default")
        if name != "dark":
            return things
        return {key: thing for key, thing in things.items() if thing["metadata"].get("labels", {}).get("shade") == "dark"}

    def tell(self, text):
        self.history.append((time.monotonic() - self.began, text))

    def draw(self, faults):
        """Each part is as likely as any other, however many faults it knows."""
        parts = self.random.choice(sorted({tuple(sorted(fault.parts)) for fault in faults}))
        return self.random.choice([fault for fault in faults if fault.parts == set(parts)])

    def make_two_faults(self):
        """They begin and end independently. Returns those that are still on."""
        first = self.draw(self.faults)
        second = self.draw([other for other in self.faults if not other.parts & first.parts])
        begun, events, lasting = {}, [], []
        for which, fault in enumerate((first, second)):
            begin = self.random.uniform(0, 1)
            events.append((begin, which, fault.begin))
            if fault.lasts:
                lasting.append(fault)
            else:
                events.append((begin + self.random.uniform(0.2, 3), which, fault.end))
        before = 0
        for moment, which, act in sorted(events, key=lambda event: event[0]):
            time.sleep(moment - before)  # The load goes on meanwhile: this is the length of a fault, not a wait for anything.
            before = moment
            fault = (first, second)[which]
            act()
            if which in begun:
                self.end_of(fault, begun[which])
            else:
                begun[which] = time.monotonic()
        return [(fault, begun[(first, second).index(fault)]) for fault in lasting]

    def end_of(self, fault, begun):
        now = time.monotonic()
        self.last_end = now
        self.history.append((begun - self.began, f"{fault.name}, for {now - begun:.1f} s"))
        if fault.hides is not None:
            self.hidden_until = max(self.hidden_until, now + fault.hides)

    def end_all(self, lasting):
        for fault, begun in lasting:
            fault.end()
            self.end_of(fault, begun)

    def wait_for_parts(self):
        for part in (self.broker, self.etcd, self.api, self.server):
            part.wait_ready()

    def touch(self):
        """One change that every informer sees."""
        self.api.put("/api/v1/namespaces/default/configmaps", {
            "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "touched", "labels": {"shade": "dark"}},
            "data": {"at": str(time.monotonic())}})

    def wait_until_equal(self):
        for name, informer in self.informers.items():
            informer.copy.wait_until_equal(lambda name=name: self.expected(name), "c1", "configmaps", deadline=120)
        if self.rewound:
            self.rewound = False
            for informer in self.informers.values():
                informer.copy.allow_rewinds(False)

    def run_rounds(self, churn, witness):
        until, number = time.monotonic() + SECONDS, 0
        while time.monotonic() < until:
            number += 1
            lasting = self.make_two_faults()
            self.wait_for_parts()
            # The load goes on while what was held back comes out.
            time.sleep(max(0, self.hidden_until - time.monotonic()))
            with churn.quiet():
                witness.look(not_before=self.hidden_until)
            self.end_all(lasting)
            if number % ROUNDS_TO_EQUALITY == 0:
                with churn.quiet():
                    began = time.monotonic()
                    self.wait_until_equal()
                    self.tell(f"all equal after {time.monotonic() - began:.1f} s, {churn.done} changes")
                    self.etcd.save("older")
                    self.api.wait_ready()
        self.assertGreater(number, 0)
        # The last ones end together with the load.
        self.end_all(self.make_two_faults())
        self.wait_for_parts()
        churn.stop()

    def seconds_to_proof(self, quiet):
        """From the end of the last fault until every scope is proven equal as of a moment after it."""
        proven = {}

        def look():
            for name in self.informers.keys() - proven.keys():
                asked = time.monotonic()
                age = self.informers[name].endpoint.metric("tinf_informer_proven_equal_age_seconds")
                if age is not None and 0 <= age < asked - quiet:
                    proven[name] = asked
            return len(proven) == len(self.informers)
        wait_until(look, 150, "every copy is proven equal", every=0.1, tolerate=(OSError,))
        return max(proven.values()) - self.last_end

    def test_every_copy_ends_equal_and_no_proof_is_false(self):
        REPORT.parent.mkdir(exist_ok=True)
        REPORT.unlink(missing_ok=True)
        for informer in self.informers.values():
            informer.copy.wait_synced("c1", "configmaps")
        self.tally = Tally(self.daemons).start()
        churn = Churn(self.api, "default", names=100, seed=SEED, labels=("dark", "light")).start()
        witness = Witness(self.informers, {name: lambda name=name: self.expected(name) for name in self.informers}, self.touch,
                          "c1", "configmaps")
        outcome = "FAILED: it was interrupted"
        try:
            self.run_rounds(churn, witness)
            quiet = time.monotonic()
            self.wait_until_equal()
            seconds = self.seconds_to_proof(quiet)
            for name, informer in self.informers.items():
                informer.endpoint.wait_ready(60)
                expected = self.expected(name)
                self.assertEqual(difference(expected, informer.copy.objects("c1", "configmaps")), "")
                self.assertEqual({key: as_text(thing) for key, thing in expected.items()}, informer.copy.texts("c1", "configmaps"))
            for store in (self.file, self.database):
                self.assertEqual(store.faults(), [])
                self.assertEqual({key: as_text(thing) for key, thing in self.expected("file").items()}, store.texts("c1", "configmaps"))
            outcome = f"every copy equal in every byte, and proven so {seconds:.1f} s after the end of the last fault"
        except Exception as error:
            outcome = f"FAILED: {str(error)[:300]}"
            raise
        finally:
            churn.stop()
            self.tally.stop()
            text = "\n".join(self.report(outcome, churn, witness)) + "\n"
            REPORT.write_text(text)
            print(text, flush=True)
        # Otherwise the run has shown nothing of what it is for.
        self.assertGreater(witness.claims, 0)
        self.assertGreater(churn.done, 100)

    def report(self, outcome, churn, witness):
        total = self.tally.total
        yield f"chaos, seed {SEED}, {time.monotonic() - self.began:.0f} s: {outcome}"
        yield ""
        for moment, text in sorted(self.history):
            yield f"{moment:7.1f} s  {text}"
        yield ""
        lost = ", ".join(f"{name} {relay.lost['up']} up, {relay.lost['down']} down" for name, relay in self.links.items())
        yield f"writes that the API server took   {churn.done}"
        yield f"messages lost by the relays       {sum(sum(relay.lost.values()) for relay in self.links.values())}: {lost}"
        yield f"messages sent, received           {total('tinf_transport_sent_messages_total')}, {total('tinf_transport_received_messages_total')}"
        for words, metric in (("snapshots", "tinf_provider_snapshots_total"), ("resumes", "tinf_provider_resumes_total"),
                              ("repairs", "tinf_provider_repairs_total")):
            yield f"{words:33} {total(metric, 'provider')}"
        for words, metric in (("reconnects to the broker", "tinf_transport_reconnects_total"),
                              ("messages refused", "tinf_messages_refused_total"),
                              ("refused by the broker", "tinf_transport_refused_messages_total")):
            yield f"{words:33} " + ", ".join(f"{name} {total(metric, name)}" for name in self.daemons)
        yield f"{'events told':33} " + ", ".join(f"{name} {total('tinf_informer_events_total', name)}" for name in self.informers)
        yield (f"proofs held against the truth     {witness.claims}, all true; {witness.silent} times nothing was claimed"
               f" ({witness.different} of them the copy was not equal), {witness.discarded} moments were not quiet")


class PacketsLost(ScenarioCase):
    @classmethod
    def start_parts(cls):
        cls.api = cls.start_for_all(ApiServer(cls.start_for_all(Etcd())))
        cls.broker = cls.start_for_all(Mosquitto())

    def test_copies_become_equal_while_every_twentieth_message_is_lost_at_every_quality_of_service(self):
        self.api.add_config_maps(50)
        follow = ["-r", "configmaps", "-n", "default"]
        informers, relays = {}, []
        for qos in ("0", "1", "2"):
            pair = [self.start(Relay(self.broker.port, mqtt=True, seed=int(qos))) for _ in range(2)]
            for relay in pair:
                relay.lose(0.05)
            relays += pair
            self.provider("--qos", qos, cluster=f"qos{qos}", broker=pair[0])
            informers[qos] = self.informer("--cluster", f"qos{qos}", "--qos", qos, *follow, broker=pair[1])
        for qos, informer in informers.items():
            informer.copy.wait_synced(f"qos{qos}", "configmaps", deadline=90)
        churn = Churn(self.api, "default").start()
        # What informers ask is seldom, so few of that is lost.
        wait_until(lambda: all(relay.lost["up"] + relay.lost["down"] >= 10 for relay in relays), 120, "messages are lost on each link")
        churn.stop()
        for qos, informer in informers.items():
            informer.copy.wait_until_equal(lambda: served(self.api, "configmaps", "default"), f"qos{qos}", "configmaps", deadline=120)
            informer.endpoint.wait_ready(60)
