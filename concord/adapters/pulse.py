"""Proof that daemons work, through Redis: what workers say of themselves, Beat's last tick, and canaries on a queue.

A worker's pulse is a hash that lapses; a sorted set of the nodes, by when they last spoke, saves scanning for them.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Final, cast
from uuid import uuid4

import redis
from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from concord.adapters.redis import connect, impatient, translated
from concord.adapters.task_names import CANARY, URGENT
from concord.errors import QueueDownError
from concord.model.worker import WorkerLimits
from concord.ports import WorkerPulse
from concord.settings import RedisSettings

PULSE_SECONDS: Final = 120
ANSWER_SECONDS: Final = 120
CANARY_SECONDS: Final = 60
FORGOTTEN_SECONDS: Final = 86_400


def canary_queue_name(node: str) -> str:
    """The queue that only this worker reads."""
    return f"canary.{node}"


class RedisPulse:
    """Keeps `ports.Pulse`."""

    def __init__(self, app: Celery, settings: RedisSettings) -> None:
        self._app = app
        self._prefix = settings.key_prefix
        self._client = connect(impatient(settings))

    def workers(self) -> list[WorkerPulse]:
        with translated():
            since = self._app.seconds() - PULSE_SECONDS
            nodes = cast("list[str]", self._client.zrangebyscore(f"{self._prefix}workers", since, "+inf"))
            with self._client.pipeline(transaction=False) as pipe:
                for node in nodes:
                    pipe.hgetall(f"{self._prefix}worker:{node}")
                found = pipe.execute()
        return [_pulse(node, facts) for node, facts in zip(nodes, found, strict=True) if facts]

    def last_tick(self) -> datetime | None:
        with translated():
            told = cast("str | None", self._client.get(f"{self._prefix}beat:tick"))
        return _moment(told)

    def last_send(self) -> datetime | None:
        with translated():
            told = cast("str | None", self._client.get(f"{self._prefix}beat:sent"))
        return _moment(told)

    def send_canary(self, queue: str) -> str:
        token = uuid4().hex
        # Without expiry: this host's clock would make it, and another's would judge it. The answer lapses in Redis.
        try:
            self._app.send_task(CANARY, args=[token], queue=queue, ignore_result=True, priority=URGENT, retry=False)
        except (OperationalError, RedisError, OSError) as error:
            raise QueueDownError("no_answer", queue=queue, cause=error) from error
        return token

    def returned(self, token: str) -> str | None:
        with translated():
            return cast("str | None", self._client.get(_answer_key(self._prefix, token)))


def answer(client: redis.Redis, prefix: str, token: str, node: str) -> None:
    """A canary came back: say from where."""
    client.set(_answer_key(prefix, token), node, ex=ANSWER_SECONDS)


def write_pulse(client: redis.Redis, prefix: str, node: str, now: float, facts: dict[Any, Any]) -> None:
    """What a worker says of itself now: started_at, tasks, memory (octets), consumed_at, and what `limits_told` makes.

    Times: seconds since 1970, by the cluster's clock.
    """
    with client.pipeline(transaction=False) as pipe:
        pipe.hset(f"{prefix}worker:{node}", mapping={**facts, "at": now})
        pipe.expire(f"{prefix}worker:{node}", PULSE_SECONDS)
        pipe.zadd(f"{prefix}workers", {node: now})
        pipe.zrangebyscore(f"{prefix}workers", "-inf", now - FORGOTTEN_SECONDS)
        *_, gone = pipe.execute()
    if gone:
        _forget(client, prefix, cast("list[str]", gone))


def _forget(client: redis.Redis, prefix: str, nodes: list[str]) -> None:
    """Hosts come and go: what Redis gave back of a dead worker's canaries, long after it, goes too."""
    with client.pipeline(transaction=False) as pipe:
        for node in nodes:
            pipe.delete(f"{prefix}{canary_queue_name(node)}")
        pipe.zrem(f"{prefix}workers", *nodes)
        pipe.execute()


def _pulse(node: str, facts: dict[str, str]) -> WorkerPulse:
    at = _moment(facts["at"])
    started = _moment(facts["started_at"])
    assert at is not None  # noqa: S101 - write_pulse always says both
    assert started is not None  # noqa: S101 - as above
    return WorkerPulse(
        instance=node.partition("@")[0],
        node=node,
        at=at,
        started_at=started,
        tasks=int(facts["tasks"]),
        memory=int(facts["memory"]),
        consumed_at=_moment(facts["consumed_at"]),
        limits=_limits(facts.get("limits", "")),
    )


def limits_told(limits: WorkerLimits | None) -> dict[str, str]:
    """What a worker runs with, as one more fact of `write_pulse`."""
    return {"limits": json.dumps(asdict(limits))} if limits else {}


def _limits(told: str) -> WorkerLimits | None:
    return WorkerLimits(**json.loads(told)) if told else None


def _moment(told: str | None) -> datetime | None:
    return datetime.fromtimestamp(float(told), UTC) if told else None


def _answer_key(prefix: str, token: str) -> str:
    return f"{prefix}canary:{token}"
