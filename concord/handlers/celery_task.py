"""The handler that starts another application's Celery task by name, with the event document as its only argument.

The other application's worker listens on the same broker, with the same key prefix, on a queue of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import Field, field_validator

from concord.handlers.body import fit
from concord.handlers.options import Options
from concord.handlers.tools import SendTask
from concord.ports import Consignment

_OUR_QUEUES: Final = ("email", "email-poll", "email-deliver")


class CeleryOptions(Options):
    """Which task, on which queue."""

    task: str = Field(min_length=1, max_length=255)
    queue: str = Field(min_length=1, max_length=255)
    # The broker keeps messages in memory, and a full Redis stops all work.
    max_bytes: Annotated[int, Field(ge=1024)] = 1024 * 1024

    @field_validator("queue")
    @classmethod
    def _not_ours(cls, queue: str) -> str:
        if queue in _OUR_QUEUES:
            raise ValueError("this queue is Concord's own, and its workers do not know the task")
        return queue


class CeleryHandler:
    """Sends the task. Its id is the delivery's, so that the other side can tell a repetition."""

    def __init__(self, options: CeleryOptions, send_task: SendTask) -> None:
        self._options = options
        self._send_task = send_task

    def deliver(self, consignment: Consignment) -> Mapping[str, object]:
        options = self._options
        load = fit(consignment.event, consignment.document, options.max_bytes)
        self._send_task(options.task, [load.event], queue=options.queue, task_id=consignment.id)
        return {"task": options.task, "queue": options.queue, "task_id": consignment.id}
