"""One engine per process, and the one border where the database's errors become Concord's."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final
from weakref import WeakSet

from sqlalchemy import Connection, Engine, Pool, QueuePool, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import DatabaseError, DBAPIError, InterfaceError, InternalError, OperationalError, ProgrammingError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.pool import ConnectionPoolEntry

from concord.errors import DatabaseDownError, SchemaError
from concord.settings import DatabaseSettings

CONNECT_SECONDS: Final = 5
STATEMENT_SECONDS: Final = 60
# A process frozen in the middle of a transaction must not hold its locks for ever.
IDLE_SECONDS: Final = 120
# PostgreSQL's words for "there is no such table" and "column": the schema is behind or ahead.
_MISSING: Final = ("42P01", "42703")
# And for "permission denied": an operator's to mend, and no mail's fault.
_FORBIDDEN: Final = "42501"

_engines: WeakSet[Engine] = WeakSet()
# Pools that came over a fork. They stay referenced: closing an inherited socket would hang up the parent's connection.
_inherited: list[Pool] = []


def make_engine(settings: DatabaseSettings) -> Engine:
    """The way to the database; connects when first used, and anew in a forked child."""
    url = make_url(settings.url.get_secret_value())
    engine = (_sqlite if url.get_backend_name() == "sqlite" else _postgresql)(url, settings)
    _engines.add(engine)
    return engine


def _sqlite(url: URL, settings: DatabaseSettings) -> Engine:
    connect: dict[str, Any] = {"timeout": settings.busy_timeout, "check_same_thread": False}
    if url.database in (None, "", ":memory:"):
        # One connection is the whole database: threads take turns on it.
        pool: dict[str, Any] = {"poolclass": QueuePool, "pool_size": 1, "max_overflow": 0}
    else:
        pool = {"pool_size": settings.pool_size, "max_overflow": settings.pool_size}
    engine = create_engine(url, connect_args=connect, hide_parameters=True, **pool)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _postgresql(url: URL, settings: DatabaseSettings) -> Engine:
    limits = {
        "statement_timeout": STATEMENT_SECONDS * 1000,
        "lock_timeout": settings.busy_timeout * 1000,
        "idle_in_transaction_session_timeout": IDLE_SECONDS * 1000,
        "timezone": "UTC",
    }
    connect = {
        "connect_timeout": CONNECT_SECONDS,
        "application_name": "concord",
        "options": " ".join(f"-c {name}={value}" for name, value in limits.items()),
        # A half-open connection (a firewall forgot it) is noticed within a minute.
        "keepalives_idle": 20,
        "keepalives_interval": 10,
        "keepalives_count": 4,
        "tcp_user_timeout": 60_000,
    }
    named = {name: value for name, value in connect.items() if name not in url.query}
    return create_engine(
        url,
        connect_args=named,
        pool_size=settings.pool_size,
        max_overflow=settings.pool_size,
        pool_pre_ping=True,
        pool_recycle=1800,
        hide_parameters=True,
    )


def _prepare_sqlite(connection: DBAPIConnection, _record: ConnectionPoolEntry) -> None:
    assert isinstance(connection, sqlite3.Connection)  # noqa: S101 - tells mypy which driver this listener is for
    # The driver's own idea of when a transaction begins is switched off: `_begin_sqlite` says it.
    connection.isolation_level = None
    try:
        _use_wal(connection)
        # FULL, not NORMAL: after a commit Concord may delete the mail on the server. A commit that a power cut takes
        # back would lose it.
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
    except sqlite3.Error:
        connection.close()
        raise


def _use_wal(connection: sqlite3.Connection) -> None:
    """Write ahead, for the life of the file. Of those that say so at one moment SQLite refuses all but one, at once."""
    (milliseconds,) = connection.execute("PRAGMA busy_timeout").fetchone()
    deadline = time.monotonic() + milliseconds / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    # A writer takes the lock at once and waits for it; taken half-way, SQLite could only refuse.
    reads = connection.get_execution_options().get("concord_reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """All of it or nothing. What the database cannot do just now is a DatabaseDownError."""
    with translated(engine), engine.begin() as connection:
        yield connection


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One consistent look, which holds up no writer."""
    with translated(engine), engine.execution_options(concord_reads=True).begin() as connection:
        yield connection


@contextmanager
def translated(engine: Engine) -> Iterator[None]:
    """The border. IntegrityError and DataError pass: only the caller knows what they mean."""
    try:
        yield
    except PoolTimeoutError as error:
        raise DatabaseDownError("no_connection", database=place(engine)) from error
    except DBAPIError as error:
        _raise_translated(engine, error)
        raise


def _raise_translated(engine: Engine, error: DBAPIError) -> None:
    cause = first_line(error.orig)
    if _says_schema(error):
        raise SchemaError("incomplete", database=place(engine), cause=cause) from error
    if is_down(error):
        raise DatabaseDownError("refused", database=place(engine), cause=cause) from error


def is_down(error: DBAPIError) -> bool:
    """Whether it is the database that fails, and not what it was asked."""
    return not _says_schema(error) and (error.connection_invalidated or _says_down(error))


def _says_down(error: DBAPIError) -> bool:
    # InternalError: the server ended the transaction itself. Plain DatabaseError: the file is damaged or no database.
    if isinstance(error, ProgrammingError):
        return getattr(error.orig, "sqlstate", None) == _FORBIDDEN
    return isinstance(error, OperationalError | InterfaceError | InternalError) or type(error) is DatabaseError


def _says_schema(error: DBAPIError) -> bool:
    if isinstance(error, ProgrammingError):
        return getattr(error.orig, "sqlstate", None) in _MISSING
    told = str(error.orig)
    return isinstance(error, OperationalError) and told.startswith(("no such table", "no such column", "table "))


def place(engine: Engine) -> str:
    """Where the database is, for people: never with its password."""
    return engine.url.set(query={}).render_as_string(hide_password=True)


def first_line(error: BaseException | None) -> str:
    """The driver's own words; psycopg adds lines of context, and neither driver repeats a password."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _forget_inherited() -> None:
    for engine in list(_engines):
        _inherited.append(engine.pool)
        engine.dispose(close=False)


os.register_at_fork(after_in_child=_forget_inherited)
