"""Counters of daemons that are killed meanwhile: what all their lives add up to."""

import http.client
import threading


class Tally:
    """Reads /metrics of the daemons it was given every second between start() and stop(); look() reads one at once.

    A counter that is lower than before belongs to a new life. What a daemon counted between the last look and its
    death is missing: look() before a kill.
    """

    def __init__(self, daemons):
        self._daemons = daemons  # {name: daemon}
        self._lock = threading.Lock()
        self._before = {name: {} for name in daemons}
        self._ended = {name: {} for name in daemons}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self):
        self._thread.start()
        return self

    def stop(self):
        self._over.set()
        self._thread.join()
        for name in self._daemons:
            self.look(name)
        return self

    def look(self, name):
        """Nothing if it does not answer: it may be dead, or frozen."""
        try:
            now = self._daemons[name].endpoint.metrics()
        except (OSError, http.client.HTTPException):
            return
        with self._lock:
            ended = self._ended[name]
            for metric, value in self._before[name].items():
                if metric.endswith("_total") and now.get(metric, 0) < value:
                    ended[metric] = ended.get(metric, 0) + value
            self._before[name] = now

    def total(self, metric, *names):
        """Over all lives of these daemons; without names, of all."""
        with self._lock:
            return int(sum(self._before[name].get(metric, 0) + self._ended[name].get(metric, 0)
                           for name in names or self._daemons))

    def _run(self):
        while not self._over.wait(1):
            for name in self._daemons:
                self.look(name)
