"""A TCP relay between two parts: counts bytes, cuts connections, or goes silent as a pulled cable does."""

import socket
import threading

from .ports import free_port


class Relay:
    """Forwards its own loopback port to another one; start() and close() fit RealTestCase.start().

    Counts are bytes of payload in both directions. Thread-safe.
    """

    name = "relay"

    def __init__(self, target_port):
        self._target_port = target_port
        self.port = free_port()
        self._listener = None
        self._lock = threading.Lock()
        self._flowing = threading.Event()
        self._flowing.set()
        self._sockets = set()
        self._refusing = False
        self.bytes_up = 0
        self.bytes_down = 0
        self.connections = 0

    def start(self):
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def place_in(self, folder):
        """Keeps no files."""
        folder.mkdir(parents=True)

    def log_tail(self):
        return f"--- relay to {self._target_port}: {self.connections} connections, {self.bytes_up} up, {self.bytes_down} down"

    def silence(self):
        """Holds all bytes back, without a reset: what both ends see when a cable is pulled."""
        self._flowing.clear()

    def resume(self):
        """Lets held bytes flow again, and accepts connections again."""
        self._refusing = False
        self._flowing.set()

    def cut(self, refuse=False):
        """Closes all connections; with refuse, new ones are closed at once until resume()."""
        self._refusing = refuse
        with self._lock:
            sockets = list(self._sockets)
        for one in sockets:
            _close(one)

    def close(self, keep=False):
        if self._listener:
            _close(self._listener)
        self._flowing.set()
        self.cut(refuse=True)

    def _accept(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self._refusing:
                _close(near)
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self._target_port), timeout=5)
                far.settimeout(None)
            except OSError:
                _close(near)
                continue
            for one in (near, far):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:  # From here on cut() may close them.
                self.connections += 1
                self._sockets |= {near, far}
            for source, sink, up in ((near, far, True), (far, near, False)):
                threading.Thread(target=self._pump, args=(source, sink, up), daemon=True).start()

    def _pump(self, source, sink, up):
        try:
            while True:
                piece = source.recv(65536)
                self._flowing.wait()
                if not piece:
                    break
                with self._lock:
                    if up:
                        self.bytes_up += len(piece)
                    else:
                        self.bytes_down += len(piece)
                sink.sendall(piece)
        except OSError:
            pass
        for one in (source, sink):
            _close(one)
        with self._lock:
            self._sockets -= {source, sink}


def _close(one):
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    one.close()
