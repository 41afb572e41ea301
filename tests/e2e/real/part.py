"""One process of the test bed: started in its own group, logged to files, stopped by its process id."""

import atexit
import ctypes
import os
import pathlib
import shutil
import signal
import ssl
import subprocess
import tempfile
import threading
import weakref

from .waiting import wait_until

_READY_SECONDS = 60  # a shared two-core machine under a build; readiness normally takes 0.1 to 3 s
_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_PDEATHSIG = 1
_alive = weakref.WeakSet()


class PartFailed(AssertionError):
    """A part did not start, ended by itself, or did not stop; the message quotes the end of its log."""


def _kill_all():
    for part in list(_alive):
        part.kill()


atexit.register(_kill_all)


def _die_with_parent():
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


class Part:
    """A program and its folder. Guarantees: after stop() or kill() the whole process group is gone.

    Not thread-safe; start parts from the main thread, or they outlive a test process that is killed.
    """

    name = "part"

    def __init__(self):
        self._folder = None
        self._owns_folder = False
        self._process = None
        self._deliberate = False

    # What a subclass says.
    def command(self):
        """The argument vector."""
        raise NotImplementedError

    def prepare(self):
        """Writes files into the folder; runs before each start."""

    def ready(self):
        """True once the real endpoint answers; connection errors count as "not yet"."""
        return True

    def environment(self):
        return None

    # What a test uses.
    @property
    def folder(self):
        if self._folder is None:
            self._folder = pathlib.Path(tempfile.mkdtemp(prefix=f"tinf-{self.name}-"))
            self._owns_folder = True
        return self._folder

    def place_in(self, folder):
        """Lives in this folder instead of a temporary one; only before the first use."""
        assert self._folder is None, f"{self.name} has a folder already"
        self._folder = pathlib.Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)

    @property
    def log(self):
        return self.folder / "log"

    @property
    def running(self):
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self):
        return self._process.pid if self._process else None

    def start(self, wait=True):
        """Starts and waits until ready(); wait=False returns at once (then call wait_ready())."""
        assert not self.running, f"{self.name} is running already"
        self.prepare()
        self._deliberate = False
        in_main = threading.current_thread() is threading.main_thread()
        with self._open_output() as output, self._open_errors() as errors:
            self._process = subprocess.Popen(
                [str(word) for word in self.command()], stdin=subprocess.DEVNULL, stdout=output, stderr=errors,
                cwd=self.folder, env=self.environment(), start_new_session=True,
                # The signal follows the thread that started the child, so only the main one may ask for it.
                preexec_fn=_die_with_parent if in_main else None)
        _alive.add(self)
        if wait:
            try:
                self.wait_ready()
            except BaseException:
                self.kill()
                raise
        return self

    def wait_ready(self, deadline=_READY_SECONDS):
        def look():
            self.check_running()
            try:
                return self.ready()
            except ssl.SSLCertVerificationError as error:  # will not get better
                raise PartFailed(f"{self.name} shows a certificate that is refused: {error}") from None
        try:
            wait_until(look, deadline, f"{self.name} is ready", tolerate=(OSError,))
        except PartFailed:
            raise
        except AssertionError as error:
            raise PartFailed(f"{error}\n{self.log_tail()}") from None

    def check_running(self):
        """Raises PartFailed if the process ended without being told to."""
        if not self.running and not self._deliberate:
            raise PartFailed(f"{self.name} ended by itself with {self.exit_text()}\n{self.log_tail()}")

    def exit_text(self):
        code = self._process.poll() if self._process else None
        if code is None:
            return "no exit status"
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit status {code}"

    def terminate(self, deadline=5):
        """SIGTERM; returns the exit status (negative: signal). PartFailed if it takes longer than `deadline` s."""
        self.check_running()
        self._deliberate = True
        self._signal(signal.SIGTERM)
        try:
            status = self._process.wait(deadline)
        except subprocess.TimeoutExpired:
            tail = self.log_tail()
            self.kill()
            raise PartFailed(f"{self.name} did not end within {deadline} s of SIGTERM\n{tail}") from None
        self._end_group()
        return status

    def kill(self):
        """SIGKILL to the whole group, as a power cut would; no error if it is gone."""
        self._deliberate = True
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()
        _alive.discard(self)

    def stop(self):
        """Ends it politely, then by force; raises only if it had ended by itself."""
        if self._process is None or self._deliberate:
            self.kill()
            return
        try:
            self.check_running()
            self._deliberate = True
            self._signal(signal.SIGTERM)
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                pass
        finally:
            self.kill()

    def restart(self):
        """Politely down and up again, on the same port and data."""
        self.stop()
        return self.start()

    def pause(self):
        """Stops it without closing its sockets, as a frozen machine: peers see silence, no reset."""
        self._signal(signal.SIGSTOP)

    def resume(self):
        self._signal(signal.SIGCONT)

    def close(self, keep=False):
        """stop(), and removal of a temporary folder unless `keep`."""
        try:
            self.stop()
        finally:
            if self._owns_folder and not keep:
                shutil.rmtree(self._folder, ignore_errors=True)

    def log_tail(self, lines=40):
        """The ends of all its logs, as text for a failure message."""
        texts = []
        for path in self.log_files():
            if path.exists() and path.stat().st_size:
                last = path.read_text(errors="replace").splitlines()[-lines:]
                texts.append(f"--- {self.name}: last {len(last)} lines of {path}\n" + "\n".join(last))
        return "\n".join(texts) or f"--- {self.name}: its logs are empty"

    def log_files(self):
        return [self.log]

    def resident_bytes(self):
        """Its resident memory now."""
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise PartFailed(f"{self.name} (process {self.pid}) has no memory: it ended")

    def open_files(self):
        """How many file descriptors it holds now."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def _open_output(self):
        return open(self.log, "ab")

    def _open_errors(self):
        return open(self.log, "ab")

    def _signal(self, number):
        try:
            os.killpg(self._process.pid, number)
            # A stopped process does not see SIGTERM.
            if number == signal.SIGTERM:
                os.killpg(self._process.pid, signal.SIGCONT)
        except ProcessLookupError:
            pass

    def _end_group(self):
        self._signal(signal.SIGKILL)
        _alive.discard(self)
