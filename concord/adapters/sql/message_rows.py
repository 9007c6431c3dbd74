"""Messages, between values and rows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Row, Select, select

from concord.adapters.sql.tables import accounts, messages
from concord.model.account import Priority
from concord.model.message import AfterState, Message, MessageRef, MessageState, Peek, SeenMail

# RFC 5321 section 4.5.3.1.8 is far below this; SQLite's integers and PostgreSQL's BIGINT end here.
_BIGGEST: Final = 2**63 - 1


def message_query() -> Select[Any]:
    """Ledger rows with the name of their account, removed or not."""
    return select(messages, accounts.c.name.label("account")).join(accounts, messages.c.account_id == accounts.c.id)


def message_of(row: Row[Any]) -> Message:
    """The message a row of `message_query` says."""
    return Message(
        id=row.id,
        account_id=row.account_id,
        account=row.account,
        folder=row.folder,
        uidvalidity=row.uidvalidity,
        uid=row.uid,
        event_id=row.event_id,
        state=MessageState(row.state),
        priority=row.priority,
        sha256=row.sha256,
        size=row.size,
        archive_key=row.archive_key,
        internal_date=row.internal_date,
        flags=tuple(row.flags),
        message_id=row.message_id,
        subject=row.subject,
        sender=row.sender,
        sent_at=row.sent_at,
        attempts=row.attempts,
        failures=row.failures,
        error_code=row.error_code,
        error=row.error,
        due_at=row.due_at,
        leased_until=row.leased_until,
        after=AfterState(row.after),
        after_code=row.after_code,
        seen_at=row.seen_at,
        processed_at=row.processed_at,
        suspect=row.suspect,
    )


def ref(message_id: int, priority: Priority, size: int | None, *, suspect: bool = False) -> MessageRef:
    """Enough of a row to queue it."""
    return MessageRef(id=message_id, priority=priority, size=size or 0, suspect=suspect)


def mail_values(mail: SeenMail) -> dict[str, Any]:
    """The columns that say what was seen; where it stands is the caller's to add."""
    return peek_values(mail.peek) | {
        "sha256": mail.sha256,
        "size": None if mail.size is None else min(mail.size, _BIGGEST),
        "archive_key": mail.archive_key,
        "internal_date": moment(mail.internal_date),
        "flags": list(mail.flags),
        "priority": mail.priority,
        "error_code": mail.error_code,
        "error": mail.error,
    }


def peek_values(peek: Peek) -> dict[str, Any]:
    """The columns of people's lists."""
    return {
        "message_id": peek.message_id,
        "subject": peek.subject,
        "sender": peek.sender,
        "sent_at": moment(peek.date),
    }


def moment(said: datetime | None) -> datetime | None:
    """A date from a mail or a server; one that no UTC calendar has (year 1 in Tokyo) is none."""
    if said is None or said.utcoffset() is None:
        return None
    try:
        return said.astimezone(UTC)
    except OverflowError:
        return None
