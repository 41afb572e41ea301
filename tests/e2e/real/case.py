"""The test case that owns parts: one folder per class, teardown in reverse order, logs printed when something fails."""

import os
import pathlib
import shutil
import sys
import tempfile
import unittest


class RealTestCase(unittest.TestCase):
    """start_parts() runs once per class with start_for_all(); tests start their own parts with self.start()."""

    folder = None  # of the class; every part has a folder of its own in it
    _parts = None
    _failed = False

    @classmethod
    def start_parts(cls):
        """Override: starts what all tests of the class share."""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix=f"tinf-{cls.__name__}-"))
        cls._parts = []
        cls._failed = False
        cls.addClassCleanup(cls._remove_folder)
        try:
            cls.start_parts()
        except BaseException:
            cls._failed = True
            cls._print_logs("start_parts")
            raise

    @classmethod
    def start_for_all(cls, part):
        """Starts a part that lives until the end of the class; returns it."""
        cls._adopt(part)
        cls.addClassCleanup(part.close, keep=True)
        return part.start()

    def start(self, part):
        """Starts a part that lives until the end of this test; returns it."""
        self._adopt(part)
        self.addCleanup(part.close, keep=True)
        return part.start()

    def run(self, result=None):
        result = self.defaultTestResult() if result is None else result
        before = len(result.failures) + len(result.errors)
        known = len(self._parts)
        super().run(result)
        if len(result.failures) + len(result.errors) > before:
            type(self)._failed = True
            self._print_logs(self.id())
        # A later failure is not explained by this test's own parts.
        del self._parts[known:]
        return result

    @classmethod
    def _adopt(cls, part):
        number = len(list(cls.folder.iterdir()))
        part.place_in(cls.folder / f"{number:02}-{part.name}")
        cls._parts.append(part)

    @classmethod
    def _print_logs(cls, why):
        print(f"\n=== {why} failed; the ends of the logs (all of them stay in {cls.folder}):", file=sys.stderr)
        for part in cls._parts:
            print(part.log_tail(), file=sys.stderr)
        print("===", file=sys.stderr, flush=True)

    @classmethod
    def _remove_folder(cls):
        if cls._failed or os.environ.get("TINF_KEEP_LOGS"):
            return
        shutil.rmtree(cls.folder, ignore_errors=True)
