"""Telling workers that work waits, through Celery and Redis."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import islice
from typing import Any, cast

import redis
from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from concord.adapters.queued_once import QueuedOnce, Ticket
from concord.adapters.redis import connect, impatient, translated
from concord.adapters.task_names import (
    ADVANCE_WORKFLOW,
    BACKFILL_EMAIL_ACCOUNT,
    BEHIND,
    DELIVER,
    DELIVER_QUEUE,
    DELIVERY_CHUNK,
    LEVEL,
    MAIL_QUEUE,
    POLL_EMAIL_ACCOUNT,
    POLL_QUEUE,
    PRIORITY_STEPS,
    PROCESS_EMAIL,
    QUEUES,
    RECONCILE_ACCOUNT,
    URGENT,
    step_key,
)
from concord.errors import QueueDownError
from concord.model.account import Priority
from concord.model.delivery import OutboxRef
from concord.model.message import MessageRef
from concord.ports import RedisMemory
from concord.settings import Settings

_STEPS = {Priority.HIGH: URGENT, Priority.NORMAL: LEVEL, Priority.LOW: BEHIND}
_BIG_SHARE = 4  # a message over a quarter of a chunk's bytes travels alone


class CeleryQueue:
    """Keeps `ports.Queue`. A call ends within the time-outs, sent or with QueueDownError."""

    def __init__(self, app: Celery, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    def poll(self, account_id: int, *, forced: bool = False) -> None:
        # Polls never pile up: one of an account waits, without expiry, however late it is. P1 once asked for an expiry,
        # which one host's clock makes and another's judges. What a person waits for goes first.
        args, step = ([account_id, True], URGENT) if forced else ([account_id], LEVEL)
        self._send_once(POLL_EMAIL_ACCOUNT, args, POLL_QUEUE, step)

    def backfill(self, account_id: int) -> None:
        self._send_once(BACKFILL_EMAIL_ACCOUNT, [account_id], POLL_QUEUE, BEHIND)

    def reconcile(self, account_id: int) -> None:
        self._send_once(RECONCILE_ACCOUNT, [account_id], POLL_QUEUE, BEHIND)

    def process(self, messages: Iterable[MessageRef]) -> None:
        limits = self._settings.process
        for step, ids in chunks(messages, limits.chunk_messages, limits.chunk_bytes):
            self._send(PROCESS_EMAIL, [ids], MAIL_QUEUE, step)

    def deliver(self, deliveries: Iterable[OutboxRef]) -> None:
        for step, ids in outbox_chunks(deliveries):
            self._send(DELIVER, [ids], DELIVER_QUEUE, step)

    def advance(self, runs: Iterable[OutboxRef]) -> None:
        for step, ids in outbox_chunks(runs):
            self._send(ADVANCE_WORKFLOW, [ids], DELIVER_QUEUE, step)

    def depth(self) -> dict[str, int]:
        """Messages waiting, by queue; `unacked` are those in a worker's hands, of all queues together."""
        prefix = self._settings.redis.key_prefix
        queues = QUEUES
        with translated(), self._client.pipeline(transaction=False) as pipe:
            for queue in queues:
                for step in PRIORITY_STEPS:
                    pipe.llen(prefix + step_key(queue, step))
            pipe.hlen(f"{prefix}unacked")
            *lengths, unacked = pipe.execute()
        width = len(PRIORITY_STEPS)
        waiting = {queue: sum(lengths[at * width : (at + 1) * width]) for at, queue in enumerate(queues)}
        return {**waiting, "unacked": unacked}

    def memory(self) -> RedisMemory:
        """What Redis uses and may use."""
        with translated():
            told = cast("dict[str, int]", self._client.info("memory"))
        return RedisMemory(used=told["used_memory"], limit=told["maxmemory"])

    def send_task(
        self,
        name: str,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        queue: str | None = None,
        **options: Any,
    ) -> str:
        """Send somebody else's task by name; its id. Raises QueueDownError."""
        return self._send(name, list(args), queue, LEVEL, kwargs=dict(kwargs or {}), **options)

    def _send_once(self, name: str, args: list[Any], queue: str, step: int) -> None:
        """Send it, unless one like it waits already."""
        ticket = Ticket.of(name, args, queue=queue, step=step)
        assert ticket is not None  # noqa: S101 - the tasks sent from here are all among SINGLE
        with translated():
            if not self._once.mark([ticket]):
                return
        try:
            self._send(name, args, queue, step)
        except QueueDownError:
            with contextlib.suppress(RedisError, OSError):
                self._once.begin(ticket)
            raise

    def _send(self, name: str, args: list[Any], queue: str | None, step: int, **options: Any) -> str:
        if queue:
            options["queue"] = queue
        try:
            sent = self._app.send_task(name, args=args, priority=step, retry=False, ignore_result=True, **options)
        # kombu tells a lost connection and a server that says no as OperationalError, but not on every path.
        except (OperationalError, RedisError, OSError) as error:
            raise QueueDownError("no_answer", task=name, cause=error) from error
        return str(sent.id)

    @cached_property
    def _once(self) -> QueuedOnce:
        return QueuedOnce(self._client, self._settings)

    @cached_property
    def _client(self) -> redis.Redis:
        """For looking and marking: what is sent goes through Celery's own."""
        return connect(impatient(self._settings.redis))


def chunks(messages: Iterable[MessageRef], most: int, most_bytes: int) -> Iterator[tuple[int, list[int]]]:
    """Cut messages into tasks: (priority step, ids), the urgent first. Urgent, big and suspect ones travel alone."""
    by_priority: dict[Priority, list[MessageRef]] = {priority: [] for priority in Priority}
    for message in messages:
        by_priority[message.priority].append(message)
    for priority, waiting in by_priority.items():
        alone_over = 0 if priority is Priority.HIGH else most_bytes // _BIG_SHARE
        for ids in _packed(waiting, most, most_bytes, alone_over):
            yield _STEPS[priority], ids


def outbox_chunks(refs: Iterable[OutboxRef]) -> Iterator[tuple[int, list[int]]]:
    """Cut deliveries or runs into tasks: (priority step, ids), the urgent first. Each task is of one lane.

    A slow handler then holds up no other handler's deliveries. A suspect one travels alone.
    """
    lanes: dict[tuple[Priority, str], list[OutboxRef]] = {}
    for ref in refs:
        lanes.setdefault((ref.priority, ref.lane), []).append(ref)
    for priority, step in _STEPS.items():
        for (of, _), waiting in lanes.items():
            if of is not priority:
                continue
            together = iter([ref.id for ref in waiting if not ref.suspect])
            while chunk := list(islice(together, DELIVERY_CHUNK)):
                yield step, chunk
            yield from ((step, [ref.id]) for ref in waiting if ref.suspect)


def _packed(messages: Iterable[MessageRef], most: int, most_bytes: int, alone_over: int) -> Iterator[list[int]]:
    packed: list[int] = []
    size = 0
    for message in messages:
        if alone_over == 0 or message.suspect or message.size > alone_over:
            yield [message.id]
            continue
        if packed and (len(packed) == most or size + message.size > most_bytes):
            yield packed
            packed, size = [], 0
        packed.append(message.id)
        size += message.size
    if packed:
        yield packed
