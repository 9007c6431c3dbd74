"""Fixtures: a database with the present schema. Whoever asks for `engine` runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest
from pydantic import SecretStr
from sqlalchemy import Engine

from concord.adapters.sql import schema
from concord.adapters.sql.engine import make_engine
from concord.settings import DatabaseSettings
from tests.servers.postgres import PostgresServer
from tests.sql_world import World

KINDS = ("sqlite", "postgresql")


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file with the present schema, to be copied."""
    file = tmp_path_factory.mktemp("sqlite") / "template.db"
    engine = make_engine(settings_of(f"sqlite:///{file}"))
    schema.upgrade(engine)
    # Closing the last connection brings what is in the write-ahead log into the file.
    engine.dispose()
    return file.read_bytes()


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database with the present schema."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    file = tmp_path / "concord.db"
    file.write_bytes(request.getfixturevalue("sqlite_template"))
    return f"sqlite:///{file}"


@pytest.fixture(params=KINDS)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database with nothing in it."""
    if request.param == "postgresql":
        return str(request.getfixturevalue("empty_postgres_url"))
    return f"sqlite:///{tmp_path / 'empty.db'}"


@pytest.fixture(params=KINDS)
def fresh_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], str]]:
    """Makes databases with the present schema; their addresses."""
    numbers = count()
    if request.param == "postgresql":
        server: PostgresServer = request.getfixturevalue("postgres_server")
        template: str = request.getfixturevalue("postgres_template")
        # They go with the server: each DROP DATABASE would wait for a checkpoint.
        yield lambda: server.url(server.create(template=template))
    else:
        empty: bytes = request.getfixturevalue("sqlite_template")

        def copy() -> str:
            file = tmp_path / f"concord-{next(numbers)}.db"
            file.write_bytes(empty)
            return f"sqlite:///{file}"

        yield copy


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    """The way to a fresh database."""
    engine = make_engine(settings_of(database_url))
    yield engine
    engine.dispose()


@pytest.fixture
def empty_engine(empty_database_url: str) -> Iterator[Engine]:
    """The way to an empty database."""
    engine = make_engine(settings_of(empty_database_url))
    yield engine
    engine.dispose()


def settings_of(url: str, *, busy_timeout: int = 30) -> DatabaseSettings:
    """As bootstrap gives them."""
    return DatabaseSettings(url=SecretStr(url), busy_timeout=busy_timeout)


@pytest.fixture
def world(engine: Engine) -> World:
    """The SQL adapters on a fresh database, with one account."""
    return World(engine)
