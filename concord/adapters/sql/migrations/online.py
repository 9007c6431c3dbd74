"""Schema changes that let others go on writing, also on tables with millions of rows.

On PostgreSQL each change here is a transaction of its own and waits for a lock only briefly at a time: an ALTER TABLE
that waits behind a long query would hold up every query behind it. So an interrupted upgrade may leave some of a
migration's changes behind; each of these functions skips what is there already, and the next upgrade completes it.
A migration that uses them makes its tables with `if_not_exists=True`. On SQLite, which has one writer at a time anyway,
the whole upgrade is one transaction.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import sqlalchemy as sa
from alembic import op
from sqlalchemy.exc import OperationalError

# PostgreSQL: how long one statement waits for its lock, and everybody else behind it; and how long it is tried again.
LOCK_WAIT: Final = "2s"
PATIENCE: Final = 600.0
PAUSE: Final = 1.0
# Rows that one transaction changes: a few hundred milliseconds.
BATCH: Final = 5_000
_LOCK_NOT_AVAILABLE: Final = "55P03"


def add_columns(table: str, *columns: sa.Column[Any]) -> None:
    """Add nullable columns, or columns with a constant server default: neither rewrites the table."""
    there = {column["name"] for column in sa.inspect(op.get_bind()).get_columns(table)}
    for column in columns:
        if column.name not in there:
            _run(partial(op.add_column, table, column))


def create_index(name: str, table: str, columns: list[str], *, where: str | None = None, unique: bool = False) -> None:
    """Build an index while others write; `where` makes it partial."""
    condition = sa.text(where) if where else None
    if not _is_postgresql():
        op.create_index(name, table, columns, unique=unique, sqlite_where=condition, if_not_exists=True)
        return
    if _is_invalid(name):
        drop_index(name, table)
    # No lock time-out: it waits for the transactions that were there before it, and holds up nobody.
    with op.get_context().autocommit_block():
        op.create_index(
            name,
            table,
            columns,
            unique=unique,
            postgresql_where=condition,
            postgresql_concurrently=True,
            if_not_exists=True,
        )


def drop_index(name: str, table: str) -> None:
    """Drop an index while others write."""
    if not _is_postgresql():
        op.drop_index(name, table_name=table, if_exists=True)
        return
    with op.get_context().autocommit_block():
        op.drop_index(name, table_name=table, if_exists=True, postgresql_concurrently=True)


def update_rows(table: str, assignments: str, *, where: str, key: str = "id") -> None:
    """Change the rows that meet a condition, batch by batch along an integer key.

    `where` no longer holds for a row that was changed, so that a second run goes on where the first one stopped.
    """
    if not _is_postgresql():
        op.execute(f"UPDATE {table} SET {assignments} WHERE {where}")  # noqa: S608 - words of a migration, no input
        return
    low, high = op.get_bind().execute(sa.text(f"SELECT min({key}), max({key}) FROM {table}")).one()  # noqa: S608 - as above
    if low is None:
        return
    for start in range(low, high + 1, BATCH):
        span = f"{key} >= {start} AND {key} < {start + BATCH}"
        statement = f"UPDATE {table} SET {assignments} WHERE {span} AND ({where})"  # noqa: S608 - as above
        _run(partial(op.execute, statement))


def rewrite_texts(
    table: str, column: str, rewrite: Callable[[str], str | None], *, key: str = "id", where: str = "TRUE"
) -> None:
    """Change a column's texts by a function, batch by batch along an integer key; None leaves a text as it is.

    A text that somebody writes meanwhile stays. `where` does not hold for most rows that are changed already, or need
    no change.
    """
    bind = op.get_bind()
    low, high = bind.execute(sa.text(f"SELECT min({key}), max({key}) FROM {table}")).one()  # noqa: S608 - words of a migration, no input
    # What a JSON column holds is compared as text, too: PostgreSQL does not compare JSON.
    held = f"CAST({column} AS TEXT)"
    change = f"UPDATE {table} SET {column} = {_as_written(table, column)} WHERE {key} = :key AND {held} = :old"  # noqa: S608 - as above
    for start in range(low, high + 1, BATCH) if low is not None else ():
        span = f"{key} >= {start} AND {key} < {start + BATCH}"
        found = bind.execute(sa.text(f"SELECT {key}, {held} FROM {table} WHERE {span} AND ({where})")).all()  # noqa: S608 - as above
        rewritten = [{"key": row[0], "old": row[1], "new": rewrite(row[1])} for row in found if row[1] is not None]
        changed = [row for row in rewritten if row["new"] is not None]
        if changed:
            _run(partial(_execute_many, change, changed))


def _as_written(table: str, column: str) -> str:
    """The parameter, as the column's type wants it."""
    kinds = {one["name"]: one["type"] for one in sa.inspect(op.get_bind()).get_columns(table)}
    if not _is_postgresql() or not isinstance(kinds[column], sa.JSON):
        return ":new"
    return f"CAST(:new AS {kinds[column].compile(dialect=op.get_bind().dialect)})"


def _execute_many(statement: str, rows: list[dict[str, Any]]) -> None:
    op.get_bind().execute(sa.text(statement), rows)


def _run(change: Callable[[], None]) -> None:
    """Make one change; on PostgreSQL in its own transaction, again and again until its lock was free for a moment."""
    if not _is_postgresql():
        change()
        return
    with op.get_context().autocommit_block():
        op.execute(f"SET lock_timeout = '{LOCK_WAIT}'")
        try:
            _retry(change)
        finally:
            op.execute("RESET lock_timeout")


def _retry(change: Callable[[], None]) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            change()
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE or time.monotonic() > deadline:
                raise
            time.sleep(PAUSE)
        else:
            return


def _is_postgresql() -> bool:
    return op.get_context().dialect.name == "postgresql"


def _is_invalid(name: str) -> bool:
    """Whether an earlier CREATE INDEX CONCURRENTLY was interrupted: its index is there, and serves no query."""
    asked = sa.text("SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(:name) AND NOT indisvalid")
    return op.get_bind().execute(asked, {"name": name}).first() is not None
