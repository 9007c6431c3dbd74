"""Lists for people: messages, events, deliveries and runs, narrowed and paged the same way."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, TypeVar

from sqlalchemy import Column, ColumnElement, Connection, Engine, Row, Select, and_, func, or_, select

from concord.adapters.sql import runs
from concord.adapters.sql.clean import clean
from concord.adapters.sql.engine import reading
from concord.adapters.sql.event_rows import delivery_of, delivery_query, event_of, run_query
from concord.adapters.sql.ledger_lists import ORDER as _MESSAGES
from concord.adapters.sql.message_rows import message_of, message_query
from concord.adapters.sql.outbox import DELIVERIES as _DELIVERIES
from concord.adapters.sql.outbox import RUNS as _RUNS
from concord.adapters.sql.outbox_tables import deliveries, events, workflow_runs
from concord.adapters.sql.paging import PACE, Condition, Found, Order, Pace, Question, find
from concord.adapters.sql.tables import accounts, folders, messages
from concord.adapters.sql.trail import rule_hits
from concord.model.delivery import DeliveryState
from concord.model.event import EventRow
from concord.model.listing import (
    DeliveriesWanted,
    EventsWanted,
    Lately,
    ListedDelivery,
    ListedRun,
    Listing,
    MessagesWanted,
    Reason,
    RunsWanted,
    View,
)
from concord.model.message import Message, MessageState
from concord.model.workflow import RunState

# Words beyond these only cost.
MOST_WORDS: Final = 8
# Quarantined messages that are counted by cause: some dozen milliseconds.
MOST_REASONED: Final = 10_000
# A step is a few hundred octets of JSON: so many are read in some twenty milliseconds.
STEPS_LOOKED_AT: Final = 1000
_EVENTS: Final = Order(table=events, at=events.c.created_at, id=events.c.id)
_NEWEST: Final = View()
Item = TypeVar("Item")


_Wanted = MessagesWanted | EventsWanted | DeliveriesWanted | RunsWanted
_Row = Row[*tuple[Any, ...]]


class SqlLists:
    """Keeps `ports.Lists`."""

    def __init__(self, engine: Engine, pace: Pace = PACE) -> None:
        self._engine = engine
        self._pace = pace

    def messages(self, wanted: MessagesWanted, view: View = _NEWEST) -> Listing[Message]:
        """By when they were seen."""
        with reading(self._engine) as connection:
            found = find(connection, _of_messages(connection, wanted), view, self._pace)
            rows = _rows(connection, message_query(), messages.c.id, found)
            return _listing(found, map(message_of, rows))

    def events(self, wanted: EventsWanted, view: View = _NEWEST) -> Listing[EventRow]:
        """By when they were made."""
        narrowed = [_Narrowed("account", wanted.account, leads=True)]
        question = _question(_EVENTS, wanted, narrowed, _words(wanted.search))
        with reading(self._engine) as connection:
            found = find(connection, question, view, self._pace)
            return _listing(found, map(event_of, _rows(connection, select(events), events.c.id, found)))

    def deliveries(self, wanted: DeliveriesWanted, view: View = _NEWEST) -> Listing[ListedDelivery]:
        """By when they were made."""
        narrowed = [
            _Narrowed("event_id", wanted.event_id, leads=True),
            _Narrowed("state", wanted.state and wanted.state.value, leads=wanted.state is not DeliveryState.DELIVERED),
            _Narrowed("handler", wanted.handler, leads=True),
        ]
        question = _question(_DELIVERIES, wanted, narrowed, _of_account(wanted.account))
        query = delivery_query().add_columns(*_of_whom())
        with reading(self._engine) as connection:
            found = find(connection, question, view, self._pace)
            rows = _rows(connection, query, deliveries.c.id, found)
            return _listing(
                found,
                (
                    ListedDelivery(delivery=delivery_of(row), account=row.of_account, subject=row.of_subject)
                    for row in rows
                ),
            )

    def runs(self, wanted: RunsWanted, view: View = _NEWEST) -> Listing[ListedRun]:
        """By when they were made."""
        narrowed = [
            _Narrowed("event_id", wanted.event_id, leads=True),
            _Narrowed("state", wanted.state and wanted.state.value, leads=wanted.state is not RunState.SUCCEEDED),
            _Narrowed("workflow", wanted.workflow),
        ]
        question = _question(_RUNS, wanted, narrowed, _of_account(wanted.account))
        with reading(self._engine) as connection:
            found = find(connection, question, view, self._pace)
            ids = [mark.id for mark in found.rows]
            loaded = {run.id: run for run in runs.load(connection, run_query().where(workflow_runs.c.id.in_(ids)))}
            whose = select(workflow_runs.c.id, *_of_whom()).join(events, workflow_runs.c.event_id == events.c.id)
            rows = _rows(connection, whose, workflow_runs.c.id, found)
            return _listing(
                found, (ListedRun(run=loaded[row.id], account=row.of_account, subject=row.of_subject) for row in rows)
            )

    def amount(self, wanted: MessagesWanted, *, most: int) -> int:
        """How many are like that; counting ends at `most`."""
        with reading(self._engine) as connection:
            question = _of_messages(connection, wanted)
            rows = select(messages.c.id).where(*question.indexed, *(holds(messages.c) for holds in question.others))
            counted = select(func.count()).select_from(rows.limit(most).subquery())
            return connection.execute(counted).scalar_one()

    def with_content(self, sha256: str, *, limit: int = 50) -> list[Message]:
        """Messages of these octets, folder by folder: so the index lies."""
        with reading(self._engine) as connection:
            wanted = (
                message_query()
                .join(
                    folders,
                    and_(messages.c.account_id == folders.c.account_id, messages.c.folder == folders.c.folder),
                )
                .where(messages.c.sha256 == sha256)
            )
            return [message_of(row) for row in connection.execute(wanted.limit(limit))]

    def quarantined(self, *, most: int = MOST_REASONED) -> tuple[list[Reason], bool]:
        """By cause, the most frequent first; and whether there are older ones that were not looked at."""
        wanted = (
            select(messages.c.seen_at, messages.c.error_code, messages.c.error, accounts.c.name)
            .join(accounts, messages.c.account_id == accounts.c.id)
            .where(messages.c.state == MessageState.QUARANTINED.value)
            .order_by(*_MESSAGES.newest_first)
        )
        with reading(self._engine) as connection:
            rows = connection.execute(wanted.limit(most + 1)).all()
        return _by_reason(rows[:most]), len(rows) > most

    def folders(self, account: str | None = None) -> list[str]:
        """Names of folders that were ever read, each once."""
        wanted = select(folders.c.folder).distinct().order_by(folders.c.folder)
        if account is not None:
            wanted = wanted.join(accounts, folders.c.account_id == accounts.c.id).where(
                accounts.c.name == clean(account)
            )
        with reading(self._engine) as connection:
            return list(connection.execute(wanted).scalars())

    def rule_hits(self, *, steps: int = STEPS_LOOKED_AT) -> Lately:
        """From the newest steps of the trail, whatever they tell of: a scan with an end."""
        with reading(self._engine) as connection:
            return rule_hits(connection, steps)


@dataclass(frozen=True, slots=True)
class _Narrowed:
    """One column's value that is wanted, or values. Where it `leads`, an index knows it in the list's order."""

    name: str
    value: object
    leads: bool = False

    def holds(self, row: Any) -> ColumnElement[bool]:
        """Whether a row has it."""
        column: ColumnElement[Any] = row[self.name]
        if isinstance(self.value, list):
            return column.in_(self.value)
        return column == (
            clean(self.value) if isinstance(self.value, str) and not isinstance(self.value, StrEnum) else self.value
        )


def _of_messages(connection: Connection, wanted: MessagesWanted) -> Question:
    """Nearly all are processed: of the other states there are few, and so their index leads."""
    owners = None if wanted.account is None else _ids_of(connection, wanted.account)
    narrowed = [
        _Narrowed("state", wanted.state and wanted.state.value, leads=wanted.state is not MessageState.PROCESSED),
        _Narrowed("account_id", owners, leads=owners is not None and len(owners) <= 1),
        _Narrowed("folder", wanted.folder),
        _Narrowed("priority", wanted.priority),
        _Narrowed("error_code", wanted.error_code),
    ]
    return _question(_MESSAGES, wanted, narrowed, _words(wanted.search))


def _question(order: Order, wanted: _Wanted, narrowed: Sequence[_Narrowed], others: Sequence[Condition]) -> Question:
    """One leads at most: were there two, and no row with both, the database would go through all of either."""
    indexed = [
        *([] if wanted.since is None else [order.at >= wanted.since]),
        *([] if wanted.until is None else [order.at < wanted.until]),
    ]
    given = [one for one in narrowed if one.value is not None]
    leader = next((one for one in given if one.leads), None)
    if leader:
        indexed.append(leader.holds(order.table.c))
    return Question(order=order, indexed=indexed, others=[*(one.holds for one in given if one is not leader), *others])


def _words(search: str | None) -> list[Condition]:
    return [_held(word) for word in clean(search or "").split()[:MOST_WORDS]]


def _held(word: str) -> Condition:
    return lambda row: or_(*(column.icontains(word, autoescape=True) for column in (row.subject, row.sender)))


def _of_account(name: str | None) -> list[Condition]:
    """The event knows whose mail it was.

    Asked of each row by itself: of an EXISTS PostgreSQL makes a join, for which it reads all of an account's events.
    """
    if name is None:
        return []

    def holds(row: Any) -> ColumnElement[bool]:
        return select(events.c.account).where(events.c.id == row.event_id).scalar_subquery() == clean(name)

    return [holds]


def _ids_of(connection: Connection, name: str) -> list[int]:
    """Of all accounts that ever had the name: the messages of removed ones stay."""
    return list(connection.execute(select(accounts.c.id).where(accounts.c.name == clean(name))).scalars())


def _of_whom() -> tuple[ColumnElement[str], ColumnElement[str]]:
    return events.c.account.label("of_account"), events.c.subject.label("of_subject")


def _rows(connection: Connection, query: Select[Any], known: Column[Any], found: Found) -> list[_Row]:
    """The rows of a page, in its order."""
    ids = [mark.id for mark in found.rows]
    if not ids:
        return []
    by_id = {row.id: row for row in connection.execute(query.where(known.in_(ids)))}
    return [by_id[one] for one in ids if one in by_id]


def _by_reason(rows: Sequence[_Row]) -> list[Reason]:
    """Rows are the newest first."""
    groups: dict[str, list[_Row]] = {}
    for row in rows:
        groups.setdefault(row.error_code or "unexpected", []).append(row)
    reasons = [
        Reason(
            code=code,
            error=some[0].error or "",
            amount=len(some),
            newest=some[0].seen_at,
            oldest=some[-1].seen_at,
            accounts=tuple(sorted({row.name for row in some})),
        )
        for code, some in groups.items()
    ]
    return sorted(reasons, key=lambda reason: (-reason.amount, reason.code))


def _listing(found: Found, items: Iterable[Item]) -> Listing[Item]:
    return Listing(
        items=tuple(items),
        newer=found.newer,
        older=found.older,
        looked_to=found.looked_to.at if found.looked_to else None,
    )
