"""Real parts for end-to-end tests: etcd, kube-apiserver, kubectl, mosquitto, PostgreSQL and the project's own daemons.

Why: what the project promises, it promises about real API servers and real brokers; no part here is a fake.

Everything listens on free loopback ports, lives in one temporary folder per test class, runs in its own process
group, is stopped by its process id, and dies with the test process. A part that cannot start fails the test, never
skips it. Nothing waits for luck: readiness is asked of the real endpoint, conditions are polled with `wait_until`.
When a test fails, the ends of all logs are printed and the folder is kept (also with TINF_KEEP_LOGS=1).
`tools/real-kube` builds the control plane beforehand; daemons are taken from $TINF_BUILD (default build/release, else
build/dev). Standard library only.

    from real import (RealTestCase, Etcd, ApiServer, Mosquitto, Daemon, Kubectl, wait_until)

    class ConfigMapsTravel(RealTestCase):
        @classmethod
        def start_parts(cls):                       # once for the class; stopped in reverse order at its end
            cls.etcd = cls.start_for_all(Etcd())
            cls.api = cls.start_for_all(ApiServer(cls.etcd))
            cls.broker = cls.start_for_all(Mosquitto())
            cls.kubectl = Kubectl(cls.api.kubeconfig())

        def test_a_change_reaches_the_informer(self):
            reader = self.api.grant("restricted", [{"apiGroups": [""], "resources": ["configmaps"],
                                                    "verbs": ["get", "list", "watch"]}])
            self.start(Daemon("provider", "--kubeconfig", reader, "--broker", self.broker.url))   # for this test
            informer = self.start(Daemon("informer", "--broker", self.broker.url))
            self.kubectl.apply({"apiVersion": "v1", "kind": "ConfigMap",
                                "metadata": {"name": "a", "namespace": "default"}, "data": {"k": "v"}})
            informer.wait_for_line(r"ADDED .*default/a")
            self.broker.kill(); self.broker.start()                    # same port
            mark = informer.mark()
            self.kubectl.run("delete", "configmap", "a")
            informer.wait_for_line(r"DELETED .*default/a", since=mark)
            self.assertEqual(informer.terminate(), 0)                  # at most 5 s

The parts, each with start(), stop(), kill(), restart(), pause(), resume(), running, log_tail():
  Etcd        url, revision(), compact(), save(name), restore(name)      saved states play "restored from a backup"
  ApiServer   url, kubeconfig(user, credentials=...), grant(), service_account(), request(), add_config_maps()
  Mosquitto   url, port, restart(wipe=True); persistence, TLS, ACL, passwords, packet limits as options
  Postgres    uri(), ask(), create_database(), create_role(), promote(), disconnect(); a standby, TLS, settings as options
  NatsServer  url; a broker of MQTT 3.1.1 only
  Relay       a TCP relay in between: silent, swallowing, slow, narrow, cut (also inside a message), losing single MQTT messages
  Disk        a small one, to be filled
  Daemon      lines, errors, mark(), wait_for_line(), wait_for_error(), terminate()
  Churn       creates, updates and deletes from a seed, in a thread, while parts fail around it
  Copy        an informer's JSON lines as the objects they add up to, each line checked; served() is what must come out
  StoreFile   the file of an informer with --store sqlite: faults(), texts(), ask(); change() behind its back
  StoreDatabase  the same of --store postgresql, on a Postgres part
  Tally       counters of daemons over all their lives
  Witness     holds informers to what they claim to be proven
  Endpoint    a daemon's /livez, /readyz and /metrics
  ClientGo    state(): what client-go's informers, watchers and pagers hold of a server
  menagerie   populate(): objects of all shapes for one API server
  transcript  what two servers say to one client, held against each other line by line
  Kubectl     run(), json(), apply(); version "new" or "old" (Debian's), for a kubeconfig or a plain server URL

ScenarioCase is a RealTestCase with provider() and informer(), which give the flags that every test repeats; StoreCase one
about a store that outlives its informers, and RestartTests what every such store is put to.
"""

from . import menagerie, transcript
from .api_server import ApiServer
from .case import RealTestCase
from .certificates import Authority
from .churn import Churn
from .client_go import ClientGo, build_client_go
from .copy import Copy, as_text, difference, served
from .daemon import Daemon, program
from .disk import Disk, unwritable
from .endpoint import Endpoint
from .etcd import Etcd
from .kubeconfig import write_kubeconfig
from .kubectl import Kubectl, kube_program
from .mosquitto import Mosquitto
from .nats import NatsServer
from .part import Part, PartFailed
from .ports import free_port
from .postgres import Postgres, postgres_program
from .relay import Relay
from .restarts import RestartTests
from .scenario import ScenarioCase
from .store_case import StoreCase, config_map
from .store_database import StoreDatabase
from .store_file import StoreFile
from .tally import Tally
from .waiting import Deadline, wait_until
from .witness import Witness

__all__ = ["ApiServer", "Authority", "Churn", "ClientGo", "Copy", "Daemon", "Deadline", "Disk", "Endpoint", "Etcd", "Kubectl",
           "Mosquitto", "NatsServer", "Part", "PartFailed", "Postgres", "RealTestCase", "Relay", "RestartTests", "ScenarioCase", "StoreCase",
           "StoreDatabase", "StoreFile", "Tally", "Witness", "as_text", "build_client_go", "config_map", "difference",
           "free_port", "kube_program", "menagerie", "postgres_program", "program", "served", "transcript", "unwritable",
           "wait_until", "write_kubeconfig"]
