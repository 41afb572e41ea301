"""What a daemon says of itself over HTTP: /livez, /readyz and /metrics."""

import http.client
import re

from .waiting import wait_until


class Endpoint:
    """The --listen address of one daemon on loopback."""

    def __init__(self, port):
        self.port = port

    @property
    def address(self):
        return f"127.0.0.1:{self.port}"

    def get(self, path, method="GET"):
        """(status, text)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request(method, path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def wait_ready(self, deadline=30):
        last = None

        def look():
            nonlocal last
            last = self.get("/readyz")
            return last[0] == 200
        try:
            wait_until(look, deadline, "/readyz says yes", every=0.05, tolerate=(OSError,))
        except AssertionError as error:
            raise AssertionError(f"{error}; it says {last}") from None
        return self

    def wait_not_ready(self, pattern="", deadline=30):
        """Waits until /readyz says no for a reason that the pattern is found in; returns its text."""
        def look():
            status, text = self.get("/readyz")
            return status == 503 and re.search(pattern, text) and text
        return wait_until(look, deadline, f"/readyz says no: {pattern}", every=0.05, tolerate=(OSError,))

    def metric(self, name, **labels):
        """The sum of the samples of this name that have these labels; None if there is none."""
        values = [value for one, found, value in self._samples() if one == name and labels.items() <= found.items()]
        return sum(values) if values else None

    def metrics(self):
        """{name: the sum of its samples}, all of one moment."""
        sums = {}
        for name, _, value in self._samples():
            sums[name] = sums.get(name, 0) + value
        return sums

    def _samples(self):
        for line in self.get("/metrics")[1].splitlines():
            match = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
            if match:
                yield match[1], dict(re.findall(r'(\w+)="([^"]*)"', match[2] or "")), float(match[3])
