"""A worker that is asked for Concord's two older queues reads the third, too: `worker -Q email-poll,email` (W8).

Deliveries had no queue of their own once, and people have that command in scripts and containers. Without this their
mail would become events that nobody delivers. A worker of one queue alone gets what it was asked for.
"""

from __future__ import annotations

from typing import Any, Final

import structlog
from celery import signals
from kombu.entity import Exchange, Queue

from concord.adapters.task_names import DELIVER_QUEUE, MAIL_QUEUE, POLL_QUEUE

log = structlog.get_logger(__name__)

_UID: Final = "concord.queue_choice"


def connect_queue_choice() -> None:
    """Have every worker of this process complete its choice of queues."""
    signals.celeryd_after_setup.disconnect(dispatch_uid=_UID)
    signals.celeryd_after_setup.connect(_complete, weak=False, dispatch_uid=_UID)


def make_queue(name: str) -> Queue:
    """One of Concord's queues, with an exchange of its own."""
    exchange = Exchange(name, type="direct")  # type: ignore[no-untyped-call]  # kombu is typed in part
    return Queue(name, exchange=exchange, routing_key=name)  # type: ignore[no-untyped-call]  # as above


def _complete(instance: Any, **_: object) -> None:
    queues = instance.app.amqp.queues
    chosen = set(queues.consume_from)
    if {POLL_QUEUE, MAIL_QUEUE} <= chosen and DELIVER_QUEUE not in chosen:
        queues.select_add(make_queue(DELIVER_QUEUE))
        log.info("worker.queue_added", queue=DELIVER_QUEUE, why="it reads the two others, so it does the whole work")
