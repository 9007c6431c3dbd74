"""A private redis-server: loopback, a free port, a temporary directory, nothing saved."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

import redis

BINARY = shutil.which("redis-server") or "/usr/bin/redis-server"
START_SECONDS = 30.0


# Below those that the kernel gives to outgoing connections: between our look and a server's start one could take it.
# Each process of a run that is spread over several has a stretch of its own.
_STRETCH = 2_000
_FIRST = 12_000 + _STRETCH * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 10)
_ports = itertools.cycle(range(_FIRST, _FIRST + _STRETCH))
# Runs that start together have neighbouring process ids: the factor (a golden section) takes them far apart.
for _ in range(os.getpid() * 1237 % _STRETCH):
    next(_ports)


def free_port() -> int:
    """A port nobody listens on just now, and that was not given to anybody lately."""
    for port in itertools.islice(_ports, _STRETCH):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError(f"no port is free from {_FIRST} on")


class RedisServer:
    """Starts, stops, freezes; comes back on the same port."""

    def __init__(self, *, password: str | None = None, extra: tuple[str, ...] = (), socket_file: bool = False) -> None:
        self.port = free_port()
        self.password = password
        self.folder = Path(tempfile.mkdtemp(prefix="concord-redis-"))
        self.socket_path = self.folder / "redis.sock" if socket_file else None
        self._extra = extra
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """As `redis.url` takes it."""
        login = f":{self.password}@" if self.password else ""
        return f"redis://{login}127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """The running server's."""
        assert self._process is not None
        return self._process.pid

    def client(self) -> redis.Redis:
        """A connection of the test's own; close it."""
        return redis.Redis(
            port=self.port, password=self.password, decode_responses=True, socket_timeout=5, socket_connect_timeout=5
        )

    def flushall(self) -> None:
        """Forget everything, as an operator's FLUSHALL does."""
        with self.client() as client:
            client.flushall()

    def start(self) -> None:
        """Start, and wait until it answers. Starting a running server changes nothing."""
        if self._process is not None:
            return
        # The file, not the command line: a password must not stand in the process list.
        config = self.folder / "redis.conf"
        config.write_text(self._config(), encoding="utf-8")
        with (self.folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen([BINARY, str(config), *self._extra], stdout=log, stderr=log)
        self._wait()

    def stop(self) -> None:
        """Stop, and wait until it is gone."""
        if self._process is None:
            return
        self.thaw()
        self._process.kill()
        self._process.wait(timeout=30)
        self._process = None

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and nothing answers, as behind a dead firewall."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """Stop for good and remove what lies on disk."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _signal(self, which: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(which)

    def _config(self) -> str:
        lines = [
            "bind 127.0.0.1",
            f"port {self.port}",
            f"dir {self.folder}",
            'save ""',
            "appendonly no",
            "maxmemory-policy noeviction",
            "repl-diskless-sync-delay 0",
        ]
        if self.password:
            lines += [f"requirepass {self.password}", f"masterauth {self.password}"]
        if self.socket_path:
            lines += [f"unixsocket {self.socket_path}"]
        return "\n".join(lines) + "\n"

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            assert self._process is not None
            if self._process.poll() is not None:
                break
            try:
                with self.client() as client:
                    client.ping()
            except redis.ConnectionError:
                time.sleep(0.02)
            else:
                return
        raise AssertionError((self.folder / "redis.log").read_text(encoding="utf-8"))
