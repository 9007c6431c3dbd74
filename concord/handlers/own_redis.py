"""Concord's own Redis holds the queues, the schedule and the pulses: what a handler writes there must be none of them.

One stream under the name of Beat's lock, or one task under the name of a queue's list, would silence all mail.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import redis
from redis.exceptions import RedisError

from concord.errors import HandlerRefusedError, UsageError
from concord.handlers.tools import HandlerTools, OwnServer

# How names of Concord's own go on behind redis.key_prefix: what workers have in hand, bindings, the schedule, proofs.
_BEGINNINGS: Final = (
    *("unacked", "_kombu", "beat:", "celeryev", "celery@"),
    *("canary", "pulse", "worker", "once:", "begun:"),
)
_WHOLE: Final = ("email", "email-poll", "email-deliver", "sync", "tick")
_WITHIN: Final = "celery.pidbox"  # remote control of workers, behind a node's name
_STEP: Final = "\x06"  # kombu's, between a queue's name and its priority


def is_own_name(name: str) -> bool:
    """Whether Concord uses a key or queue of this name, without the prefix."""
    return name.startswith(_BEGINNINGS) or name.partition(_STEP)[0] in _WHOLE or _WITHIN in name


def refuse_own_queue(queue: str) -> None:
    """Raise UsageError for a queue on Concord's own broker, which puts the prefix in front of its name."""
    if is_own_name(queue):
        raise UsageError("queue_reserved", queue=queue)


def refuse_home(client: redis.Redis, keys: Iterable[str], tools: HandlerTools) -> None:
    """Raise HandlerRefusedError where an address leads to Concord's own Redis after all, and a key is Concord's.

    A server is known by the id that it gave itself: names and addresses may lead to it in many ways.
    """
    own = tools.own_server()
    if own is None or own != server_of(client):
        return
    for key in keys:
        if key.startswith(tools.key_prefix) and is_own_name(key.removeprefix(tools.key_prefix)):
            raise HandlerRefusedError("own_name", key=key)


def server_of(client: redis.Redis) -> OwnServer | None:
    """The server's own id and the database; None where it does not say."""
    try:
        told: Any = client.info("server")
    except RedisError:
        return None
    database = int(client.connection_pool.connection_kwargs.get("db") or 0)
    return OwnServer(run_id=str(told.get("run_id", "")), database=database)
