"""The programs that take part in measurements, and what the kernel says of a running one."""

import contextlib
import json
import os
import pathlib
import re
import shutil
import subprocess
import threading
import time
import urllib.request

from real import Daemon, Endpoint, Part, free_port, write_kubeconfig

ROOT = pathlib.Path(__file__).resolve().parents[2]
RELEASE = ROOT / "build" / "release"
KUBE_RS = ROOT / "bench" / "peers" / "kube-rs"
HAS_RUST = shutil.which("cargo") is not None


def build():
    targets = ("informer_bench", "clusters_bench", "store_bench", "bin/provider", "bin/informer", "bin/devcluster")
    subprocess.run(["ninja", "-C", RELEASE, "--quiet", *targets], check=True)
    for folder, target in (("firehose", "firehose"), ("peers/clientgo", "clientgo-bench"), ("api_load", "api-load")):
        subprocess.run(["go", "build", "-o", ROOT / "build" / target, "."], cwd=ROOT / "bench" / folder, check=True,
                       env={**os.environ, "CGO_ENABLED": "0"})
    if HAS_RUST:
        subprocess.run(["cargo", "build", "--release", "--quiet"], cwd=KUBE_RS, check=True)


def others_busy(seconds=2):
    """The share of this machine's CPUs that is in use while nothing of ours runs yet."""
    def look():
        times = [int(word) for word in pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return sum(times), times[3] + times[4]  # All, and idle or waiting for a disk.
    (all_before, idle_before), _, (all_after, idle_after) = look(), time.sleep(seconds), look()
    return 1 - (idle_after - idle_before) / (all_after - all_before)


class Firehose(Part):
    """The stand-in API server of bench/firehose. Its objects change from start_changes() on."""

    name = "firehose"

    def __init__(self, objects, *, rate=0, events=0):
        super().__init__()
        self._words = ["--objects", objects, "--managed-fields", "--start", "request", "--rate", rate, "--events", events]

    def command(self):
        return [ROOT / "build" / "firehose", *self._words]

    def ready(self):
        return "listening on" in self.log.read_text()

    @property
    def url(self):
        return self.log.read_text().split("listening on ")[1].split()[0]

    @property
    def trigger(self):
        return self.url + "/firehose/start"

    def start_changes(self):
        urllib.request.urlopen(urllib.request.Request(self.trigger, method="POST")).close()

    def kubeconfig(self):
        return write_kubeconfig(self.folder / "kubeconfig", self.url)

    def object_bytes(self):
        """Of one object's JSON as a copy holds it: without managedFields."""
        with urllib.request.urlopen(self.url + "/api/v1/namespaces/team-0000/configmaps/settings-0000000") as answer:
            one = json.load(answer)
        one["metadata"].pop("managedFields")
        return len(json.dumps(one, separators=(",", ":")))


class Listening(Daemon):
    """A daemon with metrics and readiness at .endpoint."""

    def __init__(self, name, *flags):
        self.endpoint = Endpoint(free_port())
        super().__init__(name, "--listen", self.endpoint.address, *flags)

    def messages(self):
        """(sent to the broker, received from it)"""
        told = self.endpoint.metrics()
        return tuple(told[f"tinf_transport_{way}_messages_total"] for way in ("sent", "received"))


def provider(broker, kubeconfig, cluster="c1"):
    return Listening("provider", "--broker", broker.url, "--cluster", cluster, "--kubeconfig", kubeconfig,
                     "--client-id", f"provider-{cluster}")


def informer(broker, *resources, name="informer"):
    flags = [word for resource in resources for word in ("--resource", resource)]
    return Listening("informer", "--broker", broker.url, "--client-id", name, "--output", "none", *flags)


@contextlib.contextmanager
def starting():
    """Gives a function that starts a part; at the end they are stopped, the last one first."""
    with contextlib.ExitStack() as stack:
        def start(part):
            stack.callback(part.close)
            return part.start()
        yield start


def ask(command, timeout=600):
    """What a measuring program says: one line of JSON."""
    done = subprocess.run([str(word) for word in command], text=True, capture_output=True, check=False, timeout=timeout)
    if done.returncode != 0:
        raise SystemExit(f"{command[0]}: {done.stderr}")
    return json.loads(done.stdout)


def cpu_seconds(pid):
    """User and system, of all its threads, since its start: of the clock that clock_getcpuclockid(3) gives, in nanoseconds."""
    return time.clock_gettime(~pid << 3 | 2)


def peak_bytes(pid):
    """The most memory that was ever resident."""
    return int(re.search(r"VmHWM:\s+(\d+) kB", pathlib.Path(f"/proc/{pid}/status").read_text())[1]) * 1024


def wire_bytes(pid, broker_port):
    """(sent, received) by its connection to the broker, MQTT and all: the socket's own count. Zeros if there is none."""
    told = subprocess.run(["ss", "-tinpOH", "dport", "=", f":{broker_port}"], text=True, capture_output=True, check=True).stdout
    mine = "".join(line for line in told.splitlines() if f"pid={pid}," in line)
    return tuple(sum(map(int, re.findall(rf"bytes_{way}:(\d+)", mine))) for way in ("sent", "received"))


class Meter(threading.Thread):
    """Looks once a second at what a process has sent to the broker."""

    def __init__(self, pid, broker_port):
        super().__init__(daemon=True)
        self._of = pid, broker_port
        self._sent, self._over = [], threading.Event()

    def run(self):
        while not self._over.wait(1):
            self._sent.append((time.monotonic(), wire_bytes(*self._of)[0]))

    def stop(self):
        """Bytes a second over the last seconds but one, which lie in the window; None if there were too few of them."""
        self._over.set()
        self.join()
        if len(self._sent) < 6:
            return None
        (began, before), (ended, after) = self._sent[-5], self._sent[-2]
        return (after - before) / (ended - began)
