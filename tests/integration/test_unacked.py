"""What a worker has in hand when its connection to Redis is given up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from kombu.connection import Connection
from kombu.transport import redis as transport

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


# Whose clock: one host's is an hour off, and Redis's decides.

HOUR = 3600


@pytest.fixture(params=[HOUR, -HOUR], ids=["ahead", "behind"])
def skewed(request: pytest.FixtureRequest, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A queue on a host whose clock is an hour off. Its visibility timeout is ten minutes."""

    def clock(real: Callable[[], float] = time.time) -> float:
        return float(real() + request.param)

    monkeypatch.setattr(transport, "time", clock)
    monkeypatch.setattr(time, "time", clock)
    use_unacked()
    options = {"visibility_timeout": 600, "unacked_restore_throttle": 1}
    with Connection(own_redis.url, transport_options=options) as connection:  # type: ignore[no-untyped-call]  # kombu is typed in part
        yield connection.SimpleQueue("work")


def test_messages_are_dated_by_the_clock_of_redis(skewed: Any, own_redis: RedisServer) -> None:
    skewed.put("hello")
    skewed.get(timeout=5)

    with own_redis.client() as client:
        [(_, taken_at)] = client.zrange("unacked_index", 0, -1, withscores=True)
        assert abs(taken_at - client.time()[0]) < 60


@pytest.mark.parametrize(("age", "waiting"), [(60, 0), (660, 1)])
def test_visibility_timeout_is_judged_by_the_clock_of_redis(
    skewed: Any, own_redis: RedisServer, age: float, waiting: int
) -> None:
    """A clock that is ahead would hand out what others have in hand; one behind would leave what a dead one had."""
    skewed.put("hello")
    skewed.get(timeout=5)
    with own_redis.client() as client:
        [tag] = client.zrange("unacked_index", 0, -1)
        client.zadd("unacked_index", {tag: client.time()[0] - age})

        skewed.channel.qos.restore_visible(interval=1)

        assert client.llen("work") == waiting
