"""Reading one archived message: parsed, judged by the rules, made into an event. Writes nothing itself.

First run, retry, replay and dry run all read here: the same bytes, the same way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

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
    document: bytes = field(repr=False)

    @property
    def document_key(self) -> str:
        """Named after event and content: another reading of the same mail (after an upgrade) never overwrites it."""
        digest = hashlib.sha256(self.document).hexdigest()
        return events.event_key(self.message.account_id, self.event.id, digest)

    @property
    def blobs(self) -> list[Blob]:
        """What must be durable before anybody is told: the attachments and the event document."""
        account = self.message.account_id
        parts = {part.sha256: part for part in self.mail.attachments}
        document = Blob(
            key=self.document_key,
            sha256=hashlib.sha256(self.document).hexdigest(),
            size=len(self.document),
            content=self.document,
            content_type="application/cloudevents+json",
        )
        return [*(_part(account, part) for part in parts.values()), document]


def read(message: Message, archive: Archive, book: Book) -> Reading:
    """Read a message from the archive. Raises ArchiveDownError, ArchiveMissingError, ArchiveDamagedError."""
    if message.archive_key is None:
        raise ArchiveMissingError("This message was never archived", message_id=message.id)
    mail = mime.read(archive.read(message.archive_key, sha256=message.sha256))
    decision = book.decide(message, mail)
    keys = {part.sha256: events.part_key(message.account_id, part.sha256) for part in mail.attachments}
    event = events.build(message, mail, priority=decision.priority, attachment_keys=keys)
    return Reading(message=message, mail=mail, decision=decision, event=event, document=events.serialise(event))


def _part(account_id: int, part: Attachment) -> Blob:
    return Blob(
        key=events.part_key(account_id, part.sha256),
        sha256=part.sha256,
        size=part.size,
        content=part.content,
        content_type=part.content_type,
    )
