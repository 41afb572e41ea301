"""The program tests/e2e/clientgo: all that client-go has for following a server, asked for its state over HTTP."""

import json
import pathlib
import subprocess

from .endpoint import Endpoint
from .part import Part
from .ports import free_port

_ROOT = pathlib.Path(__file__).resolve().parents[3]
_PROGRAM = _ROOT / "build" / "clientgo"


def build_client_go():
    """Seconds if what Go has compiled before is still there; two minutes otherwise. `tools/run-tests kube` does it, too."""
    done = subprocess.run([_ROOT / "tools" / "real-kube", "build", _ROOT / "tests" / "e2e" / "clientgo", _PROGRAM], text=True,
                          capture_output=True, timeout=600)
    assert done.returncode == 0, done.stderr


class ClientGo(Part):
    """Follows a server by its URL. streams: its informers list by watching, as WatchListClient has it."""

    def __init__(self, url, *, streams=False):
        super().__init__()
        self.name = f"clientgo-{'streams' if streams else 'lists'}"
        self._url = url
        self._streams = streams
        self._endpoint = Endpoint(free_port())

    def command(self):
        return [_PROGRAM, "--server", self._url, "--listen", self._endpoint.address]

    def environment(self):
        return {"KUBE_FEATURE_WatchListClient": str(self._streams).lower()}

    def ready(self):
        return self._endpoint.get("/")[0] == 200

    def state(self):
        """What tests/e2e/clientgo/main.go calls so: objects by "namespace/name", requests by who made them, what went wrong."""
        self.check_running()
        return json.loads(self._endpoint.get("/")[1])
