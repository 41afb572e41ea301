"""kubectl, the built one and Debian's old one: the client that users hold in their hands."""

import atexit
import json
import os
import pathlib
import shutil
import subprocess
import tempfile

from .kubeconfig import write_kubeconfig

_ROOT = pathlib.Path(__file__).resolve().parents[3]
_bin = None


def kube_program(name):
    """Path of a program built by tools/real-kube; an AssertionError says how to build it."""
    global _bin
    if _bin is None:
        _bin = pathlib.Path(subprocess.run([_ROOT / "tools" / "real-kube", "where"], check=True, text=True,
                                           capture_output=True).stdout.strip())
    path = _bin / name
    if not path.exists():
        raise AssertionError(f"{path} is missing: run tools/real-kube once (about five minutes)")
    return path


class Kubectl:
    """Runs kubectl with one kubeconfig (a path) or against a server URL without credentials.

    version: "new" (1.34), "old" (Debian's, 1.20 on Debian 12) or a path. Has its own home, so no cache of discovery
    outlives it and nothing of the user's is read.
    """

    def __init__(self, kubeconfig=None, *, server=None, version="new", timeout=60):
        assert (kubeconfig is None) != (server is None), "give either a kubeconfig or a server"
        self._home = pathlib.Path(tempfile.mkdtemp(prefix="tinf-kubectl-"))
        atexit.register(shutil.rmtree, self._home, ignore_errors=True)
        self._kubeconfig = kubeconfig or write_kubeconfig(self._home / "kubeconfig", server)
        names = {"new": "kubectl", "old": "kubectl-old"}
        self.program = kube_program(names[version]) if version in names else version
        self._timeout = timeout

    def run(self, *words, stdin=None, check=True, environment=None):
        """The finished process (stdout, stderr, returncode as text); with check, a failure is an AssertionError.

        environment: variables for it, beside its own.
        """
        done = subprocess.run([str(self.program), *map(str, words)], input=stdin, text=True, capture_output=True,
                              timeout=self._timeout, env={**self._environment(), **(environment or {})})
        if check and done.returncode != 0:
            raise AssertionError(f"kubectl {' '.join(map(str, words))} failed ({done.returncode}): {done.stderr.strip()}")
        return done

    def json(self, *words):
        """Parsed output of `kubectl WORDS -o json`."""
        return json.loads(self.run(*words, "-o", "json").stdout)

    def apply(self, *objects, options=()):
        """kubectl apply of objects given as dicts."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(objects)})
        return self.run("apply", *options, "-f", "-", stdin=text)

    def start(self, *words):
        """A kubectl that keeps running, such as `get -w`; a Popen with text pipes, in its own group; kill it."""
        return subprocess.Popen([str(self.program), *map(str, words)], text=True, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=self._environment(),
                                start_new_session=True)

    def _environment(self):
        return {"PATH": os.environ["PATH"], "HOME": str(self._home), "KUBECONFIG": str(self._kubeconfig)}
