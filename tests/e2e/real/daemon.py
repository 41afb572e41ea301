"""The project's own programs under test: started as a user starts them, watched by what they print."""

import os
import pathlib
import re

from .part import Part, PartFailed
from .waiting import wait_until

_ROOT = pathlib.Path(__file__).resolve().parents[3]


def program(name):
    """Path of a built program, from $TINF_BUILD, else build/release, else build/dev."""
    chosen = os.environ.get("TINF_BUILD")
    folders = [pathlib.Path(chosen)] if chosen else [_ROOT / "build" / "release", _ROOT / "build" / "dev"]
    for folder in folders:
        path = folder / "bin" / name
        if path.is_file() and os.access(path, os.X_OK):
            return path.resolve()
    raise AssertionError(f"no program '{name}' in {', '.join(map(str, folders))}: build it first, or set TINF_BUILD")


class Daemon(Part):
    """Runs a built program with these arguments; its name may be a path too.

    Ready as soon as it runs: wait for what it prints. Teardown demands what users are promised: it runs until told to
    stop, ends within 5 s of SIGTERM, and with status 0 (or `exit_status`).
    """

    def __init__(self, name, *arguments, environment=None, exit_status=0, label=None):
        super().__init__()
        self.name = label or pathlib.Path(name).name
        self._program = name if "/" in str(name) else program(name)
        self._arguments = arguments
        self._environment = environment or {}
        self._exit_status = exit_status

    def command(self):
        return [self._program, *self._arguments]

    def environment(self):
        return {**os.environ, **self._environment}

    def wait_ready(self, deadline=None):
        """At once: one that ends by itself is found by the wait for its words, or is what the test is about."""

    def log_files(self):
        return [self.folder / "stdout", self.folder / "stderr"]

    @property
    def lines(self):
        """All complete lines on stdout so far."""
        return self._read("stdout")

    @property
    def errors(self):
        """All complete lines on stderr so far."""
        return self._read("stderr")

    def lines_from(self, offset):
        """(complete lines on stdout from this byte on, the byte after them): for readers of what becomes long."""
        path = self.folder / "stdout"
        if not path.exists():
            return [], offset
        with open(path, "rb") as file:
            file.seek(offset)
            text = file.read()
        whole = text[:text.rfind(b"\n") + 1]
        return whole.decode(errors="replace").splitlines(), offset + len(whole)

    def written(self):
        """The bytes on stdout so far: where the lines of a next life begin."""
        path = self.folder / "stdout"
        return path.stat().st_size if path.exists() else 0

    def mark(self):
        """The number of stdout lines now, for wait_for_line(since=...)."""
        return len(self.lines)

    def wait_for_line(self, wanted, deadline=15, since=0):
        """Waits for a stdout line that `wanted` accepts: a regular expression (searched) or a predicate.

        Returns the line, or the match for an expression. Fails at once if the program ends first.
        """
        return self._wait_for(lambda: self.lines[since:], "stdout", wanted, deadline)

    def wait_for_error(self, wanted, deadline=15, since=0):
        """The same on stderr, where the log goes."""
        return self._wait_for(lambda: self.errors[since:], "stderr", wanted, deadline)

    def wait_for_exit(self, deadline=15):
        """Waits until the program ends of its own accord; returns its status (negative: signal)."""
        wait_until(lambda: not self.running, deadline, f"{self.name} ends by itself")
        self._deliberate = True
        return self._process.returncode

    def stop(self):
        """As the class says; nothing if it was killed, terminated or awaited already."""
        if self._process is None or self._deliberate:
            self.kill()
            return
        status = self.terminate()
        if status != self._exit_status:
            raise PartFailed(f"{self.name} ended with {self.exit_text()} after SIGTERM\n{self.log_tail()}")

    def _wait_for(self, lines, where, wanted, deadline):
        accept = wanted if callable(wanted) else re.compile(wanted).search

        def look():
            ended = not self.running
            for line in lines():
                found = accept(line)
                if found:
                    return line if found is True else found
            if ended:
                raise PartFailed(f"{self.name} ended with {self.exit_text()} before {where} had {wanted!r}\n"
                                 f"{self.log_tail()}")
            return None
        try:
            return wait_until(look, deadline, f"{self.name}: {where} has {wanted!r}")
        except PartFailed:
            raise
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log_tail()}") from None

    def _read(self, which):
        path = self.folder / which
        if not path.exists():
            return []
        text = path.read_text(errors="replace")
        return text[:text.rfind("\n") + 1].splitlines()

    def _open_output(self):
        return open(self.folder / "stdout", "ab")

    def _open_errors(self):
        return open(self.folder / "stderr", "ab")
