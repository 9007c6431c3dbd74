"""What a worker has in hand when its connection to Redis is given up."""

from __future__ import annotations

from typing import Any

import pytest
from kombu.connection import Connection

from concord.adapters.unacked import use_unacked
from tests.servers.redis import RedisServer


@pytest.fixture
def connection(own_redis: RedisServer) -> Any:
    """One of kombu's."""
    use_unacked()
    made: Any = Connection(own_redis.url)  # type: ignore[no-untyped-call]  # kombu is typed in part
    return made


@pytest.fixture
def queue(connection: Any) -> Any:
    """A message was taken from it and is neither acknowledged nor rejected."""
    made = connection.SimpleQueue("work")
    made.put("hello")
    made.get(timeout=5)
    return made


def test_a_channel_whose_connection_was_given_up_closes_and_its_message_stays(
    connection: Any, queue: Any, own_redis: RedisServer
) -> None:
    """O6: kombu's AttributeError would end the worker."""
    connection.transport.client = None  # as Connection.collect leaves it

    queue.channel.close()

    with own_redis.client() as client:
        assert client.hlen("unacked") == 1


def test_a_channel_that_is_closed_gives_its_messages_back(queue: Any, own_redis: RedisServer) -> None:
    queue.channel.close()

    with own_redis.client() as client:
        assert (client.hlen("unacked"), client.llen("work")) == (0, 1)
