"""What handlers may use of the process they run in."""

from __future__ import annotations

import math
import ssl
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any, Protocol

import redis

from concord.egress.guard import Resolver, system_addresses
from concord.handlers.own_redis import HomeGuard
from concord.handlers.slots import HostSlots
from concord.model.binding import Binding
from concord.ports import Clock, RedisMemory
from concord.settings import WebhookSettings


class SendTask(Protocol):
    """Puts a task on a queue of the broker."""

    def __call__(self, name: str, args: Sequence[Any], *, queue: str, task_id: str) -> object:
        """Raises QueueDownError."""
        ...


class SendElsewhere(Protocol):
    """Puts a task on a queue of another application's broker."""

    def __call__(self, url: str, prefix: str, name: str, args: Sequence[Any], *, queue: str, task_id: str) -> object:
        """Raises HandlerError, which never shows the URL."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One call to a receiver, as whoever tries a handler may see it; header values and URL are left out."""

    host: str
    octets: int  # sent
    sent: tuple[str, ...]  # names of the headers
    status: int
    headers: Mapping[str, str] = field(repr=False)  # the answer's, names in lower case
    body: bytes = field(repr=False)  # the answer's
    whole: bool  # False where the body was longer, or broke off
    seconds: float


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
    unseal: Callable[[bytes, Binding], str]
    memory: Callable[[], RedisMemory]  # of Concord's own Redis
    send_elsewhere: SendElsewhere
    broker_bytes: int
    key_prefix: str  # of Concord's own keys
    home: HomeGuard
    clock: Clock = lambda: datetime.now(UTC)
    resolve: Resolver = system_addresses
    tls: Callable[[], ssl.SSLContext] = trusted_authorities
    slots: HostSlots = field(default_factory=HostSlots)
    observe: Callable[[Exchange], object] = lambda _exchange: None
    patience: float = math.inf  # seconds; no call takes longer, whatever its own time-out says
