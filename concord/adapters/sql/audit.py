"""The audit on SQL: rows are added one after the other, each tied to the one before it, and never changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any, Final

from sqlalchemy import Connection, Engine, RowMapping, Select, func, insert, or_, select, true, update

from concord.adapters.sql.engine import reading, transaction
from concord.adapters.sql.lists import narrow
from concord.adapters.sql.tables import audit, meta
from concord.adapters.sql.upsert import insert_for
from concord.model.audit import EVERYTHING, AuditEntry, AuditFilter, AuditMark, AuditVerdict, judge, link

_MARK: Final = "audit_mark"
_PAGE: Final = 1000
_GIVEN: Final = tuple(field.name for field in fields(AuditEntry) if field.name not in ("id", "hash"))


class SqlAudit:
    """Keeps `ports.Audit`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, entry: AuditEntry) -> AuditEntry:
        row = insert(audit).values({name: getattr(entry, name) for name in _GIVEN}).returning(audit)
        with transaction(self._engine) as connection:
            _take_turns(connection)
            # From the mark, not from the last row that is there: after a cut, the next row must not heal the chain.
            former = _mark_of(connection)
            # As the database keeps it: it cleans text and cuts what is too long.
            made = _entry(connection.execute(row).mappings().one())
            made = replace(made, hash=link(former.hash, made))
            connection.execute(update(audit).where(audit.c.id == made.id).values(hash=made.hash))
            put = insert_for(connection, meta).values(key=_MARK, value=f"{made.id} {made.hash}")
            newest = {"value": put.excluded.value}
            connection.execute(put.on_conflict_do_update(index_elements=[meta.c.key], set_=newest))
        return made

    def entries(self, narrowed: AuditFilter = EVERYTHING) -> list[AuditEntry]:
        wanted = _narrowed(narrowed).limit(narrowed.limit)
        # The page before this one in a list of the newest first: what is next to it, turned round.
        forward = narrowed.after is not None and narrowed.before is None
        wanted = wanted.order_by(audit.c.id if forward else audit.c.id.desc())
        with reading(self._engine) as connection:
            found = [_entry(row) for row in connection.execute(wanted).mappings()]
        return found[::-1] if forward else found

    def stream(self, narrowed: AuditFilter = EVERYTHING) -> Iterator[AuditEntry]:
        after = narrowed.after
        while True:
            page = _narrowed(replace(narrowed, after=after)).order_by(audit.c.id).limit(_PAGE)
            # Each page is a look of its own: whoever takes the rows may be slow.
            with reading(self._engine) as connection:
                found = [_entry(row) for row in connection.execute(page).mappings()]
            yield from found
            if len(found) < _PAGE:
                return
            after = found[-1].id

    def verify(self, *, noted: AuditMark | None = None) -> AuditVerdict:
        # One statement sees one moment, mark and rows alike, however many are being added.
        whole = (
            select(meta.c.value.label("mark"), audit)
            .select_from(meta.outerjoin(audit, true()))
            .where(meta.c.key == _MARK)
            .order_by(audit.c.id)
            .execution_options(yield_per=_PAGE)
        )
        with reading(self._engine) as connection, connection.execute(whole) as answer:
            rows = answer.mappings()
            first = next(rows, None)
            if first is None:
                return judge((), None)
            return judge(_tied(first, rows), _mark(first["mark"]), noted=noted)


def _take_turns(connection: Connection) -> None:
    """One row after the other. SQLite has one writer at a time anyway."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended("concord audit", 0))))


def _mark_of(connection: Connection) -> AuditMark:
    """The newest row; none where the mark is gone, so that the next row stands apart from those before it."""
    value = connection.execute(select(meta.c.value).where(meta.c.key == _MARK)).scalar_one_or_none()
    return _mark(value) or AuditMark()


def _mark(value: str | None) -> AuditMark | None:
    number, _, digest = (value or "").partition(" ")
    return AuditMark(id=int(number), hash=digest) if number.isdecimal() else None


def _narrowed(narrowed: AuditFilter) -> Select[Any]:
    return narrow(
        select(audit),
        (lambda value: audit.c.actor == value, narrowed.actor),
        (lambda value: audit.c.via == value, narrowed.via),
        (_acts, narrowed.action),
        (lambda value: audit.c.subject == value, narrowed.subject),
        (lambda value: audit.c.outcome == value, narrowed.outcome),
        (lambda value: audit.c.at >= value, narrowed.since),
        (lambda value: audit.c.at < value, narrowed.until),
        (lambda value: audit.c.id < value, narrowed.before),
        (lambda value: audit.c.id > value, narrowed.after),
    )


def _acts(action: str) -> Any:
    """The action itself, or all of a noun's."""
    return or_(audit.c.action == action, audit.c.action.startswith(f"{action.removesuffix('.')}.", autoescape=True))


def _tied(first: RowMapping, others: Iterator[RowMapping]) -> Iterator[AuditEntry]:
    """The rows of the outer join: one without a row of the audit, where that is empty."""
    if first["id"] is not None:
        yield _entry(first)
    for row in others:
        yield _entry(row)


def _entry(row: RowMapping) -> AuditEntry:
    return AuditEntry(**{field.name: row[field.name] for field in fields(AuditEntry)})
