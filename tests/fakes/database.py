"""A database in memory: SQLite, with the real adapters on it. No twin of the SQL is kept beside the SQL."""

from __future__ import annotations

import sqlite3
from functools import cache

from pydantic import SecretStr
from sqlalchemy import Engine

from concord.adapters.sql import schema
from concord.adapters.sql.engine import make_engine
from concord.settings import DatabaseSettings


def memory_database() -> Engine:
    """The process's database in memory, emptied, with the present schema. One at a time: the last caller has it.

    The engine stays the same from test to test, and with it every compiled statement: compiling is most of what a
    test of the pipeline would cost.
    """
    engine = _engine()
    with engine.connect() as connection:
        _template().backup(_driver(connection.connection.driver_connection))
    return engine


@cache
def _engine() -> Engine:
    return make_engine(DatabaseSettings(url=SecretStr("sqlite://")))


@cache
def _template() -> sqlite3.Connection:
    """Migrated once in each test process, then copied."""
    engine = make_engine(DatabaseSettings(url=SecretStr("sqlite://")))
    schema.upgrade(engine)
    copy = sqlite3.connect(":memory:", check_same_thread=False)
    with engine.connect() as connection:
        _driver(connection.connection.driver_connection).backup(copy)
    engine.dispose()
    return copy


def _driver(connection: object) -> sqlite3.Connection:
    assert isinstance(connection, sqlite3.Connection)
    return connection
