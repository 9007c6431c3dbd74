"""Reading one archived message: parsed, judged by the rules, made into an event. Writes nothing itself.

First run, retry, replay and dry run all read here: the same bytes, the same way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from concord import mime
from concord.errors import ArchiveMissingError
from concord.model.account import Account, Priority
from concord.model.event import UnifiedEvent
from concord.model.mail import Attachment, ParsedMail
from concord.model.message import Message
from concord.model.rule import Decision, Rule, WorkflowSpec
from concord.pipeline import event as events
from concord.pipeline.rules import decide, subject_of
from concord.ports import Accounts, Archive, Blob, Rulebook


@dataclass(frozen=True, slots=True, kw_only=True)
class Book:
    """Rules and accounts as they stood when a chunk began: every message of it is judged alike."""

    rules: Sequence[Rule]
    workflows: Mapping[str, WorkflowSpec]
    accounts: Mapping[int, Account]
    default_handlers: tuple[str, ...]

    @classmethod
    def open(cls, rulebook: Rulebook, accounts: Accounts, *, default_handlers: tuple[str, ...]) -> Book:
        """Read them, once for a chunk."""
        return cls(
            rules=rulebook.rules(),
            workflows={workflow.name: workflow for workflow in rulebook.workflows() if workflow.enabled},
            accounts={account.id: account for account in accounts.all()},
            default_handlers=default_handlers,
        )

    def decide(self, message: Message, mail: ParsedMail) -> Decision:
        """Ask the rules."""
        account = self.accounts.get(message.account_id)
        base = account.priority if account else Priority.NORMAL
        return decide(self.rules, subject_of(message, mail), default_handlers=self.default_handlers, base=base)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What a message is and what should happen to it."""

    message: Message
    mail: ParsedMail
    decision: Decision
    event: UnifiedEvent
    document_key: str  # of the event's document in the archive
    blobs: tuple[Blob, ...]  # attachments and document: durable before anybody is told


Enter = Callable[[str | None], None]
"""Takes note which code works on a mail's content now (`parse`, `rule`); None: it has been left."""


def _ignore(_stage: str | None) -> None: ...


def read(message: Message, archive: Archive, book: Book, enter: Enter = _ignore) -> Reading:
    """Read a message from the archive. Raises ArchiveDownError, ArchiveMissingError, ArchiveDamagedError."""
    raw = raw_of(message, archive)
    enter("parse")
    mail = mime.read(raw)
    enter("rule")
    reading = _judge(message, mail, book)
    enter(None)
    return reading


def _judge(message: Message, mail: ParsedMail, book: Book) -> Reading:
    decision = book.decide(message, mail)
    event, blobs = document_of(message, mail, decision.priority)
    return Reading(
        message=message,
        mail=mail,
        decision=decision,
        event=event,
        document_key=blobs[-1].key,
        blobs=blobs,
    )


def raw_of(message: Message, archive: Archive) -> bytes:
    """The octets as they came. Raises ArchiveDownError, ArchiveMissingError, ArchiveDamagedError."""
    if message.archive_key is None:
        raise ArchiveMissingError("never_archived", message_id=message.id)
    return archive.read(message.archive_key, sha256=message.sha256)


def document_of(message: Message, mail: ParsedMail, priority: Priority) -> tuple[UnifiedEvent, tuple[Blob, ...]]:
    """The event, and what of it goes to the archive: attachments, and its document as the last."""
    parts = {part.sha256: _part(message, part) for part in mail.attachments}
    keys = {sha256: blob.key for sha256, blob in parts.items()}
    event = events.build(message, mail, priority=priority, attachment_keys=keys)
    return event, (*parts.values(), _document(message, event))


def _document(message: Message, event: UnifiedEvent) -> Blob:
    content = events.serialise(event)
    digest = hashlib.sha256(content).hexdigest()
    return Blob(
        key=events.event_key(message.account_id, event.id, digest, message.internal_date),
        sha256=digest,
        size=len(content),
        content=content,
        content_type="application/cloudevents+json",
    )


def _part(message: Message, part: Attachment) -> Blob:
    return Blob(
        key=events.part_key(message.account_id, part.sha256, message.internal_date),
        sha256=part.sha256,
        size=part.size,
        content=part.content,
        content_type=part.content_type,
    )
