"""Fixtures: one redis-server for the whole run, emptied before each test that asks for it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.redis import RedisServer
from tests.servers.sentinel import SentinelSet


@pytest.fixture(scope="session")
def redis_server() -> Iterator[RedisServer]:
    """A running server, shared: what it holds may be another test's."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def empty_redis(redis_server: RedisServer) -> RedisServer:
    """The shared server, running and empty."""
    redis_server.thaw()
    redis_server.start()
    redis_server.flushall()
    return redis_server


@pytest.fixture
def own_redis() -> Iterator[RedisServer]:
    """A server of this test's own, for those that stop or freeze it."""
    with RedisServer() as server:
        yield server


@pytest.fixture
def sentinel() -> Iterator[SentinelSet]:
    """A master, a replica and three sentinels."""
    with SentinelSet() as servers:
        yield servers
