"""What is broken during a soak: each fault breaks one thing, holds for a while, and leaves the thing whole."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Final

import psutil
import psycopg

from tests.servers.postgres import PostgresServer
from tests.soak.cluster import Cluster
from tests.soak.receivers import Mood
from tests.waiting import eventually

# Tables that mail passes through; each is locked now and then.
TABLES: Final = ("messages", "trail", "events", "deliveries", "folders", "account_states")
HOUR: Final = 3600
# Daemons that carry no mail: their deaths must not touch it.
OTHERS: Final = ("concord-flower", "concord-admin", "concord-watchdog")
PATIENCE: Final = 60


@dataclass(frozen=True, slots=True)
class Fault:
    """Its name in the report, how long it holds (seconds), and what it does."""

    name: str
    seconds: float
    breaks: Callable[[Cluster, random.Random], AbstractContextManager[object]]


def catalogue(cluster: Cluster) -> list[Fault]:
    """The faults that this cluster and this machine can have."""
    faults = [
        *(Fault(f"kill -9 of {name}", 0.5, _killed(name)) for name in (*cluster.programs(), *OTHERS)),
        Fault("kill -9 of concord-worker-mail, whose pool lives on", 0.5, _parent_killed),
        Fault("kill -9 of a pool process", 0.5, _child_killed),
        Fault("Redis restarted, empty", 3, _redis_restarted),
        Fault("Redis flushed", 0.5, _redis_flushed),
        Fault("Redis frozen", 8, _redis_frozen),
        Fault("mail server restarted", 3, _dovecot_restarted),
        Fault("connections to the mail server cut", 0.5, _connections_cut),
        Fault("archive unmounted", 8, _archive_unmounted),
        Fault("receiver fails", 8, _receiver(Mood.FAILS)),
        Fault("receiver hangs", 8, _receiver(Mood.HANGS)),
        Fault("receiver resets connections", 8, _receiver(Mood.RESETS)),
        Fault("receiver does all of it", 12, _receiver(Mood.MIXED)),
    ]
    if cluster.postgres:
        faults += [
            Fault("database restarted", 3, _postgres_restarted),
            Fault("database frozen", 8, _postgres_frozen),
            *(Fault(f"table {table} locked", 8, _table_locked(table)) for table in TABLES),
        ]
    else:
        faults.append(Fault("database locked", 8, _sqlite_locked))
    if cluster.archive_is_mounted:
        faults += [
            Fault("archive read-only", 8, _archive_read_only),
            Fault("archive full", 8, _archive_full),
        ]
    if cluster.can_move_clocks:
        faults += [
            Fault(f"clock of {name} {word} an hour", 15, _clock_moved(name, seconds))
            for name in cluster.programs()
            for word, seconds in (("ahead", HOUR), ("behind", -HOUR))
        ]
    return faults


def _killed(program: str) -> Callable[[Cluster, random.Random], AbstractContextManager[None]]:
    @contextmanager
    def kill(cluster: Cluster, _random: random.Random) -> Iterator[None]:
        pid = _pid(cluster, program)
        # A power cut takes the pool along.
        for process in (*_family(pid), pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(process, signal.SIGKILL)
        yield

    return kill


@contextmanager
def _parent_killed(cluster: Cluster, _random: random.Random) -> Iterator[None]:
    """The out-of-memory killer takes one process: its pool lives on while a new worker starts."""
    os.kill(_pid(cluster, "concord-worker-mail"), signal.SIGKILL)
    yield


@contextmanager
def _child_killed(cluster: Cluster, chance: random.Random) -> Iterator[None]:
    assert eventually(lambda: _family(_pid(cluster, "concord-worker-mail")), within=PATIENCE)
    os.kill(chance.choice(_family(_pid(cluster, "concord-worker-mail"))), signal.SIGKILL)
    yield


def _pid(cluster: Cluster, program: str) -> int:
    """Its process, once supervisord has started it again after the fault before: killing nothing breaks nothing."""
    assert eventually(lambda: cluster.set.pid(program), within=PATIENCE), f"{program} does not run"
    return cluster.set.pid(program)


def _family(pid: int) -> list[int]:
    try:
        return sorted(child.pid for child in psutil.Process(pid).children(recursive=True)) if pid else []
    except psutil.NoSuchProcess:
        return []


@contextmanager
def _redis_restarted(cluster: Cluster, _random: random.Random) -> Iterator[None]:
    cluster.redis.stop()
    try:
        yield
    finally:
        cluster.redis.start()


@contextmanager
def _redis_flushed(cluster: Cluster, _random: random.Random) -> Iterator[None]:
    cluster.redis.flushall()
    yield


@contextmanager
def _redis_frozen(cluster: Cluster, _random: random.Random) -> Iterator[None]:
    cluster.redis.freeze()
    try:
        yield
    finally:
        cluster.redis.thaw()


@contextmanager
def _dovecot_restarted(cluster: Cluster, _random: random.Random) -> Iterator[None]:
    cluster.dovecot.stop()
    try:
        yield
    finally:
        cluster.dovecot.start()


@contextmanager
def _connections_cut(cluster: Cluster, chance: random.Random) -> Iterator[None]:
    for mailbox in chance.sample(cluster.mailboxes, max(1, len(cluster.mailboxes) // 3)):
        cluster.dovecot._doveadm("kick", mailbox.user)
    yield


@contextmanager
def _archive_unmounted(cluster: Cluster, _random: random.Random) -> Iterator[None]:
    """An empty directory is where the archive was: what is written there would be gone after the next mount."""
    with cluster.archive_unmounted():
        yield


@contextmanager
def _archive_read_only(cluster: Cluster, _random: random.Random) -> Iterator[None]:
    # The kernel refuses while a file is open for writing.
    assert eventually(lambda: _remount(cluster, "ro"), within=PATIENCE), "the archive cannot be made read-only"
    try:
        yield
    finally:
        assert _remount(cluster, "rw")


def _remount(cluster: Cluster, how: str) -> bool:
    command = ["mount", "-o", f"remount,{how}", str(cluster.archive_top)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


@contextmanager
def _archive_full(cluster: Cluster, _random: random.Random) -> Iterator[None]:
    ballast = cluster.archive_top / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 20))
    try:
        yield
    finally:
        ballast.unlink()


def _receiver(mood: Mood) -> Callable[[Cluster, random.Random], AbstractContextManager[None]]:
    return lambda cluster, _random: cluster.receivers.behaving(mood)


def _server(cluster: Cluster) -> PostgresServer:
    assert cluster.postgres
    return cluster.postgres


@contextmanager
def _postgres_restarted(cluster: Cluster, _random: random.Random) -> Iterator[None]:
    _server(cluster).stop()
    try:
        yield
    finally:
        _server(cluster).start()


@contextmanager
def _postgres_frozen(cluster: Cluster, _random: random.Random) -> Iterator[None]:
    _server(cluster).freeze()
    try:
        yield
    finally:
        _server(cluster).thaw()


def _table_locked(table: str) -> Callable[[Cluster, random.Random], AbstractContextManager[None]]:
    @contextmanager
    def lock(cluster: Cluster, _random: random.Random) -> Iterator[None]:
        url = cluster.stack.concord.settings.database.url.get_secret_value()
        with psycopg.connect(url) as connection:
            connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
            yield
            connection.rollback()

    return lock


@contextmanager
def _sqlite_locked(cluster: Cluster, _random: random.Random) -> Iterator[None]:
    connection = sqlite3.connect(cluster.folder / "concord.db", isolation_level=None, timeout=60)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def _clock_moved(program: str, seconds: int) -> Callable[[Cluster, random.Random], AbstractContextManager[None]]:
    @contextmanager
    def move(cluster: Cluster, _random: random.Random) -> Iterator[None]:
        file = cluster.clocks / program
        file.write_text(str(seconds), encoding="ascii")
        try:
            yield
        finally:
            file.unlink()

    return move


class Breaker:
    """Breaks one thing after the other in a thread of its own, for as long as the soak delivers mail."""

    def __init__(self, cluster: Cluster, *, seed: int, count: int, pause: float) -> None:
        self._cluster = cluster
        self._random = random.Random(seed)  # noqa: S311 - a repeatable choice
        self._pause = pause
        self._plan = self._choose(count)
        self.done: list[str] = []
        self.failures: list[str] = []
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _choose(self, count: int) -> list[Fault]:
        """Every fault once before any comes again."""
        plan: list[Fault] = []
        while len(plan) < count:
            round_ = catalogue(self._cluster)
            self._random.shuffle(round_)
            plan += round_
        return plan[:count]

    def start(self) -> None:
        self._thread.start()

    def wait(self) -> None:
        """Until all is whole again."""
        self._thread.join()

    @property
    def is_over(self) -> bool:
        return not self._thread.is_alive()

    def _run(self) -> None:
        for fault in self._plan:
            try:
                with fault.breaks(self._cluster, self._random):
                    time.sleep(fault.seconds)
            # A fault that could not be made is told in the report; the soak goes on with the next.
            except Exception as error:  # noqa: BLE001 - as the comment says
                self.failures.append(f"{fault.name}: {error!r}")
            else:
                self.done.append(fault.name)
            time.sleep(self._random.uniform(self._pause / 2, self._pause))
