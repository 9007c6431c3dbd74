"""Fixtures: one PostgreSQL for the whole run, a database of its own for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import SecretStr

from concord.adapters.sql import schema
from concord.adapters.sql.engine import make_engine
from concord.settings import DatabaseSettings
from tests.servers.postgres import PostgresServer


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A running server, shared: take a database of your own."""
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres_server: PostgresServer) -> str:
    """A database with the present schema, to be copied."""
    name = postgres_server.create()
    engine = make_engine(DatabaseSettings(url=SecretStr(postgres_server.url(name))))
    schema.upgrade(engine)
    engine.dispose()
    return name


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, postgres_template: str) -> Iterator[str]:
    """A fresh database with the present schema."""
    name = postgres_server.create(template=postgres_template)
    yield postgres_server.url(name)
    postgres_server.drop(name)


@pytest.fixture
def empty_postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A fresh database with nothing in it."""
    name = postgres_server.create()
    yield postgres_server.url(name)
    postgres_server.drop(name)


@pytest.fixture
def own_postgres() -> Iterator[PostgresServer]:
    """A server of this test's own, for those that stop it."""
    with PostgresServer() as server:
        yield server
