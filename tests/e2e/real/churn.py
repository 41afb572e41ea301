"""Changes without end: creates, updates and deletes of configmaps, from a seed, while parts fail around them."""

import contextlib
import http.client
import random
import threading


class Churn:
    """Works in a thread of its own between start() and stop(); requests that fail are tried no further.

    `labels` are values of the label "shade", so that objects move in and out of selectors.
    Names are NAMESPACE/churn-0 to churn-<names - 1>, so that each is made and deleted many times over.
    """

    def __init__(self, api, namespace, *, names=30, seed=1, pause=0.002, labels=()):
        self._api = api
        self._collection = f"/api/v1/namespaces/{namespace}/configmaps"
        self._random = random.Random(seed)
        self._names = names
        self._pause = pause
        self._labels = labels
        self._over = threading.Event()
        self._working = threading.Lock()  # held during a change, and by who wants none
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.done = 0  # changes that the API server accepted

    def start(self):
        self._thread.start()
        return self

    def stop(self):
        """Returns when the last request is answered."""
        self._over.set()
        self._thread.join()
        return self

    @contextlib.contextmanager
    def quiet(self):
        """No change is under way inside this."""
        with self._working:
            yield

    def burst(self, count):
        """So many tries now, in the caller's thread; without start()."""
        for _ in range(count):
            self._change()
        return self

    def _run(self):
        while not self._over.wait(self._pause):
            with self._working:
                self._change()

    def _change(self):
        name = f"churn-{self._random.randrange(self._names)}"
        thing = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
                 "data": {"n": str(self._random.random()), "filling": "x" * self._random.randrange(2000)}}
        if self._labels:
            thing["metadata"]["labels"] = {"shade": self._random.choice(self._labels)}
        try:
            if self._random.random() < 0.3:
                status, _ = self._api.request("DELETE", f"{self._collection}/{name}")
            else:
                status, _ = self._api.request("POST", self._collection, thing)
                if status == 409:
                    status, _ = self._api.request("PUT", f"{self._collection}/{name}", thing)
            self.done += 200 <= status < 300
        except (OSError, http.client.HTTPException):
            self._over.wait(0.05)  # the server is away: that is what the test is about
