"""Running a message again from the archive: to all handlers the rules name now, or to given ones (P18).

The event keeps its id; what it says is read anew, so that a mended parser or rule shows. A workflow runs once per
event and is not started again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from concord.model.message import Message, MessageState
from concord.pipeline.reading import Book, Reading, read
from concord.ports import Accounts, Archive, Ledger, Outbox, Queue, Rulebook

log = structlog.get_logger(__name__)

# A message that a rule skipped has its event too; it is told to nobody until somebody replays it.
_ENDED_WELL: Final = (MessageState.PROCESSED, MessageState.SKIPPED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayed:
    """What running one message again did, or would do."""

    message: Message
    handlers: tuple[str, ...]
    matched: tuple[str, ...]
    deliveries: tuple[int, ...] = ()  # empty in a dry run, and where the message went back to be processed
    reprocessed: bool = False  # it had no event yet: it waits to be processed like new mail


@dataclass(frozen=True, slots=True, kw_only=True)
class Replayer:
    """Runs messages again."""

    ledger: Ledger
    outbox: Outbox
    archive: Archive
    accounts: Accounts
    rulebook: Rulebook
    queue: Queue
    default_handlers: tuple[str, ...]

    def preview(self, message: Message, handlers: Sequence[str] = (), *, book: Book | None = None) -> Replayed:
        """The dry run: what the present rules would do. Changes nothing."""
        reading = self.reading(message, book)
        return Replayed(
            message=message,
            handlers=tuple(handlers) or reading.decision.handlers,
            matched=reading.decision.matched,
        )

    def replay(self, message: Message, handlers: Sequence[str] = (), *, book: Book | None = None) -> Replayed:
        """A new round of deliveries; or, for a message without an event, back to be processed."""
        event = self.outbox.event_of(message.id)
        if event is None or message.state not in _ENDED_WELL:
            self.queue.process(self.ledger.retry([message.id]))
            return Replayed(message=message, handlers=(), matched=(), reprocessed=True)
        reading = self.reading(message, book)
        self.archive.put(reading.blobs)
        wanted = tuple(handlers) or reading.decision.handlers
        deliveries = self.outbox.replay(event.id, wanted, archive_key=reading.document_key)
        self.queue.deliver(self.outbox.waiting_deliveries(deliveries))
        log.info("message.replayed", message=message.id, handlers=wanted)
        return Replayed(
            message=message, handlers=wanted, matched=reading.decision.matched, deliveries=tuple(deliveries)
        )

    def reading(self, message: Message, book: Book | None = None) -> Reading:
        """The message as the present rules and parser see it."""
        return read(message, self.archive, book or self.book())

    def book(self) -> Book:
        """The present rules, for many messages that are to be judged alike."""
        return Book.open(self.rulebook, self.accounts, default_handlers=self.default_handlers)
