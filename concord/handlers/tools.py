"""What handlers may use of the process they run in."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any, Protocol

import redis

from concord.egress.guard import Resolver, system_addresses
from concord.handlers.slots import HostSlots
from concord.ports import Clock
from concord.settings import WebhookSettings


class SendTask(Protocol):
    """Puts a task on a queue of the broker."""

    def __call__(self, name: str, args: Sequence[Any], *, queue: str, task_id: str) -> object:
        """Raises QueueDownError."""
        ...


@cache
def trusted_authorities() -> ssl.SSLContext:
    """The machine's own, made once: reading them takes 20 ms."""
    return ssl.create_default_context()


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerTools:
    """One per process: the limits in `slots` hold for all handlers that share it."""

    webhook: WebhookSettings
    redis: Callable[[], redis.Redis]
    send_task: SendTask
    unseal: Callable[[bytes], str]
    clock: Clock = lambda: datetime.now(UTC)
    resolve: Resolver = system_addresses
    tls: Callable[[], ssl.SSLContext] = trusted_authorities
    slots: HostSlots = field(default_factory=HostSlots)
