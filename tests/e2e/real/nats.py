"""A real NATS server with its MQTT listener: a broker that speaks MQTT 3.1.1 and no other."""

import shutil
import socket

from .part import Part
from .ports import free_port


class NatsServer(Part):
    name = "nats-server"

    def __init__(self):
        super().__init__()
        self.port = free_port()
        self._own_port = free_port()

    @property
    def url(self):
        return f"mqtt://127.0.0.1:{self.port}"

    def prepare(self):
        (self.folder / "nats.conf").write_text(
            f'server_name: one\nlisten: "127.0.0.1:{self._own_port}"\njetstream {{ store_dir: "{self.folder}/state" }}\n'
            f'mqtt {{ listen: "127.0.0.1:{self.port}" }}\n')

    def command(self):
        # Debian puts it where an ordinary user's PATH does not look.
        program = shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin")
        assert program, "nats-server is not installed: run tools/install-packages test"
        return [program, "-c", self.folder / "nats.conf"]

    def ready(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=5):
            return True
