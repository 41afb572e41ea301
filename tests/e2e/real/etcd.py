"""A single etcd member: where a real API server keeps its objects; can be compacted and set back to an older state."""

import base64
import json
import shutil
import urllib.request

from .kubectl import kube_program
from .part import Part
from .ports import free_port


class Etcd(Part):
    """Data survive stop(), kill() and start(). program: another etcd than the built one, for instance Debian's 3.4."""

    name = "etcd"

    def __init__(self, program=None):
        super().__init__()
        self._program = program
        self.port = free_port()
        self._peer_port = free_port()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def command(self):
        peer = f"http://127.0.0.1:{self._peer_port}"
        return [self._program or kube_program("etcd"), "--data-dir", self.folder / "data",
                "--listen-client-urls", self.url, "--advertise-client-urls", self.url,
                "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
                "--initial-cluster", f"default={peer}", "--logger", "zap", "--log-level", "warn",
                "--unsafe-no-fsync"]  # a test survives no power cut

    def ready(self):
        with urllib.request.urlopen(f"{self.url}/health", timeout=5) as answer:
            return json.load(answer)["health"] == "true"

    def revision(self):
        """The store's revision now: what Kubernetes calls the resource version."""
        return int(self._call("kv/range", {"key": _b64("\0"), "limit": "1"})["header"]["revision"])

    def compact(self, revision=None):
        """Forgets all history before `revision` (default: now), so watches from older versions expire (410)."""
        revision = self.revision() if revision is None else revision
        self._call("kv/compaction", {"revision": str(revision), "physical": True})
        return revision

    def save(self, name):
        """Keeps a copy of the present state under this name; a short stop."""
        self._copy(self.folder / "data", self.folder / f"saved-{name}")

    def restore(self, name):
        """Sets the state back to a saved one, as a restored backup does: revisions go backwards. A short stop."""
        self._copy(self.folder / f"saved-{name}", self.folder / "data")

    def _copy(self, source, target):
        self.stop()
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target)
        self.start()

    def _call(self, method, body):
        request = urllib.request.Request(f"{self.url}/v3/{method}", data=json.dumps(body).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)


def _b64(text):
    return base64.b64encode(text.encode()).decode()
