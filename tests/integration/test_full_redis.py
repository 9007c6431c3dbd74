"""A Redis at `maxmemory` refuses to take anything. Workers outlive it, and go on by themselves once there is room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from celery import Celery
from kombu import pools
from pydantic import SecretStr

from concord.adapters.celery import make_app
from concord.adapters.celery_arguments import worker_arguments
from concord.adapters.queue import CeleryQueue
from concord.errors import QueueDownError
from concord.model.account import Priority
from concord.model.delivery import OutboxRef
from concord.model.message import MessageRef
from concord.settings import RedisSettings, Settings
from tests.servers.daemon import Daemon
from tests.servers.redis import RedisServer
from tests.waiting import eventually
from tests.workers import worker_config


@pytest.fixture
def settings(own_redis: RedisServer) -> Settings:
    return Settings(redis=RedisSettings(url=SecretStr(own_redis.url)))


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


def limit(server: RedisServer, octets: int) -> None:
    with server.client() as client:
        client.config_set("maxmemory", octets)


def done(server: RedisServer) -> int:
    with server.client() as client:
        return int(client.llen("probe:ran"))


def put(queue: CeleryQueue, pool: str, number: int) -> None:
    if pool == "poll":
        queue.poll(number)
    else:
        queue.process([MessageRef(id=number, priority=Priority.NORMAL, size=10_000_000)])


@pytest.mark.parametrize("pool", ["poll", "mail", "deliver"])
def test_worker_outlives_a_full_redis(
    settings: Settings, queue: CeleryQueue, own_redis: RedisServer, tmp_path: Path, pool: str
) -> None:
    """O6."""

    def hold(*, on: bool) -> None:
        with own_redis.client() as client:
            client.set("probe:hold", "1") if on else client.delete("probe:hold")

    hold(on=True)
    with Daemon(worker_arguments(settings, worker_config(settings, pool)), own_redis, tmp_path) as worker:
        if pool == "deliver":
            queue.deliver([OutboxRef(id=1, lane="inbox", account="office")])
        else:
            for number in range(40):
                put(queue, pool, number)
        assert eventually(lambda: queue.depth()["unacked"] > 0 or done(own_redis) > 0), worker.log
        limit(own_redis, 1)
        with pytest.raises(QueueDownError):
            put(queue, "mail", 99)
        hold(on=False)  # tasks end and are acknowledged, and others are taken, while Redis takes nothing
        assert not eventually(lambda: not worker.alive, within=5), worker.log
        limit(own_redis, 0)

        if pool == "deliver":
            queue.deliver([OutboxRef(id=2, lane="inbox", account="office")])
            assert eventually(lambda: done(own_redis) >= 1, within=90), worker.log
        else:
            put(queue, pool, 100)
            assert eventually(lambda: queue.depth()[settings_queue(pool)] == 0, within=90), worker.log
        assert worker.alive, worker.log


def settings_queue(pool: str) -> str:
    return {"poll": "email-poll", "mail": "email"}[pool]
