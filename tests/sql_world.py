"""A small world around one database: a clock that stands still, one account, and mails to record."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Engine, event

from concord.adapters.sql.accounts import SqlAccounts
from concord.adapters.sql.ledger import SqlLedger
from concord.adapters.sql.outbox import SqlOutbox
from concord.model.account import Account, FolderCursor, PollLease, Priority
from concord.model.event import UnifiedEvent
from concord.model.message import AfterState, MessageRef, MessageState, Peek, SeenMail
from concord.model.rule import WorkflowSpec, WorkflowStepSpec
from concord.ports import Claim, Processed

START = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def now() -> datetime:
    """The real time, aware."""
    return datetime.now(UTC)


class StandingClock:
    """Goes on only when told."""

    def __init__(self) -> None:
        self.time = START

    def __call__(self) -> datetime:
        return self.time

    def forward(self, by: timedelta) -> None:
        """Let that much time pass."""
        self.time += by


class World:
    """The SQL adapters on one engine, with one account whose poll lease is held."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.clock = StandingClock()
        self.accounts = SqlAccounts(engine, self.clock)
        self.ledger = SqlLedger(engine, self.clock, version="1.0")
        self.outbox = SqlOutbox(engine, self.clock)
        self.account = self.accounts.add(account())
        self.lease = self.take_lease()

    def take_lease(self, minutes: int = 60) -> PollLease:
        """The right to poll the account."""
        lease = self.accounts.lease(self.account.id, until=self.clock() + minutes * MINUTE)
        assert lease is not None
        return lease

    def cursor(self, *, uidvalidity: int = 1, last_uid: int = 0, folder: str = "INBOX") -> FolderCursor:
        """Where reading stands."""
        return FolderCursor(
            account_id=self.account.id,
            folder=folder,
            uidvalidity=uidvalidity,
            last_uid=last_uid,
            begun_at=self.clock(),
        )

    def record(self, mails: Sequence[SeenMail], *, uidvalidity: int = 1) -> list[MessageRef]:
        """Record them under the lease that is held."""
        last = max((mail.uid for mail in mails), default=0)
        refs = self.ledger.record(self.lease, self.cursor(uidvalidity=uidvalidity, last_uid=last), mails)
        assert refs is not None
        return refs

    def claimed(self, count: int = 1, *, minutes: int = 5) -> list[Claim]:
        """So many new messages, in our hands."""
        refs = self.record([seen(uid) for uid in next_uids(count)])
        return self.ledger.claim([ref.id for ref in refs], until=self.clock() + minutes * MINUTE)

    def finished(self, **changes: Any) -> Processed:
        """One message, processed and committed."""
        result = processed(self.claimed()[0], **changes)
        self.ledger.finish([result])
        return result

    def state(self, message_id: int) -> MessageState:
        """Where a message stands."""
        return self.ledger.get(message_id).state

    def steps(self, message_id: int) -> list[str]:
        """The names on a message's trail."""
        return [step.what for step in self.ledger.trail(message_id)]


_uids = count(1)


def next_uids(number: int) -> list[int]:
    """UIDs nobody has used."""
    return [next(_uids) for _ in range(number)]


def account(name: str = "sales", **changes: Any) -> Account:
    """An account as an operator writes it."""
    made = Account(name=name, host="imap.example.com", user=f"{name}@example.com", secret=b"sealed")
    return replace(made, **changes)


def digest(number: int) -> str:
    """A content's name."""
    return f"{number:064x}"


def seen(uid: int, **changes: Any) -> SeenMail:
    """A mail that is safe in the archive; its content is told by its UID."""
    made = SeenMail(
        uid=uid,
        state=MessageState.ARCHIVED,
        sha256=digest(uid),
        size=1000 + uid,
        archive_key=f"raw/{uid}",
        internal_date=START,
        peek=Peek(message_id=f"<{uid}@example.com>", subject=f"Mail {uid}", sender="alice@example.com", date=START),
    )
    return replace(made, **changes)


def unread(uid: int) -> SeenMail:
    """A mail that the server lists and does not hand over."""
    return SeenMail(uid=uid, state=MessageState.UNFETCHED, error_code="message_unreadable", error="It would not say")


def workflow(name: str = "file", *, steps: int = 2) -> WorkflowSpec:
    """A workflow of so many steps."""
    kinds = tuple(WorkflowStepSpec(name=f"step {n}", kind="webhook", options={"n": n}) for n in range(steps))
    return WorkflowSpec(name=name, steps=kinds)


def processed(claim: Claim, **changes: Any) -> Processed:
    """What became of a claimed message."""
    happened = UnifiedEvent(
        id=claim.message.event_id, source="/accounts/sales", subject="INBOX/1/1", time=START, data={}
    )
    made = Processed(
        claim=claim,
        event=happened,
        record_key=f"records/{claim.message.id}",
        peek=Peek(message_id="<x@example.com>", subject="Read", sender="Alice <alice@example.com>", date=START),
        priority=Priority.NORMAL,
        urgency=changes.get("priority", Priority.NORMAL),
        defects=(),
        matched=("rule",),
        handlers=("log",),
        workflows=(),
        skipped=False,
        after=AfterState.NONE,
    )
    return replace(made, **changes)


def renamed(result: Processed, event_id: UUID) -> Processed:
    """The same result with an event of another name."""
    return replace(result, event=replace(result.event, id=event_id))


@contextmanager
def statements(engine: Engine) -> Iterator[list[str]]:
    """What is asked of the database meanwhile."""
    told: list[str] = []

    def listen(_connection: Connection, _cursor: object, statement: str, *_rest: object) -> None:
        told.append(statement)

    event.listen(engine, "before_cursor_execute", listen)
    try:
        yield told
    finally:
        event.remove(engine, "before_cursor_execute", listen)


@contextmanager
def plans(engine: Engine) -> Iterator[list[str]]:
    """How the database answers what is asked of it meanwhile."""
    told: list[str] = []

    def listen(connection: Connection, cursor: Any, statement: str, parameters: Any, *_rest: object) -> None:
        if not statement.startswith("SELECT"):
            return
        how = "EXPLAIN QUERY PLAN " if connection.dialect.name == "sqlite" else "EXPLAIN "
        cursor.execute(how + statement, parameters)
        told.append(str(cursor.fetchall()))

    event.listen(engine, "before_cursor_execute", listen)
    try:
        yield told
    finally:
        event.remove(engine, "before_cursor_execute", listen)
