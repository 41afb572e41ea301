"""The daemons for an hour under a steady load, with a broker that is killed every few minutes: nothing may grow.

    python3 tests/soak [--seconds N] [--outage-every SECONDS] [--rate PER_SECOND] [--plot FILE.svg]

Real kube-apiserver, etcd and mosquitto. Samples memory, descriptors, threads and CPU of provider and informer into
build/soak.csv, and prints the table of docs/performance.md. Ends with 1 if one of them grew, or if the copy is not equal
at the end.
"""

import argparse
import csv
import os
import pathlib
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

import figures  # noqa: E402
from real import ApiServer, Churn, Copy, Etcd, Mosquitto, ScenarioCase, difference, served, wait_until  # noqa: E402

DAEMONS = ("provider", "informer")
STILL, MOVING = 1000, 500  # objects that are only there, and names that come, change and go
EVERY = 5                  # seconds between samples
TICKS = os.sysconf("SC_CLK_TCK")


def sample(parts, seconds):
    """What the processes hold now. CPU is the sum of user and system seconds since their start."""
    one = {"seconds": round(seconds, 1)}
    for name, part in parts.items():
        fields = pathlib.Path(f"/proc/{part.pid}/stat").read_text().rpartition(")")[2].split()
        one[f"{name} memory"] = part.resident_bytes()
        one[f"{name} files"] = part.open_files()
        one[f"{name} threads"] = int(fields[17])
        one[f"{name} cpu"] = (int(fields[11]) + int(fields[12])) / TICKS
    return one


def run(options, started, folder):
    """(samples, seconds at which the broker was killed, changes that the API server took)"""
    def start(part):
        part.place_in(folder / f"{len(started):02}-{part.name}")
        started.append(part)
        return part.start()

    api = start(ApiServer(start(Etcd())))
    broker = start(Mosquitto())
    api.add_config_maps(STILL, prefix="still")
    provider = start(ScenarioCase.unstarted_provider(broker=broker, api=api))
    # Without output: its lines would be the larger part of what is measured.
    informer = start(ScenarioCase.unstarted_informer("-r", "configmaps", "-n", "default", broker=broker, output="none"))
    informer.endpoint.wait_ready()
    churn = Churn(api, "default", names=MOVING, pause=1 / options.rate).start()
    parts = {"provider": provider, "informer": informer}
    began, samples, outages, next_outage = time.monotonic(), [], [], options.outage_every
    path = ROOT / "build" / "soak.csv"
    path.parent.mkdir(exist_ok=True)
    with open(path, "w", newline="") as file:
        rows = None
        while (seconds := time.monotonic() - began) < options.seconds:
            if seconds >= next_outage:
                outages.append(seconds)
                broker.kill()
                broker.start()
                next_outage += options.outage_every
            samples.append(sample(parts, seconds))
            rows = rows or csv.DictWriter(file, samples[0])
            if len(samples) == 1:
                rows.writeheader()
            rows.writerow(samples[-1])
            file.flush()
            time.sleep(max(0.0, EVERY - (time.monotonic() - began - seconds)))
    churn.stop()
    quiet = time.monotonic()

    expected = served(api, "configmaps", "default")
    def proven():
        asked = time.monotonic()
        age = informer.endpoint.metric("tinf_informer_proven_equal_age_seconds")
        return 0 <= age < asked - quiet and informer.endpoint.metric("tinf_informer_objects") == len(expected)
    wait_until(proven, 90, "the copy is proven equal after the last change", every=0.2)
    once = start(ScenarioCase.unstarted_informer("-r", "configmaps", "-n", "default", "--once", broker=broker))
    once.wait_for_exit(60)
    differences = difference(expected, Copy(once).objects("c1", "configmaps"))
    assert not differences, f"a fresh copy differs from the API server: {differences}"
    return samples, outages, churn.done


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--outage-every", type=float, default=180, help="seconds between two deaths of the broker")
    parser.add_argument("--rate", type=float, default=100, help="changes a second, at most")
    parser.add_argument("--plot", type=pathlib.Path, help="where a picture of the samples goes")
    options = parser.parse_args()
    started = []
    with tempfile.TemporaryDirectory(prefix="tinf-soak-") as folder:
        try:
            samples, outages, changes = run(options, started, pathlib.Path(folder))
        except BaseException:
            for part in started:
                print(part.log_tail(), file=sys.stderr)
            raise
        finally:
            for part in reversed(started):
                part.close()
    minutes = samples[-1]["seconds"] / 60
    told = (f"{minutes:.0f} minutes, {STILL + MOVING:,} objects, {changes / minutes / 60:.0f} changes a second,"
            f" the broker killed {len(outages)} times")
    print(told, *figures.table(samples, DAEMONS), sep="\n")
    if options.plot:
        options.plot.write_text(figures.plot(samples, DAEMONS, outages, told))
    grown = figures.growth(samples, DAEMONS)
    print("\n".join(grown) or "nothing grew, and the copy was equal at the end", flush=True)
    return 1 if grown else 0


if __name__ == "__main__":
    sys.exit(main())
