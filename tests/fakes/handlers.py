"""Handlers and their tools in memory: they record what they are given and fail as they are told."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any

import redis

from concord.egress.guard import Resolver, system_addresses
from concord.errors import QueueDownError
from concord.handlers import HandlerTools
from concord.handlers.own_redis import HomeGuard
from concord.ports import Consignment, RedisMemory
from concord.settings import WebhookSettings

NOW = datetime(2026, 11, 2, 2, 0, tzinfo=UTC)


class MemoryHandler:
    """Keeps consignments. `failures` are raised first, one at each try."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.tries: list[Consignment] = []
        self.taken: list[Consignment] = []

    def deliver(self, consignment: Consignment) -> Mapping[str, object]:
        self.tries.append(consignment)
        if self.failures:
            raise self.failures.pop(0)
        self.taken.append(consignment)
        return {"place": len(self.taken)}


class MemoryStep:
    """A workflow step that keeps its calls and answers what it is told."""

    def __init__(self, output: Mapping[str, object] | None = None, *failures: Exception) -> None:
        self.output = output or {}
        self.failures = list(failures)
        self.calls: list[tuple[str, Mapping[str, Mapping[str, Any]]]] = []

    def run(
        self,
        event: Mapping[str, Any],
        outputs: Mapping[str, Mapping[str, Any]],
        options: Mapping[str, Any],
        *,
        key: str,
    ) -> Mapping[str, object]:
        del event, options
        self.calls.append((key, dict(outputs)))
        if self.failures:
            raise self.failures.pop(0)
        return self.output


class MemorySteps:
    """Finds steps by kind among those given."""

    def __init__(self, **steps: MemoryStep) -> None:
        self.steps = steps

    def get(self, kind: str) -> MemoryStep:
        return self.steps[kind]


@dataclass
class SentTasks:
    """Stands where the broker is."""

    sent: list[tuple[str, list[Any], str, str]] = field(default_factory=list)
    down: bool = False

    def __call__(self, name: str, args: Sequence[Any], *, queue: str, task_id: str) -> None:
        if self.down:
            raise QueueDownError("no_answer")
        self.sent.append((name, list(args), queue, task_id))


@dataclass
class SentElsewhere:
    """Stands where other applications' brokers are."""

    sent: list[tuple[str, str, str, list[Any], str, str]] = field(default_factory=list)

    def __call__(self, url: str, prefix: str, name: str, args: Sequence[Any], *, queue: str, task_id: str) -> None:
        self.sent.append((url, prefix, name, list(args), queue, task_id))


def public(host: str, port: int) -> Sequence[str]:
    """A name server without a network: numbers are themselves, this machine is itself, all else is far away."""
    del port
    if host == "localhost" or host.endswith(".internal"):
        return ["127.0.0.1"]
    with suppress(ValueError):
        return [str(ip_address(host))]
    return ["192.0.46.8"]


def no_redis() -> redis.Redis:
    raise AssertionError("this test has no Redis")


def make_tools(
    *,
    webhook: WebhookSettings | None = None,
    connect: Callable[[], redis.Redis] = no_redis,
    send_task: SentTasks | None = None,
    resolve: Resolver = system_addresses,
    clock: Callable[[], datetime] = lambda: NOW,
    **others: Any,
) -> HandlerTools:
    """Tools of which a test names those that matter to it. A sealed secret is its own text backwards."""
    usual: dict[str, Any] = {
        "memory": lambda: RedisMemory(used=1_000_000, limit=0),
        "send_elsewhere": SentElsewhere(),
        "broker_bytes": 256 * 1024 * 1024,
        "key_prefix": "concord:",
        "home": HomeGuard("concord:", lambda: None),
    }
    return HandlerTools(
        webhook=webhook or WebhookSettings(),
        redis=connect,
        send_task=send_task or SentTasks(),
        unseal=lambda sealed, _where: sealed.decode()[::-1],
        resolve=resolve,
        clock=clock,
        **(usual | others),
    )


def sealed(plain: str) -> bytes:
    """What `make_tools` unseals."""
    return plain[::-1].encode()


def make_event(**data: Any) -> dict[str, Any]:
    """An event document, small and complete enough for every handler."""
    told = {
        "account": "sales",
        "message_id": "<1@example.com>",
        "from": [{"name": "Alice", "address": "alice@example.com"}],
        "subject": "An order",
        "text": "Twelve, please.\n",
        "html": "<p>Twelve, please.</p>",
    }
    return {
        "specversion": "1.0",
        "id": "0b1c7a52-0d8e-5a4b-9d0b-6f2a3f1d9f10",
        "type": "concord.email.received",
        "source": "/accounts/sales",
        "subject": "INBOX/1/1",
        "time": "2026-11-02T02:00:00Z",
        "data": told | data,
    }


def make_consignment(event: Mapping[str, Any] | None = None, **changes: Any) -> Consignment:
    """An event on its way."""
    event = event or make_event()
    document = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
    given: dict[str, Any] = {"id": "5d8b0a51-consignment", "event": event, "document": document}
    return Consignment(**(given | changes))
