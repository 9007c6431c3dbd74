"""A private PostgreSQL: loopback, a free port, a temporary directory, nothing made durable."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from itertools import count
from pathlib import Path
from typing import Final, Self

import psutil
import psycopg

from tests.servers.redis import free_port

PASSWORD: Final = "of the test server"
START_SECONDS: Final = 90.0
# What a power cut would lose, a test never needs.
QUICK: Final = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "autovacuum": "off",
    "timezone": "Asia/Shanghai",  # a server's own time zone must not matter
}


def binaries() -> Path:
    """Debian keeps each version's programs in a folder of its own; the newest."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    assert found, "PostgreSQL is not installed: apt install postgresql"
    return found[-1].parent


class PostgresServer:
    """Starts, stops, hands out databases; comes back on the same port with what it held."""

    def __init__(self) -> None:
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="concord-pg-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._numbers = count(1)

    @property
    def pid(self) -> int:
        """The running server's, as it wrote it down."""
        return int(self._pid_file.read_text(encoding="ascii").split()[0])

    def url(self, database: str = "postgres", *, password: str = PASSWORD) -> str:
        """As `database.url` takes it."""
        return f"postgresql://postgres:{password.replace(' ', '%20')}@127.0.0.1:{self.port}/{database}"

    def create(self, *, template: str = "template1") -> str:
        """A new database, empty or a copy; its name."""
        name = f"concord_{next(self._numbers)}"
        self.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return name

    def drop(self, database: str) -> None:
        """Remove it, whoever is connected."""
        self.execute(f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)')

    def execute(self, statement: str) -> None:
        """As superuser, outside any transaction."""
        with self._connect() as connection:
            connection.execute(statement.encode())

    def start(self) -> None:
        """Start, and wait until it answers. Starting a running server changes nothing."""
        if self._process is not None:
            return
        if not self._data.exists():
            self._initialise()
        options = [f"--{name.replace('_', '-')}={value}" for name, value in QUICK.items()]
        command = [str(binaries() / "postgres"), "-D", str(self._data), "-p", str(self.port), "-h", "127.0.0.1"]
        with (self.folder / "postgres.log").open("ab") as log:
            self._process = subprocess.Popen(
                _as_postgres([*command, "-k", str(self.folder), *options]), stdout=log, stderr=log
            )
        self._wait()

    def stop(self) -> None:
        """Stop at once, as after a crash, and wait until it is gone."""
        if self._process is None:
            return
        # runuser passes no SIGQUIT on: the server itself is asked.
        if self._pid_file.exists():
            os.kill(self.pid, signal.SIGQUIT)
        self._process.wait(timeout=90)
        self._process = None

    def freeze(self) -> None:
        """SIGSTOP to the server and each of its processes: connections stay open and nothing answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self._signal(signal.SIGCONT)
        # runuser stops itself when the command it waits for stops, and would never see that one end.
        if self._process is not None:
            self._process.send_signal(signal.SIGCONT)

    def _signal(self, which: signal.Signals) -> None:
        server = psutil.Process(self.pid)
        for process in (server, *server.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(which)

    def close(self) -> None:
        """Stop for good and remove what lies on disk."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _pid_file(self) -> Path:
        return self._data / "postmaster.pid"

    def _initialise(self) -> None:
        password = self.folder / "password"
        password.write_text(PASSWORD, encoding="ascii")
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres")
            shutil.chown(password, "postgres")
        command = [str(binaries() / "initdb"), "-D", str(self._data), "-U", "postgres", "--no-sync", "--encoding=UTF8"]
        secured = ["--auth=scram-sha-256", f"--pwfile={password}", "--locale=C.UTF-8"]
        subprocess.run(_as_postgres([*command, *secured]), check=True, capture_output=True, cwd="/")

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(self.url(), autocommit=True, connect_timeout=5)

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self._process is not None
            if self._process.poll() is not None:
                break
            try:
                self._connect().close()
            except psycopg.OperationalError:
                time.sleep(0.05)
            else:
                return
        raise AssertionError((self.folder / "postgres.log").read_text(encoding="utf-8"))


def _as_postgres(command: list[str]) -> list[str]:
    """PostgreSQL refuses to run as root."""
    return ["runuser", "-u", "postgres", "--", *command] if os.geteuid() == 0 else command
