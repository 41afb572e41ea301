"""MQTT's framing, as much of it as a relay needs: where one control packet ends, and which of them carry messages."""

PUBLISH = 3


class Packets:
    """Cuts one direction of a connection into whole control packets (MQTT 5, 2.1). Not thread-safe."""

    def __init__(self):
        self._waiting = bytearray()

    def feed(self, piece):
        """The packets, header included, that are whole now."""
        self._waiting += piece
        packets = []
        while (size := self._first()) is not None and len(self._waiting) >= size:
            packets.append(bytes(self._waiting[:size]))
            del self._waiting[:size]
        return packets

    def _first(self):
        """The size of the first packet; None as long as its length is not there."""
        length = 0
        for place in range(1, 5):
            if place >= len(self._waiting):
                return None
            byte = self._waiting[place]
            length |= (byte & 0x7F) << (7 * (place - 1))
            if byte < 0x80:
                return 1 + place + length
        raise ValueError("not MQTT: a length of more than four bytes")


def kind(packet):
    return packet[0] >> 4
