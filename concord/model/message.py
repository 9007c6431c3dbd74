"""A message: one mail in one folder of one account, where its bytes lie, and how far Concord has come with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from uuid import UUID, uuid5

from concord.model.account import Priority


class MessageState(StrEnum):
    """Where a message stands. Every message ends in one of the last three."""

    UNFETCHED = "unfetched"  # listed by the server, not yet handed over; asked for again when due
    ARCHIVED = "archived"  # safe in the archive, waiting to be processed
    PROCESSING = "processing"  # in a worker's hands until its lease lapses
    PROCESSED = "processed"
    SKIPPED = "skipped"  # on purpose, with the reason
    QUARANTINED = "quarantined"  # failed for good, with the reason; can be retried


class AfterState(StrEnum):
    """Whether the account's after-action has been carried out on the server (P12)."""

    NONE = "none"  # nothing to do
    PENDING = "pending"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingAfter:
    """A processed message whose after-action is due."""

    message_id: int
    uid: int
    size: int | None
    archive_key: str | None
    failures: int = 0  # attempts that failed
    is_copied: bool = False  # a move has copied it; the original is still to be deleted


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageKey:
    """What makes a mail this mail: account, folder, UIDVALIDITY and UID; never its Message-ID, which senders re-use."""

    account: UUID
    folder: str
    uidvalidity: int
    uid: int

    @property
    def event_id(self) -> UUID:
        """Name the event after its mail, so that reading a mail twice cannot make two events."""
        return uuid5(self.account, f"{self.folder}\n{self.uidvalidity}\n{self.uid}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Peek:
    """The few header facts that are read before a message is queued: for priority rules and for people's lists."""

    message_id: str | None = None
    subject: str | None = None
    sender: str | None = None
    recipients: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    date: datetime | None = None
    priority: Priority | None = None  # the mail's own Importance, X-Priority or Priority header
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class FetchedMail:
    """A mail as it came from the server: small ones in memory, big ones in a temporary file."""

    uid: int
    size: int  # octets actually received
    sha256: str  # of the raw octets, lower-case hex
    internal_date: datetime | None
    flags: tuple[str, ...]
    content: bytes | Path = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeenMail:
    """What the ledger is told about one UID, after its bytes are safe (or why there are none)."""

    uid: int
    state: MessageState
    sha256: str | None = None
    size: int | None = None
    archive_key: str | None = None
    internal_date: datetime | None = None
    flags: tuple[str, ...] = ()
    priority: Priority = Priority.NORMAL
    peek: Peek = Peek()
    error_code: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageRef:
    """Enough of a ledger row to queue it: ids travel, bodies do not.

    A `suspect` (it failed before, or a claim of it lapsed) travels alone, so that it can harm no neighbour.
    """

    id: int
    priority: Priority
    size: int
    suspect: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A ledger row."""

    id: int
    account_id: int
    account: str
    folder: str
    uidvalidity: int
    uid: int
    event_id: UUID
    state: MessageState
    priority: Priority
    sha256: str | None
    size: int | None
    archive_key: str | None
    internal_date: datetime | None
    flags: tuple[str, ...]
    message_id: str | None
    subject: str | None
    sender: str | None
    sent_at: datetime | None
    attempts: int  # claims so far; only ever rises: the fencing token
    failures: int  # attempts that count against it since it was archived or last retried by hand
    error_code: str | None
    error: str | None
    due_at: datetime | None
    leased_until: datetime | None
    after: AfterState
    seen_at: datetime
    processed_at: datetime | None
    suspect: bool = False  # it travels alone: a claim of it lapsed, or it was retried
    after_code: str | None = None  # why the after-action failed, or was not carried out


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of a message's trail: what happened to it, and when (P19)."""

    at: datetime
    what: str  # constant event name: message.archived, delivery.retry, …
    detail: dict[str, object] = field(default_factory=dict)
