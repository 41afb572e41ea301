"""A disk that is small, and files and folders that may not be written: what befalls a daemon's file."""

import contextlib
import os
import shutil
import stat
import subprocess
import unittest

from .part import Part


def _allowed(*command):
    """Runs what some machines allow nobody, not even root in a container: there the test says that it was not run."""
    try:
        subprocess.run(command, capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise unittest.SkipTest(f"this machine has no {command[0]}") from None
    except subprocess.CalledProcessError as refused:
        raise unittest.SkipTest(f"this machine does not allow {command[0]}: {refused.stderr.strip()}") from None


class Disk(Part):
    """A file system of its own in `mount`, of so many megabytes; full after fill() until make_room().

    Mounting takes root's rights, which `unshare` lends where users may have them; there it is seen only by this test
    process and the parts that it starts afterwards.
    """

    name = "disk"

    def __init__(self, megabytes):
        super().__init__()
        self._megabytes = megabytes
        self._mounted = False

    @property
    def mount(self):
        return self.folder / "mount"

    def start(self, wait=True):
        self.mount.mkdir()
        _allowed("mount", "-t", "tmpfs", "-o", f"size={self._megabytes}m", "tmpfs", self.mount)
        self._mounted = True
        return self

    def fill(self):
        """Leaves no byte."""
        with open(self.mount / "filling", "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass

    def make_room(self):
        (self.mount / "filling").unlink()

    def stop(self):
        if self._mounted:
            subprocess.run(["umount", "-l", self.mount], check=True)
            self._mounted = False

    def kill(self):
        self.stop()


@contextlib.contextmanager
def unwritable(path):
    """Nobody may write this file or folder inside this, not even root."""
    mode = stat.S_IMODE(os.stat(path).st_mode)
    if os.geteuid() == 0:
        _allowed("chattr", "+i", path)
    else:
        os.chmod(path, mode & ~0o222)
    try:
        yield
    finally:
        if os.geteuid() == 0:
            subprocess.run(["chattr", "-i", path], check=True)
        else:
            os.chmod(path, mode)
