"""A real PostgreSQL, or a standby of one: databases and roles of the test's own, TLS, and what befalls database servers."""

import csv
import io
import itertools
import os
import pathlib
import pwd
import shutil
import signal
import subprocess
import sys
import urllib.parse

from .certificates import Authority
from .part import Part, PartFailed
from .ports import free_port
from .waiting import wait_until

csv.field_size_limit(sys.maxsize)
_OLDEST = 15
_SETTINGS = {
    "unix_socket_directories": "''", "listen_addresses": "'127.0.0.1'", "shared_buffers": "64MB", "max_connections": "60",
    "dynamic_shared_memory_type": "mmap", "timezone": "'UTC'", "log_line_prefix": "'%m [%p] %u@%d %a '", "hot_standby_feedback": "on",
    "wal_receiver_status_interval": "1s", "wal_keep_size": "'256MB'",  # a standby that was away needs no slot
    "fsync": "off", "full_page_writes": "off"}  # a test survives no power cut


def postgres_program(name):
    """Debian keeps each version in a folder of its own, where no PATH leads."""
    versions = sorted((int(path.name), path) for path in pathlib.Path("/usr/lib/postgresql").glob("[0-9]*")
                      if (path / "bin" / name).exists() and path.name.isdigit())
    if versions and versions[-1][0] >= _OLDEST:
        return versions[-1][1] / "bin" / name
    found = shutil.which(name)
    assert found, f"there is no {name} of PostgreSQL {_OLDEST} or newer: install the package postgresql"
    return found


def _owner():
    """PostgreSQL does not run as root: the user it runs as then, else None."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            pass
    raise PartFailed("PostgreSQL does not run as root, and there is neither a user postgres nor nobody")


def literal(value):
    """A value as SQL text."""
    return "NULL" if value is None else str(value) if isinstance(value, (int, float)) else "'" + str(value).replace("'", "''") + "'"


class Postgres(Part):
    """A server on a port that it keeps over restarts, as its data.

    The superuser "postgres" needs no password, every other role does. Text sorts as people do it, not by bytes. tls: certificates of its
    own `authority`, and roles must come by TLS. standby_of: a copy that follows this running server until promote().
    settings: {name: value} for postgresql.conf.
    """

    name = "postgres"

    def __init__(self, *, tls=False, standby_of=None, settings=None):
        super().__init__()
        self._tls = tls
        self._primary = standby_of
        self._settings = {**_SETTINGS, **(settings or {})}
        self._owner = _owner()
        self._numbers = itertools.count(1)
        self.port = free_port()
        self.authority = None

    # What a test says to it.
    def uri(self, database, role="postgres", password=None, *, port=None, **parameters):
        """postgresql://ROLE[:PASSWORD]@127.0.0.1:PORT/DATABASE, as --store takes it; port: of a relay in between."""
        login = urllib.parse.quote(role, safe="") + (":" + urllib.parse.quote(password, safe="") if password else "")
        query = "?" + urllib.parse.urlencode(parameters) if parameters else ""
        return f"postgresql://{login}@127.0.0.1:{port or self.port}/{database}{query}"

    def create_role(self, password, name=None):
        """A role that may log in and nothing else; returns its name."""
        name = name or f"role_{next(self._numbers)}"
        self.run(f'CREATE ROLE "{name}" LOGIN PASSWORD {literal(password)}')
        return name

    def create_database(self, owner="postgres"):
        """An empty one; returns its name."""
        name = f"db_{next(self._numbers)}"
        self.run(f'CREATE DATABASE {name} OWNER "{owner}"')
        return name

    def ask(self, sql, *values, database="postgres"):
        """The rows as lists of text (NULL is ""), asked as the superuser; each %s in the SQL stands for a value."""
        text = self._psql(sql, values, database, "--csv", "--tuples-only")
        return list(csv.reader(io.StringIO(text, newline="")))

    def run(self, sql, *values, database="postgres"):
        """The same for what returns no rows."""
        self._psql(sql, values, database)

    def set(self, name, value):
        """Changes a setting of the running server that takes no restart."""
        self.run(f"ALTER SYSTEM SET {name} = {literal(value)}")
        self.run("SELECT pg_reload_conf()")

    def disconnect(self, database):
        """Ends every connection to this database, as an administrator may; returns how many."""
        return len(self.ask("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()", database))

    def wait_followed(self, deadline=30):
        """Until a standby has replayed all that is committed here now."""
        position = self.ask("SELECT pg_current_wal_lsn()")[0][0]
        wait_until(lambda: self.ask("SELECT 1 FROM pg_stat_replication WHERE replay_lsn >= %s::pg_lsn", position), deadline,
                   "the standby has what its primary has", every=0.05)

    def promote(self):
        """From now on it is a primary: it takes writes, in a new timeline."""
        self.run("SELECT pg_promote()")
        wait_until(lambda: self.ask("SELECT pg_is_in_recovery()") == [["f"]], 30, "the standby is a primary")

    # How it runs.
    def prepare(self):
        if self._owner:
            for folder in (self.folder, self.folder.parent):  # Its user must reach it.
                folder.chmod(folder.stat().st_mode | 0o011)
            os.chown(self.folder, self._owner.pw_uid, self._owner.pw_gid)
        if self._tls and self.authority is None:
            self.authority = Authority(self.folder / "pki")
            for name, path in zip(("ssl_cert_file", "ssl_key_file"), self.authority.server("postgres")):
                self._give(path)
                self._settings[name] = literal(path)
            (self.folder / "pki").chmod(0o755)
            self._settings["ssl"] = "on"
        data = self.folder / "data"
        if not data.exists():
            self._initialize(data)
        # Its own file of settings stays: ALTER SYSTEM writes there, and a standby's primary stands there.
        lines = [f"{name} = {value}" for name, value in {**self._settings, "port": self.port}.items()]
        self._write(data / "postgresql.conf", *lines)
        self._write(data / "pg_hba.conf", "host all,replication postgres 127.0.0.1/32 trust",
                    f"{'hostssl' if self._tls else 'host'} all all 127.0.0.1/32 scram-sha-256")

    def command(self):
        return [*self._as_owner("--pdeathsig", "QUIT"), postgres_program("postgres"), "-D", self.folder / "data"]

    def environment(self):
        mine = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        return {**mine, "LC_ALL": "C.UTF-8", "PGCONNECT_TIMEOUT": "5"}

    def ready(self):
        status = self.folder / "data" / "postmaster.pid"
        lines = status.read_text().splitlines()
        return len(lines) > 7 and lines[0] == str(self.pid) and lines[7].strip() in ("ready", "standby")

    def terminate(self, deadline=20):
        return super().terminate(deadline)

    def restart(self, how="stop"):
        """Down ("stop" in good order, or "kill" as by a power cut) and up again, on the same port and data."""
        self.stop() if how == "stop" else self.kill()
        return self.start()

    def _initialize(self, data):
        if self._primary:
            self._call("pg_basebackup", "--pgdata", data, "--dbname", self._primary.uri("postgres"), "--write-recovery-conf",
                       "--wal-method", "stream", "--checkpoint", "fast", "--no-sync")
        else:
            self._call("initdb", "--pgdata", data, "--username", "postgres", "--auth", "trust", "--encoding", "UTF8", "--locale", "C.UTF-8",
                       "--locale-provider", "icu", "--icu-locale", "en", "--no-sync", "--no-instructions")

    def _signal(self, number):
        if not self.running:
            return
        # Each of its processes leads a session of its own, so that no signal to a group reaches them.
        if number in (signal.SIGSTOP, signal.SIGKILL):
            self._send(self.pid, signal.SIGSTOP)  # It makes no more of them.
            for child in self._children():
                self._send(child, number)
            self._send(self.pid, number)
        elif number == signal.SIGCONT:
            for process in (*self._children(), self.pid):
                self._send(process, number)
        else:  # SIGTERM would wait until all clients have gone.
            self._signal(signal.SIGCONT)
            self._send(self.pid, signal.SIGINT)

    def processes(self):
        """The ids of all its processes, the first one's first."""
        return [self.pid, *self._children()]

    def _children(self):
        for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                words = path.read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(words[1]) == self.pid:
                yield int(path.parent.name)

    @staticmethod
    def _send(process, number):
        try:
            os.kill(process, number)
        except ProcessLookupError:
            pass

    def _as_owner(self, *options):
        if not self._owner:
            return []
        return ["setpriv", "--reuid", str(self._owner.pw_uid), "--regid", str(self._owner.pw_gid), "--clear-groups", *options]

    def _give(self, path):
        if self._owner:
            os.chown(path, self._owner.pw_uid, self._owner.pw_gid)

    def _write(self, path, *lines):
        path.write_text("\n".join(lines) + "\n")
        self._give(path)

    def _call(self, name, *words, text=None):
        command = [*self._as_owner(), postgres_program(name), *words]
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, input=text, env=self.environment(),
                              cwd=self.folder, timeout=120)
        if done.returncode != 0:
            raise PartFailed(f"{name} failed: {done.stderr.strip()}\n{self.log_tail()}")
        return done.stdout

    def _psql(self, sql, values, database, *options):
        text = sql % tuple(map(literal, values)) if values else sql
        return self._call("psql", "--no-psqlrc", "--quiet", "--set", "ON_ERROR_STOP=1", *options, "--dbname", self.uri(database), text=text)
