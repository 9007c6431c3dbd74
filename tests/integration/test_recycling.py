"""Workers that have done enough are replaced, say so, and lose nothing (spec D3)."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from kombu import pools
from pydantic import SecretStr

from concord.adapters.celery import make_app
from concord.adapters.queue import CeleryQueue
from concord.model.account import Priority
from concord.model.message import MessageRef
from concord.settings import RedisSettings, Settings
from tests.servers.celery_probe import HOG
from tests.servers.daemon import Daemon
from tests.servers.redis import RedisServer
from tests.waiting import eventually

COMMON = ["--without-gossip", "--without-mingle", "--loglevel=INFO", "--prefetch-multiplier=1"]
PREFORK = ["worker", "--queues=email", "--pool=prefork", "--concurrency=1", *COMMON]
THREADS = ["worker", "--queues=email-poll", "--pool=threads", "--concurrency=4", *COMMON]
OFTEN = {"CONCORD_WORKER__CANARY_INTERVAL": "1"}


@pytest.fixture
def settings(own_redis: RedisServer) -> Settings:
    return Settings(redis=RedisSettings(url=SecretStr(own_redis.url)))


@pytest.fixture
def queue(settings: Settings) -> Iterator[CeleryQueue]:
    app: Celery = make_app(settings)
    yield CeleryQueue(app, settings)
    pools.reset()  # type: ignore[no-untyped-call]  # kombu is typed in part; its pools are the process's
    app.close()
    app.redbeat_redis.close()


def ran(server: RedisServer) -> list[str]:
    with server.client() as client:
        return [line.split()[1] for line in client.lrange("probe:ran", 0, -1)]


def recycled(log: str) -> list[dict[str, Any]]:
    """Every `child.recycled` that was logged."""
    lines = (json.loads(line) for line in log.splitlines() if line.startswith("{"))
    return [line for line in lines if line["event"] == "child.recycled"]


def live_of_threads(server: RedisServer, folder: Path) -> tuple[str, int | None]:
    """One worker, until it ends itself or nothing is left to do: its log and exit code."""
    with Daemon([*THREADS, "--max-tasks-per-child=50"], server, folder, OFTEN) as worker:
        assert eventually(lambda: not worker.alive or len(set(ran(server))) == 600, within=60), worker.log
        assert worker.process is not None
        return worker.log, worker.process.poll()


def put(queue: CeleryQueue, *ids: int) -> None:
    queue.process([MessageRef(id=number, priority=Priority.HIGH, size=10) for number in ids])


def test_process_is_recycled_after_its_tasks(own_redis: RedisServer, queue: CeleryQueue, tmp_path: Path) -> None:
    """D3."""
    put(queue, *range(6))
    with Daemon([*PREFORK, "--max-tasks-per-child=3", "--max-memory-per-child=900000"], own_redis, tmp_path) as worker:
        assert eventually(lambda: len(ran(own_redis)) == 6), worker.log
        assert eventually(lambda: recycled(worker.log)), worker.log

    said = recycled(worker.log)[0]
    assert (said["reason"], said["tasks"]) == ("tasks", 3)
    assert said["memory"] > 10_000
    assert said["pid"] not in {worker.pid, os.getpid()}


def test_process_is_recycled_for_its_memory(own_redis: RedisServer, queue: CeleryQueue, tmp_path: Path) -> None:
    """D3."""
    put(queue, 1, HOG, 2)
    with Daemon(
        [*PREFORK, "--max-tasks-per-child=100", "--max-memory-per-child=200000"], own_redis, tmp_path
    ) as worker:
        assert eventually(lambda: len(ran(own_redis)) == 3), worker.log
        assert eventually(lambda: recycled(worker.log)), worker.log

    (said,) = recycled(worker.log)
    assert said["reason"] == "memory"
    assert said["memory"] > 200_000


def test_stopped_worker_recycled_nobody(own_redis: RedisServer, queue: CeleryQueue, tmp_path: Path) -> None:
    put(queue, 1)
    with Daemon([*PREFORK, "--max-tasks-per-child=100"], own_redis, tmp_path) as worker:
        assert eventually(lambda: ran(own_redis)), worker.log
        os.kill(worker.pid, signal.SIGTERM)
        assert eventually(lambda: not worker.alive), worker.log

    assert recycled(worker.log) == []


def test_threads_are_recycled_as_a_whole_and_nothing_is_lost(
    own_redis: RedisServer, queue: CeleryQueue, tmp_path: Path
) -> None:
    """D3, P5: a worker ends again and again in the midst of 600 tasks, and its supervisor starts the next."""
    for number in range(600):
        queue.poll(number)

    lives = []
    until = time.monotonic() + 120
    while len(set(ran(own_redis))) < 600 and time.monotonic() < until:
        lives.append(live_of_threads(own_redis, tmp_path))

    assert sorted(set(ran(own_redis)), key=int) == [str(number) for number in range(600)]
    assert len(ran(own_redis)) == 600  # nor done twice
    assert {code for _, code in lives} <= {0, None}
    said = [line for log, _ in lives for line in recycled(log)]
    assert len(said) >= 3
    assert all(line["reason"] == "tasks" and line["tasks"] >= 50 for line in said)


def test_threads_are_recycled_for_their_memory(own_redis: RedisServer, queue: CeleryQueue, tmp_path: Path) -> None:
    """D3."""
    with Daemon([*THREADS, "--max-memory-per-child=50000"], own_redis, tmp_path, OFTEN) as worker:
        assert eventually(lambda: not worker.alive), worker.log

    (said,) = recycled(worker.log)
    assert worker.process is not None
    assert worker.process.returncode == 0
    assert said["reason"] == "memory"
    assert said["pid"] == worker.pid
