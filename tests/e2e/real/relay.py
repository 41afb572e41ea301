"""A TCP relay between two parts, and the faults of networks: silence, loss, delay, narrowness, cuts at bad moments."""

import random
import socket
import threading

from .mqtt_packets import PUBLISH, Packets, kind
from .ports import free_port

WAYS = ("up", "down")  # to the target, and back
_NARROW_PIECE = 1024   # bytes; smaller than most messages, so that a throttled one arrives in pieces


class Relay:
    """Forwards its own loopback port to another one; start() and close() fit RealTestCase.start().

    Faults are for both ways unless told which, add up, and last until resume(). mqtt=True: the relay reads MQTT's
    framing, forwards whole packets, and can lose single ones; lost counts those, by way. Counts are bytes of payload
    that arrived here, also if they went no further. Thread-safe.
    """

    name = "relay"

    def __init__(self, target_port, *, mqtt=False, seed=0):
        self._target_port = target_port
        self._mqtt = mqtt
        self._random = random.Random(seed)
        self.port = free_port()
        self._listener = None
        self._changed = threading.Condition()  # guards all that follows
        self._connections = {}                 # (near, far): whether bytes of it were swallowed
        self._refusing = False
        self._closed = False
        self._calm()
        self.bytes_up = 0
        self.bytes_down = 0
        self.connections = 0
        self.lost = dict.fromkeys(WAYS, 0)

    @property
    def url(self):
        """As a broker's address."""
        return f"mqtt://127.0.0.1:{self.port}"

    def start(self):
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def place_in(self, folder):
        """Keeps no files."""
        folder.mkdir(parents=True)

    def log_tail(self):
        return (f"--- relay to {self._target_port}: {self.connections} connections, {self.bytes_up} up,"
                f" {self.bytes_down} down, lost {self.lost}")

    def silence(self, *ways):
        """Holds all bytes back, without a reset, and hands them on at resume(): a cable pulled for a moment."""
        self._set(self._held, True, ways)

    def swallow(self, *ways):
        """Takes all bytes and forwards none, without a reset: a network that drops. A connection whose bytes were
        swallowed is closed at resume(): what follows could not be understood."""
        self._set(self._swallowed, True, ways)

    def delay(self, seconds, *ways):
        """Hands on what comes so much later; what comes while something waits, waits behind it."""
        self._set(self._delays, seconds, ways)

    def throttle(self, bytes_per_second, *ways):
        self._set(self._rates, bytes_per_second, ways)

    def lose(self, probability, *ways):
        """Leaves out MQTT PUBLISH packets, each with this probability; all else passes. Only with mqtt=True."""
        assert self._mqtt, "only a relay that reads MQTT knows what a message is"
        self._set(self._losses, probability, ways)

    def cut_inside(self, *ways):
        """Each connection ends in the middle of its next message (without mqtt=True: of what it carries next)."""
        self._set(self._cuts_inside, True, ways)

    def cut(self, refuse=False):
        """Closes all connections; with refuse, new ones are closed at once until resume()."""
        with self._changed:
            self._refusing = refuse
            pairs = list(self._connections)
        for pair in pairs:
            _close(*pair)

    def resume(self):
        """Ends all faults: held bytes flow again, and connections are accepted again."""
        with self._changed:
            self._calm()
            self._refusing = False
            damaged = [pair for pair, swallowed in self._connections.items() if swallowed]
            self._changed.notify_all()
        for pair in damaged:
            _close(*pair)

    def close(self, keep=False):
        if self._listener:
            _close(self._listener)
        with self._changed:
            self._closed = True
            self._calm()
            self._changed.notify_all()
        self.cut(refuse=True)

    def _calm(self):
        self._held, self._swallowed, self._cuts_inside = ({way: False for way in WAYS} for _ in range(3))
        self._delays, self._rates, self._losses = ({way: 0 for way in WAYS} for _ in range(3))

    def _set(self, setting, value, ways):
        assert set(ways) <= set(WAYS), ways
        with self._changed:
            setting.update(dict.fromkeys(ways or WAYS, value))
            self._changed.notify_all()

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
            pair = (near, far)
            with self._changed:  # From here on cut() may close them.
                self.connections += 1
                self._connections[pair] = False
            for source, sink, way in ((near, far, "up"), (far, near, "down")):
                threading.Thread(target=self._pump, args=(pair, source, sink, way), daemon=True).start()

    def _pump(self, pair, source, sink, way):
        packets = Packets() if self._mqtt else None
        try:
            while piece := source.recv(65536):
                with self._changed:
                    if way == "up":
                        self.bytes_up += len(piece)
                    else:
                        self.bytes_down += len(piece)
                for whole in packets.feed(piece) if packets else (piece,):
                    if not self._forward(pair, whole, sink, way):
                        return
            with self._changed:  # An end is held back like all else.
                self._changed.wait_for(lambda: self._closed or not (self._held[way] or self._swallowed[way]))
        except OSError:
            pass
        finally:
            _close(*pair)
            with self._changed:
                self._connections.pop(pair, None)

    def _forward(self, pair, whole, sink, way):
        """False: the connection is to end here."""
        self._wait_for_turn(way)
        is_message = not self._mqtt or kind(whole) == PUBLISH
        with self._changed:
            if self._swallowed[way]:
                self._connections[pair] = True
                return True
            if self._mqtt and is_message and self._random.random() < self._losses[way]:
                self.lost[way] += 1
                return True
            cut = self._cuts_inside[way] and is_message and len(whole) > 1
        if cut:
            sink.sendall(whole[:len(whole) // 2])
            return False
        for begin in range(0, len(whole), _NARROW_PIECE) if self._rates[way] else (None,):
            part = whole if begin is None else whole[begin:begin + _NARROW_PIECE]
            self._wait_while(lambda: self._rates[way], lambda rate, part=part: len(part) / rate)
            sink.sendall(part)
        return True

    def _wait_for_turn(self, way):
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._held[way])
        self._wait_while(lambda: self._delays[way], lambda delay: delay)

    def _wait_while(self, setting, seconds):
        """Waits seconds(setting()), but no longer than the setting stays what it is."""
        with self._changed:
            value = setting()
            if value:
                self._changed.wait_for(lambda: self._closed or setting() != value, timeout=seconds(value))


def _close(*sockets):
    for one in sockets:
        try:
            one.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        one.close()
