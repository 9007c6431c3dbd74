"""Concord's own Redis holds the queues, the schedule and the pulses: what a handler writes there must be none of them.

One stream under the name of Beat's lock, or one task under the name of a queue's list, would silence all mail.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

import redis
from redis.exceptions import ResponseError

from concord.errors import HandlerRefusedError, UsageError

# How names of Concord's own go on behind redis.key_prefix: what workers have in hand, bindings, the schedule, proofs.
_BEGINNINGS: Final = (
    *("unacked", "_kombu", "beat:", "celeryev", "celery@"),
    *("canary", "pulse", "worker", "once:", "begun:"),
)
_WHOLE: Final = ("email", "email-poll", "email-deliver", "sync", "tick")
_WITHIN: Final = "celery.pidbox"  # remote control of workers, behind a node's name
_STEP: Final = "\x06"  # kombu's, between a queue's name and its priority
_CHECK_EVERY: Final = 60.0
_MOST_CLEARED: Final = 1000


def is_own_name(name: str) -> bool:
    """Whether Concord uses a key or queue of this name, without the prefix."""
    return name.startswith(_BEGINNINGS) or name.partition(_STEP)[0] in _WHOLE or _WITHIN in name


def refuse_own_queue(queue: str) -> None:
    """Raise UsageError for a queue on Concord's own broker, which puts the prefix in front of its name."""
    if is_own_name(queue):
        raise UsageError("queue_reserved", queue=queue)


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnServer:
    """Identifies a Redis: the id that the server gave itself, and the database."""

    run_id: str
    database: int


class HomeGuard:
    """Refuses Concord's own keys at an address that leads to Concord's own Redis after all.

    A server is known by the id that it gave itself: many names and addresses may lead to it.
    """

    def __init__(self, prefix: str, own: Callable[[], OwnServer | None]) -> None:
        self._prefix = prefix
        self._own = own
        self._cleared: dict[tuple[Hashable, str], float] = {}  # when each key was found to be harmless at a place

    def refuse(self, key: str, place: Hashable, client: redis.Redis) -> None:
        """Raise HandlerRefusedError for an own key there; RedisError where that server does not answer.

        Raises QueueDownError where Concord's own Redis does not answer: unchecked, nothing is sent.
        """
        if not key.startswith(self._prefix) or not is_own_name(key.removeprefix(self._prefix)):
            return
        if monotonic() - self._cleared.get((place, key), -_CHECK_EVERY) < _CHECK_EVERY:
            return
        own = self._own()
        if own is not None and own == server_of(client):
            raise HandlerRefusedError("own_name", key=key)
        if len(self._cleared) >= _MOST_CLEARED:
            self._cleared.clear()
        self._cleared[place, key] = monotonic()


def server_of(client: redis.Redis) -> OwnServer | None:
    """The server's own id and the database; None where its access list keeps that back. Raises RedisError."""
    try:
        told: Any = client.info("server")
    except ResponseError:
        return None
    database = int(client.connection_pool.connection_kwargs.get("db") or 0)
    return OwnServer(run_id=str(told.get("run_id", "")), database=database)
