"""A real mosquitto broker with the settings that matter to the protocol: state kept or lost, rights, limits, TLS."""

import os
import shutil
import socket
import ssl
import subprocess

from .certificates import Authority
from .part import Part
from .ports import free_port

_CONNECT = b"\x10\x12\x00\x04MQTT\x04\x02\x00\x0a\x00\x06" b"probe0"


def _broker_program():
    # Debian puts it where an ordinary user's PATH does not look.
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


class Mosquitto(Part):
    """A broker on a port it keeps over restarts.

    persistence: sessions and retained messages survive a stop (a kill loses what was not yet saved); restart(wipe=True)
    forgets them. tls: certificates of its own `authority`; client_certificates: clients must show one of it, and their
    user name is its common name. users: {name: password}, then nobody comes in without; acl: text of an ACL file,
    set_acl() changes it while running. max_packet_size: bytes. settings: further configuration lines.
    """

    name = "mosquitto"

    def __init__(self, *, persistence=False, tls=False, client_certificates=False, users=None, acl=None,
                 max_packet_size=None, settings=()):
        super().__init__()
        self._persistence = persistence
        self._tls = tls or client_certificates
        self._client_certificates = client_certificates
        self._users = users
        self._acl = acl
        self._max_packet_size = max_packet_size
        self._settings = list(settings)
        self._serving = None
        self.port = free_port()
        self.authority = None

    @property
    def url(self):
        """mqtt://127.0.0.1:PORT, or mqtts:// with TLS."""
        return f"{'mqtts' if self._tls else 'mqtt'}://127.0.0.1:{self.port}"

    def client_certificate(self, name):
        """(certificate, key) paths for a client of this name."""
        return self.authority.client(name)

    def prepare(self):
        if self._tls and self.authority is None:
            self.authority = Authority(self.folder / "pki")
            self._serving = self.authority.server("mosquitto")
        if self._users is not None:
            passwords = self.folder / "passwords"
            passwords.unlink(missing_ok=True)
            passwords.touch(mode=0o600)
            for user, password in self._users.items():
                subprocess.run(["mosquitto_passwd", "-b", passwords, user, password], check=True, capture_output=True)
        if self._acl is not None:
            self._write_acl()
        if self._persistence:
            (self.folder / "state").mkdir(exist_ok=True)
        (self.folder / "mosquitto.conf").write_text("\n".join(self._configuration()) + "\n")

    def command(self):
        program = _broker_program()
        assert program, "mosquitto is not installed: install the package mosquitto"
        return [program, "-c", self.folder / "mosquitto.conf"]

    def ready(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            if self._tls:
                context = ssl.create_default_context(cafile=str(self.authority.certificate))
                if self._client_certificates:
                    context.load_cert_chain(*self.authority.client("probe"))
                connection = context.wrap_socket(connection, server_hostname="127.0.0.1")
            with connection:
                connection.sendall(_CONNECT)
                # Any CONNACK will do, also "not authorised": the broker speaks.
                return connection.recv(4)[:1] == b"\x20"

    def restart(self, wipe=False):
        """Politely down and up on the same port; wipe=True forgets sessions and retained messages."""
        self.stop()
        if wipe:
            self.wipe()
        return self.start()

    def wipe(self):
        """Forgets the persistent state of a broker that is down."""
        assert not self.running, "stop or kill the broker first"
        shutil.rmtree(self.folder / "state", ignore_errors=True)

    def set_acl(self, text):
        """Replaces the rights while clients stay connected; only for a broker that began with an ACL."""
        assert self._acl is not None, "start the broker with acl=..."
        self._acl = text
        self._write_acl()
        self.reload()

    def reload(self):
        """SIGHUP: reads passwords, rights and certificates again."""
        os.kill(self.pid, 1)

    def _write_acl(self):
        path = self.folder / "acl"
        path.write_text(self._acl)
        path.chmod(0o600)

    def _configuration(self):
        yield "per_listener_settings false"
        # Started as root it would become a user who may not read this folder.
        if os.geteuid() == 0:
            yield "user root"
        yield f"allow_anonymous {str(self._users is None).lower()}"
        if self._users is not None:
            yield f"password_file {self.folder}/passwords"
        if self._acl is not None:
            yield f"acl_file {self.folder}/acl"
        yield f"persistence {str(self._persistence).lower()}"
        if self._persistence:
            yield f"persistence_location {self.folder}/state/"
        if self._max_packet_size is not None:
            yield f"max_packet_size {self._max_packet_size}"
        yield "set_tcp_nodelay true"
        yield "log_dest stderr"
        yield "log_type all"
        yield "connection_messages true"
        yield from self._settings
        yield f"listener {self.port} 127.0.0.1"
        if self._tls:
            certificate, key = self._serving
            yield f"cafile {self.authority.certificate}"
            yield f"certfile {certificate}"
            yield f"keyfile {key}"
        if self._client_certificates:
            yield "require_certificate true"
            yield "use_identity_as_username true"
