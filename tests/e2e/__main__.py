"""All end-to-end tests, several classes at a time: `python3 tests/e2e [PATTERN]`.

Why: they wait for real parts far more than they compute. Each class has parts of its own and runs in a process of its
own; what a class printed is shown only if it failed. PATTERN selects classes by a part of module.Class.
"""

import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys
import time
import unittest

_HERE = pathlib.Path(__file__).resolve().parent
_AT_ONCE = int(os.environ.get("TINF_E2E_AT_ONCE", "4"))
_SECONDS = 900  # for one class; the slowest takes two minutes
# Started first, so that none of them is left for the end.
_LONGEST = ("Chaos", "PacketsLost", "OneOfThemFails", "FileCannotBeWritten", "InTheHandsOfBothKubectls", "WhatClientsLearn", "OneCluster", "Refusals", "Credentials", "InTheHandsOfKubectl",
            "ServerIsAway", "SeveralInformers")


if "TINF_BUILD" in os.environ:  # The classes run in another folder.
    os.environ["TINF_BUILD"] = str(pathlib.Path(os.environ["TINF_BUILD"]).resolve())


def classes():
    """module.Class of every test class, the longest first."""
    found = set()

    def collect(suite):
        for one in suite:
            if isinstance(one, unittest.TestSuite):
                collect(one)
            elif type(one).__name__ == "_FailedTest":
                found.add(one._testMethodName)  # A module that cannot be imported: run, it says why.
            else:
                found.add(f"{type(one).__module__}.{type(one).__name__}")
    collect(unittest.defaultTestLoader.discover(str(_HERE)))
    return sorted(found, key=lambda name: (name.rpartition(".")[2] not in _LONGEST, name))


def run(name):
    """(name, seconds, number of tests, output if it failed, what was not run and why)"""
    began = time.monotonic()
    try:
        done = subprocess.run([sys.executable, "-m", "unittest", "-v", name], cwd=_HERE, text=True, timeout=_SECONDS,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        failed, output = done.returncode != 0, done.stdout
    except subprocess.TimeoutExpired as late:
        failed, output = True, (late.stdout or b"").decode(errors="replace") + f"\n{name}: not done within {_SECONDS} s\n"
    count = re.search(r"^Ran (\d+) tests?", output, re.MULTILINE)
    number = int(count.group(1)) if count else 0
    # No test at all is a failure too: nothing is skipped in silence.
    skipped = re.findall(r"^.*\.\.\. skipped .*$", output, re.MULTILINE)
    return name, time.monotonic() - began, number, output if failed or number == 0 else None, skipped


def main():
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    names = [name for name in classes() if wanted in name]
    began, total, broken = time.monotonic(), 0, []
    with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
        for future in concurrent.futures.as_completed([pool.submit(run, name) for name in names]):
            name, seconds, number, output, skipped = future.result()
            total += number
            if output is not None:
                broken.append(name)
                print(output)
            print(f"{'FAILED' if output is not None else 'ok':6} {seconds:6.1f} s {number:3} tests  {name}", flush=True)
            for line in skipped:
                print(f"NOT RUN           {line}", flush=True)
    print(f"{total} tests of {len(names)} classes in {time.monotonic() - began:.0f} s; failed: {', '.join(broken) or 'none'}")
    return 1 if broken or not names else 0


if __name__ == "__main__":
    sys.exit(main())
