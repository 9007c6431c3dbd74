"""The handler that starts another application's Celery task by name, with the event document as its only argument.

With a `url` the other application's broker is there, with `key_prefix` if it has one. Without, its worker listens on
Concord's own, with Concord's key prefix, on a queue of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from pydantic import Field, field_validator
from redis.exceptions import RedisError

from concord.errors import HandlerError
from concord.handlers.address import Address, address_of, checked, client_of, parse_public_address
from concord.handlers.body import fit
from concord.handlers.crowding import refuse_crowded
from concord.handlers.options import Options
from concord.handlers.own_redis import refuse_own_queue
from concord.handlers.tools import HandlerTools
from concord.ports import Consignment

_OUR_QUEUES: Final = ("email", "email-poll", "email-deliver")


class CeleryOptions(Options):
    """Which task, on which queue, of which broker."""

    url: str | None = None
    key_prefix: str = Field(default="", max_length=255)
    task: str = Field(min_length=1, max_length=255)
    queue: str = Field(min_length=1, max_length=255)
    # The broker keeps messages in memory, and a full Redis stops all work.
    max_bytes: Annotated[int, Field(ge=1024)] = 1024 * 1024

    @field_validator("url")
    @classmethod
    def _address(cls, url: str | None) -> str | None:
        if url is not None:
            parse_public_address(url)
        return url

    @field_validator("queue")
    @classmethod
    def _not_ours(cls, queue: str) -> str:
        if not queue.isprintable():
            # What separates a queue's name from its priority step is such a character.
            raise ValueError("it has a character that cannot be seen")
        if queue in _OUR_QUEUES or queue.startswith(("celery@", "canary")):
            raise ValueError("this queue is Concord's own, and its workers do not know the task")
        return queue


def send(options: CeleryOptions, address: Address | None, tools: HandlerTools, args: list[Any], task_id: str) -> None:
    """Start the task, wherever it is to go."""
    if address is None:
        refuse_own_queue(options.queue)
        refuse_crowded(tools)
        tools.send_task(options.task, args, queue=options.queue, task_id=task_id)
        return
    there = checked(address, tools)
    try:
        with client_of(there, tools) as client:
            tools.home.refuse(f"{options.key_prefix}{options.queue}", there, client)
    except RedisError as error:
        raise HandlerError("no_answer", host=there.host, queue=options.queue, cause=type(error).__name__) from error
    tools.send_elsewhere(there.url, options.key_prefix, options.task, args, queue=options.queue, task_id=task_id)


class CeleryHandler:
    """Sends the task. Its id is the delivery's, so that the other side can tell a repetition."""

    def __init__(self, options: CeleryOptions, tools: HandlerTools, secret: str | None = None) -> None:
        self._options = options
        self._tools = tools
        self._address = address_of(options.url, secret)
        if self._address is None:
            refuse_own_queue(options.queue)

    def deliver(self, consignment: Consignment) -> Mapping[str, object]:
        options = self._options
        load = fit(consignment.event, consignment.document, options.max_bytes)
        send(options, self._address, self._tools, [load.event], consignment.id)
        return {"task": options.task, "queue": options.queue, "task_id": consignment.id}
