"""The daemons' pulse: one contract, kept by Redis and by the twin in memory."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Protocol

import pytest
from celery import Celery
from kombu import pools
from pydantic import SecretStr

from concord.adapters.celery import make_app
from concord.adapters.pulse import FORGOTTEN_SECONDS, PULSE_SECONDS, RedisPulse, answer, limits_told, write_pulse
from concord.adapters.redis import connect
from concord.adapters.task_names import CANARY, MAIL_QUEUE, POLL_QUEUE
from concord.errors import QueueDownError
from concord.model.worker import WorkerLimits
from concord.ports import Pulse, WorkerPulse
from concord.settings import RedisSettings, Settings
from tests.fakes.pulse import MemoryPulse
from tests.servers.redis import RedisServer

NOW = datetime.now(UTC).replace(microsecond=0)
SPOKEN = WorkerPulse(
    instance="poll",
    node="poll@here",
    at=NOW,
    started_at=NOW - timedelta(hours=1),
    tasks=1234,
    memory=80_000_000,
    consumed_at=NOW - timedelta(seconds=3),
    limits=WorkerLimits(concurrency=32, prefetch=1, max_tasks_per_child=200_000, max_memory_per_child=None),
)
PREFIX = "concord:"


class World(Protocol):
    """A pulse, and the daemons whose it is."""

    @property
    def pulse(self) -> Pulse: ...
    def speak(self, pulse: WorkerPulse) -> None: ...
    def tick(self, at: datetime) -> None: ...
    def send(self, at: datetime) -> None: ...
    def run_canaries(self, queue: str, node: str) -> None: ...
    def stop(self) -> None: ...


class InMemory:
    def __init__(self) -> None:
        self.pulse = MemoryPulse()

    def speak(self, pulse: WorkerPulse) -> None:
        self.pulse.speak(pulse)

    def run_canaries(self, queue: str, node: str) -> None:
        self.pulse.consume(queue, node)

    def tick(self, at: datetime) -> None:
        self.pulse.ticked_at = at

    def send(self, at: datetime) -> None:
        self.pulse.sent_at = at

    def stop(self) -> None:
        self.pulse.down = True


class InRedis:
    def __init__(self, app: Celery, settings: RedisSettings, server: RedisServer) -> None:
        self.pulse = RedisPulse(app, settings)
        self._server = server
        self._client = connect(settings)

    def speak(self, pulse: WorkerPulse) -> None:
        facts: dict[str, float | str] = {
            "started_at": pulse.started_at.timestamp(),
            "tasks": pulse.tasks,
            "memory": pulse.memory,
            "consumed_at": pulse.consumed_at.timestamp() if pulse.consumed_at else "",
            **limits_told(pulse.limits),
        }
        write_pulse(self._client, PREFIX, pulse.node, time.time(), facts)

    def tick(self, at: datetime) -> None:
        self._client.set(f"{PREFIX}beat:tick", repr(at.timestamp()))

    def send(self, at: datetime) -> None:
        self._client.set(f"{PREFIX}beat:sent", repr(at.timestamp()))

    def run_canaries(self, queue: str, node: str) -> None:
        """As a worker's canary task does."""
        while message := self._client.rpop(f"{PREFIX}{queue}"):
            headers = json.loads(str(message))["headers"]
            answer(self._client, PREFIX, json.loads(headers["argsrepr"].replace("'", '"'))[0], node)

    def stop(self) -> None:
        self._server.stop()


@pytest.fixture
def app(own_redis: RedisServer) -> Iterator[Celery]:
    made = make_app(Settings(redis=quick(own_redis)))
    yield made
    pools.reset()  # type: ignore[no-untyped-call]  # kombu is typed in part; its pools are the process's
    made.close()
    made.redbeat_redis.close()


@pytest.fixture(params=["memory", "redis"])
def world(request: pytest.FixtureRequest, app: Celery, own_redis: RedisServer) -> World:
    return InMemory() if request.param == "memory" else InRedis(app, quick(own_redis), own_redis)


@pytest.fixture
def real(app: Celery, own_redis: RedisServer) -> InRedis:
    return InRedis(app, quick(own_redis), own_redis)


def quick(server: RedisServer) -> RedisSettings:
    return RedisSettings(url=SecretStr(server.url), socket_timeout=1, connect_timeout=1)


# The contract.


def test_nobody_spoke_yet(world: World) -> None:
    assert world.pulse.workers() == []
    assert world.pulse.last_tick() is None
    assert world.pulse.last_send() is None


@pytest.mark.parametrize(
    "spoken", [SPOKEN, replace(SPOKEN, instance="mail", node="mail@there", consumed_at=None, limits=None)]
)
def test_what_a_worker_says_is_read_as_said(world: World, spoken: WorkerPulse) -> None:
    """D1."""
    # The collection of the whole suite may be minutes ago.
    spoken = replace(spoken, at=datetime.now(UTC))
    world.speak(spoken)

    (read,) = world.pulse.workers()
    assert replace(read, at=spoken.at) == spoken
    assert abs(read.at - spoken.at) < timedelta(minutes=1)


def test_worker_that_speaks_again_is_one_worker(world: World) -> None:
    world.speak(SPOKEN)
    world.speak(replace(SPOKEN, tasks=1235))

    assert [worker.tasks for worker in world.pulse.workers()] == [1235]


def test_last_tick_is_when_beat_left_it(world: World) -> None:
    """O1."""
    world.tick(NOW)

    assert world.pulse.last_tick() == NOW


def test_last_send_is_when_beat_left_it(world: World) -> None:
    world.send(NOW)

    assert world.pulse.last_send() == NOW


def test_canary_returns_from_where_it_ran(world: World) -> None:
    """M4."""
    mail, poll = world.pulse.send_canary(MAIL_QUEUE), world.pulse.send_canary(POLL_QUEUE)
    world.run_canaries(MAIL_QUEUE, "mail@here")

    assert world.pulse.returned(mail) == "mail@here"
    assert world.pulse.returned(poll) is None


def test_unknown_token_has_not_returned(world: World) -> None:
    assert world.pulse.returned("nobody's") is None


@pytest.mark.parametrize(
    "ask",
    [
        lambda pulse: pulse.workers(),
        lambda pulse: pulse.last_tick(),
        lambda pulse: pulse.last_send(),
        lambda pulse: pulse.send_canary(MAIL_QUEUE),
        lambda pulse: pulse.returned("some"),
    ],
)
def test_stopped_redis_is_told(world: World, ask: Callable[[Pulse], object]) -> None:
    """O6."""
    with suppress(QueueDownError):
        world.pulse.workers()
    world.stop()

    with pytest.raises(QueueDownError):
        ask(world.pulse)


# Redis only.


def test_canary_goes_before_all_mail_whatever_the_workers_clock_says(real: InRedis, own_redis: RedisServer) -> None:
    """M4: first in its queue, whatever waits; an expiry would hang on the clocks of two hosts."""
    real.pulse.send_canary(MAIL_QUEUE)

    with own_redis.client() as client:
        (raw,) = client.lrange(f"{PREFIX}{MAIL_QUEUE}", 0, -1)
    message = json.loads(raw)
    assert message["headers"]["task"] == CANARY
    assert message["headers"]["expires"] is None


def test_pulse_and_answer_lapse_by_themselves(real: InRedis, own_redis: RedisServer) -> None:
    """Trap 33."""
    real.speak(SPOKEN)
    with own_redis.client() as client:
        answer(client, PREFIX, "token", "mail@here")

        assert 0 < client.ttl(f"{PREFIX}worker:poll@here") <= PULSE_SECONDS
        assert 0 < client.ttl(f"{PREFIX}canary:token") <= PULSE_SECONDS


def test_worker_long_silent_is_not_listed(real: InRedis, own_redis: RedisServer) -> None:
    real.speak(SPOKEN)
    with own_redis.client() as client:
        client.zadd(f"{PREFIX}workers", {"poll@here": time.time() - PULSE_SECONDS - 1})

    assert real.pulse.workers() == []


def test_worker_of_a_host_that_went_is_forgotten_altogether(real: InRedis, own_redis: RedisServer) -> None:
    """Trap 33: its canaries too, which Redis may have given back long after it died."""
    with own_redis.client() as client:
        client.zadd(f"{PREFIX}workers", {"mail@gone": time.time() - FORGOTTEN_SECONDS - 1})
        client.lpush(f"{PREFIX}canary.mail@gone", "a canary")
        real.speak(SPOKEN)

        assert client.zrange(f"{PREFIX}workers", 0, -1) == ["poll@here"]
        assert client.exists(f"{PREFIX}canary.mail@gone") == 0
