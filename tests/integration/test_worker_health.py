"""Real workers under a real notify socket: what they prove, and when they stop proving it."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import pytest
from celery import Celery
from kombu import pools
from pydantic import SecretStr

from concord.adapters.celery import make_app
from concord.adapters.pulse import RedisPulse
from concord.adapters.queue import CeleryQueue
from concord.adapters.task_names import MAIL_QUEUE, POLL_QUEUE
from concord.model.account import Priority
from concord.model.message import MessageRef
from concord.model.worker import WorkerLimits
from concord.ports import WorkerPulse
from concord.settings import RedisSettings, Settings
from tests.servers.daemon import Daemon
from tests.servers.manager import NotifySocket
from tests.servers.redis import RedisServer
from tests.servers.swallower import SwallowingProxy
from tests.waiting import eventually

RAN, PIDS, HOLD = "probe:ran", "probe:pids", "probe:hold"
COMMON = ["--without-gossip", "--without-mingle", "--task-events", "--loglevel=INFO"]
POOLS = {
    "poll": ["worker", "--queues=email-poll", "--pool=threads", "--concurrency=2", "--hostname=poll@%h", *COMMON],
    "mail": ["worker", "--queues=email", "--pool=prefork", "--concurrency=1", "--hostname=mail@%h", *COMMON],
}
RUNS_WITH = {
    "poll": WorkerLimits(concurrency=2, prefetch=1),
    "mail": WorkerLimits(concurrency=1, prefetch=1),
}
HOST = socket.gethostname()
WATCHDOG = 6.0
QUICK = {
    "CONCORD_WORKER__CANARY_INTERVAL": "1",
    "CONCORD_WORKER__DEAF_AFTER": "4",
    "CONCORD_REDIS__SOCKET_TIMEOUT": "2",
    "CONCORD_REDIS__CONNECT_TIMEOUT": "1",
    "CONCORD_REDIS__HEALTH_CHECK_INTERVAL": "1",
}

both = pytest.mark.parametrize("pool", list(POOLS))


class Worker:
    """A worker and the manager that hears it."""

    def __init__(
        self, pool: str, server: RedisServer, folder: Path, *, prefetch: int = 1, url: str | None = None
    ) -> None:
        self.manager = NotifySocket(watchdog=WATCHDOG)
        arguments = [*POOLS[pool], f"--prefetch-multiplier={prefetch}"]
        self.daemon = Daemon(arguments, server, folder, {**QUICK, **self.manager.environment}, url=url)
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.enter_context(self.manager)
        self._stack.enter_context(self.daemon)
        assert eventually(lambda: self.manager.count("READY=1"), within=40), self.daemon.log
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stack.close()

    def hang(self, app: Celery, seconds: float = 20) -> None:
        """Keep its main loop from turning, once it listens."""
        assert self.listens(), self.daemon.log
        app.control.broadcast("hang", arguments={"seconds": seconds})

    def listens(self) -> bool:
        """Whether it has come to read its queues."""
        return eventually(lambda: "ready." in self.daemon.log)

    def pings(self) -> bool:
        """Whether it pings within the time that its manager gives it."""
        before = self.manager.count("WATCHDOG=1")
        return eventually(lambda: self.manager.count("WATCHDOG=1") > before, within=WATCHDOG)


@pytest.fixture
def settings(own_redis: RedisServer) -> Settings:
    return Settings(redis=RedisSettings(url=SecretStr(own_redis.url), socket_timeout=2, connect_timeout=1))


@pytest.fixture
def app(settings: Settings) -> Iterator[Celery]:
    made = make_app(settings)
    yield made
    pools.reset()  # type: ignore[no-untyped-call]  # kombu is typed in part; its pools are the process's
    made.close()
    made.redbeat_redis.close()


@pytest.fixture
def queue(app: Celery, settings: Settings) -> CeleryQueue:
    return CeleryQueue(app, settings)


@pytest.fixture
def pulse(app: Celery, settings: Settings) -> RedisPulse:
    return RedisPulse(app, settings.redis)


def put(queue: CeleryQueue, pool: str, number: int) -> None:
    """Work for one of the two."""
    if pool == "poll":
        queue.poll(number)
    else:
        queue.process([MessageRef(id=number, priority=Priority.HIGH, size=10)])


def ran(server: RedisServer) -> list[str]:
    with server.client() as client:
        return [line.rpartition(" ")[0] for line in client.lrange(RAN, 0, -1)]


def told(pulse: RedisPulse) -> dict[str, WorkerPulse]:
    return {worker.instance: worker for worker in pulse.workers()}


def test_two_workers_prove_themselves_side_by_side(
    own_redis: RedisServer, queue: CeleryQueue, pulse: RedisPulse, tmp_path: Path
) -> None:
    """D1, M4: canaries on queues of their own, and on those of the mail."""
    with Worker("poll", own_redis, tmp_path) as poll, Worker("mail", own_redis, tmp_path) as mail:
        put(queue, "poll", 1)
        sent = {POLL_QUEUE: pulse.send_canary(POLL_QUEUE), MAIL_QUEUE: pulse.send_canary(MAIL_QUEUE)}
        assert eventually(lambda: all(pulse.returned(token) for token in sent.values()))
        assert eventually(lambda: all(told(pulse)[name].consumed_at for name in POOLS))
        assert eventually(lambda: told(pulse)["poll"].tasks == 1)
        assert poll.pings()
        assert mail.pings()
        said = told(pulse)
        speakers = poll.manager.speakers | mail.manager.speakers
        logs = poll.daemon.log + mail.daemon.log

    assert (pulse.returned(sent[POLL_QUEUE]), pulse.returned(sent[MAIL_QUEUE])) == (f"poll@{HOST}", f"mail@{HOST}")
    assert said["mail"].tasks == 0  # canaries are left out
    assert said["poll"].memory > 10_000_000
    assert said["mail"].limits == RUNS_WITH["mail"]
    assert said["poll"].limits == RUNS_WITH["poll"]
    assert speakers == {poll.daemon.pid, mail.daemon.pid}
    assert "tasks done" in poll.manager.status
    assert "concord.canary[" not in logs


@both
def test_redis_outage_restarts_nobody(own_redis: RedisServer, queue: CeleryQueue, tmp_path: Path, pool: str) -> None:
    """O6, trap 51: down at the start, and again later; far longer than what makes a worker deaf."""
    own_redis.stop()
    with Worker(pool, own_redis, tmp_path) as worker:
        silences = []
        for _ in range(2):
            assert eventually(lambda: worker.manager.status.startswith("waiting for Redis")), worker.daemon.log
            until = time.monotonic() + 10
            while time.monotonic() < until:
                silences.append(worker.manager.silent_for())
                time.sleep(0.1)
            own_redis.start()
            put(queue, pool, 1)
            assert eventually(lambda: ran(own_redis), within=40), worker.daemon.log
            own_redis.stop()

        assert max(silences) < WATCHDOG
        assert "worker.deaf" not in worker.daemon.log


@both
def test_busy_pool_goes_on_pinging(own_redis: RedisServer, queue: CeleryQueue, tmp_path: Path, pool: str) -> None:
    """D1: every slot in use, and more prefetched, for longer than what makes a worker deaf."""
    with own_redis.client() as client:
        client.set(HOLD, "1")
    with Worker(pool, own_redis, tmp_path, prefetch=4) as worker:
        for number in range(3):
            put(queue, pool, number)
        slots = 1 if pool == "mail" else 2
        assert eventually(lambda: f" {slots} running" in worker.manager.status), worker.daemon.log
        until = time.monotonic() + 12
        while time.monotonic() < until:
            assert worker.manager.silent_for() < WATCHDOG
            assert ran(own_redis) == []
            time.sleep(0.2)
        with own_redis.client() as client:
            client.delete(HOLD)
        assert eventually(lambda: len(ran(own_redis)) == 3), worker.daemon.log

        assert "worker.deaf" not in worker.daemon.log


@both
def test_worker_whose_loop_hangs_stops_pinging(own_redis: RedisServer, app: Celery, tmp_path: Path, pool: str) -> None:
    """D1: alive, its thread too, and nothing is consumed."""
    with Worker(pool, own_redis, tmp_path) as worker:
        assert worker.pings()

        worker.hang(app)

        assert eventually(lambda: "worker.deaf" in worker.daemon.log, within=15), worker.daemon.log
        assert eventually(lambda: worker.manager.silent_for() > WATCHDOG, within=15), worker.manager.lines
        assert worker.manager.status.startswith("deaf for")
        assert eventually(lambda: "worker.hears_again" in worker.daemon.log, within=40), worker.daemon.log
        assert worker.daemon.log.count("worker.deaf") == 1


@both
def test_stopped_process_stops_pinging(own_redis: RedisServer, tmp_path: Path, pool: str) -> None:
    """D1: SIGSTOP of the main process; the pool's processes may not ping for it."""
    with Worker(pool, own_redis, tmp_path) as worker:
        assert worker.pings()

        os.kill(worker.daemon.pid, signal.SIGSTOP)

        assert eventually(lambda: worker.manager.silent_for() > WATCHDOG, within=15), worker.manager.lines


def test_watchdogs_signal_leaves_stacks_without_values(own_redis: RedisServer, app: Celery, tmp_path: Path) -> None:
    """D1, A3: SIGABRT shows where every thread was, and no variable."""
    with Worker("mail", own_redis, tmp_path) as worker:
        worker.hang(app)
        assert eventually(lambda: "worker.deaf" in worker.daemon.log, within=15), worker.daemon.log

        os.kill(worker.daemon.pid, signal.SIGABRT)
        assert eventually(lambda: not worker.daemon.alive), worker.daemon.log

        log = worker.daemon.log
        assert "Fatal Python error: Aborted" in log
        assert "celery_probe.py" in log  # where the loop hung
        assert "in _run" in log  # the health thread
        assert "a-word-in-a-variable" not in log


def test_canaries_nobody_takes_do_not_pile_up(own_redis: RedisServer, app: Celery, tmp_path: Path) -> None:
    """Trap 32."""
    with Worker("poll", own_redis, tmp_path) as worker:
        worker.hang(app)
        assert eventually(lambda: "worker.deaf" in worker.daemon.log, within=15), worker.daemon.log

        with own_redis.client() as client:
            key = f"concord:canary.poll@{HOST}"
            assert client.llen(key) == 1
            assert 0 < client.ttl(key) <= 300


def test_swallowed_connections_are_replaced(own_redis: RedisServer, queue: CeleryQueue, tmp_path: Path) -> None:
    """Traps 22 to 24: open sockets on which nothing comes any more, while new ones work.

    What Redis sends into a dead connection is lost (the sweep sends it again), so work comes again and again here.
    """
    with SwallowingProxy(own_redis.port) as proxy, ExitStack() as stack:
        workers = {pool: stack.enter_context(Worker(pool, own_redis, tmp_path, url=proxy.url)) for pool in POOLS}
        assert all(worker.listens() for worker in workers.values())
        assert proxy.swallow() > 2

        def consume_again() -> bool:
            for pool in workers:
                put(queue, pool, 1)
            return all(f"{task} 1" in ran(own_redis) for task in ("poll", "process"))

        assert eventually(consume_again, within=40), [worker.daemon.log for worker in workers.values()]
        assert all(worker.pings() for worker in workers.values())


def test_worker_that_stays_deaf_is_replaced(
    own_redis: RedisServer, app: Celery, queue: CeleryQueue, tmp_path: Path
) -> None:
    """D1: a manager that acts on silence, as systemd does, has one that consumes again."""
    with Worker("mail", own_redis, tmp_path) as deaf:
        deaf.hang(app, seconds=600)
        assert eventually(lambda: deaf.manager.silent_for() > WATCHDOG, within=20), deaf.daemon.log
        os.kill(deaf.daemon.pid, signal.SIGABRT)
        assert eventually(lambda: not deaf.daemon.alive), deaf.daemon.log

    with Worker("mail", own_redis, tmp_path) as fresh:
        put(queue, "mail", 1)
        assert eventually(lambda: ran(own_redis)), fresh.daemon.log
        assert fresh.pings()
