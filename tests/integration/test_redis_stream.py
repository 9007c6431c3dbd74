"""The redis-stream handler against a real Redis (P8)."""

from __future__ import annotations

import json

import pytest
import redis

from concord.errors import HandlerRefusedError, QueueDownError
from concord.handlers.redis_stream import RedisStreamHandler, RedisStreamOptions
from tests.fakes.handlers import make_consignment, make_event
from tests.servers.redis import RedisServer


def handler(server: RedisServer, options: RedisStreamOptions | None = None) -> RedisStreamHandler:
    return RedisStreamHandler(options or RedisStreamOptions(), lambda: redis.Redis(port=server.port, socket_timeout=5))


def test_an_entry_has_the_id_and_the_document(empty_redis: RedisServer) -> None:
    given = make_consignment(make_event(subject="订单"))

    facts = handler(empty_redis).deliver(given)

    with empty_redis.client() as client:
        ((entry, fields),) = client.xrange("concord:events")
    assert facts == {"stream": "concord:events", "entry": entry}
    assert fields["id"] == given.event["id"]
    assert json.loads(fields["document"]) == given.event


def test_the_same_delivery_twice_is_one_entry(empty_redis: RedisServer) -> None:
    first = handler(empty_redis).deliver(make_consignment())
    second = handler(empty_redis).deliver(make_consignment(attempt=2))

    assert first == second
    with empty_redis.client() as client:
        assert client.xlen("concord:events") == 1


def test_a_replay_is_another_entry(empty_redis: RedisServer) -> None:
    handler(empty_redis).deliver(make_consignment(id="first round"))
    handler(empty_redis).deliver(make_consignment(id="second round"))

    with empty_redis.client() as client:
        assert client.xlen("concord:events") == 2


def test_a_repetition_is_remembered_for_a_while_only(empty_redis: RedisServer) -> None:
    handler(empty_redis, RedisStreamOptions(remember=60)).deliver(make_consignment(id="c"))

    with empty_redis.client() as client:
        assert 0 < client.ttl("concord:events:sent:c") <= 60


def test_the_stream_stays_near_its_length(empty_redis: RedisServer) -> None:
    small = handler(empty_redis, RedisStreamOptions(maxlen=10))

    for number in range(500):
        small.deliver(make_consignment(id=str(number)))

    with empty_redis.client() as client:
        assert client.xlen("concord:events") < 200  # Redis trims whole nodes of about a hundred entries


def test_a_big_event_goes_without_its_html(empty_redis: RedisServer) -> None:
    handler(empty_redis, RedisStreamOptions(max_bytes=2000)).deliver(make_consignment(make_event(html="x" * 5000)))

    with empty_redis.client() as client:
        ((_, fields),) = client.xrange("concord:events")
    assert json.loads(fields["document"])["data"]["truncated"] is True


def test_a_key_that_is_no_stream_is_refused_and_leaves_no_mark(empty_redis: RedisServer) -> None:
    with empty_redis.client() as client:
        client.set("concord:events", "a string")

        with pytest.raises(HandlerRefusedError) as caught:
            handler(empty_redis).deliver(make_consignment())

        assert client.keys("*") == ["concord:events"]
    assert "concord:events" in caught.value.explain()


def test_a_stopped_redis_is_our_own_trouble(own_redis: RedisServer) -> None:
    waiting = handler(own_redis)
    own_redis.stop()

    with pytest.raises(QueueDownError):
        waiting.deliver(make_consignment())

    own_redis.start()
    assert waiting.deliver(make_consignment())["stream"] == "concord:events"


def test_a_full_redis_is_our_own_trouble(own_redis: RedisServer) -> None:
    with own_redis.client() as client:
        client.config_set("maxmemory", "1")

    with pytest.raises(QueueDownError):
        handler(own_redis).deliver(make_consignment())
