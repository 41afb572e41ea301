"""Free loopback ports that stay free: several test runs share a machine, and parts restart on the port they had."""

import atexit
import random
import socket

# Below the kernel's ephemeral range, so that no outgoing connection takes the port while its part restarts.
_FIRST, _LAST = 12000, 32000
_reservations = {}


@atexit.register
def _release_all():
    for reservation in _reservations.values():
        reservation.close()


def free_port():
    """A loopback TCP port nobody listens on, reserved for this process (and among all test runs) until it ends."""
    for _ in range(500):
        port = random.randint(_FIRST, _LAST)
        if port in _reservations:
            continue
        reservation = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        probe = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            # An abstract name vanishes with its process: a reservation that cannot go stale.
            reservation.bind(f"\0transport-informer-test-port-{port}")
            probe.bind(("127.0.0.1", port))
        except OSError:
            reservation.close()
            continue
        finally:
            probe.close()
        _reservations[port] = reservation
        return port
    raise RuntimeError(f"no free loopback port found between {_FIRST} and {_LAST}")
