"""The redis-stream handler against a real Redis (P8)."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network
from typing import Any

import pytest
import redis

from concord.adapters.other_brokers import OtherBrokers
from concord.errors import HandlerError, HandlerRefusedError, QueueDownError
from concord.handlers import HandlerTools
from concord.handlers.celery_task import CeleryHandler, CeleryOptions
from concord.handlers.own_redis import HomeGuard, OwnServer, server_of
from concord.handlers.redis_stream import RedisStreamHandler, RedisStreamOptions
from concord.settings import WebhookSettings
from concord.wording import english
from tests.fakes.handlers import make_consignment, make_event, make_tools
from tests.servers.redis import RedisServer


def handler(server: RedisServer, options: RedisStreamOptions | None = None) -> RedisStreamHandler:
    tools = make_tools(connect=lambda: redis.Redis(port=server.port, socket_timeout=5))
    return RedisStreamHandler(options or RedisStreamOptions(), tools)


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
    assert "concord:events" in english.explain(caught.value)


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


@pytest.fixture
def other_redis() -> Iterator[RedisServer]:
    """Another application's, with a password."""
    with RedisServer(password="their-word") as server:
        yield server


def local_tools(**others: Any) -> HandlerTools:
    """Tools that may call this machine."""
    return make_tools(webhook=WebhookSettings(allow_networks=(ip_network("127.0.0.0/8"),)), **others)


def addresses(server: RedisServer) -> tuple[str, str]:
    """Without and with the password."""
    return f"redis://127.0.0.1:{server.port}/0", f"redis://:their-word@127.0.0.1:{server.port}/0"


def test_events_go_to_a_redis_of_the_handlers_own(empty_redis: RedisServer, other_redis: RedisServer) -> None:
    url, secret = addresses(other_redis)
    given = make_consignment()
    own = RedisStreamHandler(RedisStreamOptions(url=url), local_tools(), secret)

    assert own.deliver(given) == own.deliver(given)

    with other_redis.client() as there, empty_redis.client() as here:
        assert there.xlen("concord:events") == 1
        assert here.keys("*events*") == []


def test_a_redis_of_its_own_that_is_away_is_a_receiver_that_is_away(other_redis: RedisServer) -> None:
    """Not our own infrastructure: the attempt counts."""
    url, secret = addresses(other_redis)
    own = RedisStreamHandler(RedisStreamOptions(url=url), local_tools(), secret)
    other_redis.stop()

    with pytest.raises(HandlerError) as caught:
        own.deliver(make_consignment())

    assert not isinstance(caught.value, QueueDownError)
    assert "their-word" not in english.explain(caught.value)


def test_a_wrong_password_is_told_without_it(other_redis: RedisServer) -> None:
    url, secret = addresses(other_redis)
    own = RedisStreamHandler(RedisStreamOptions(url=url), local_tools(), secret.replace("their-word", "wrong-word"))

    with pytest.raises((HandlerError, HandlerRefusedError)) as caught:
        own.deliver(make_consignment())

    assert "wrong-word" not in english.explain(caught.value)


def test_a_task_goes_to_the_other_applications_broker(empty_redis: RedisServer, other_redis: RedisServer) -> None:
    url, secret = addresses(other_redis)
    brokers = OtherBrokers(WebhookSettings(connect_timeout=2, timeout=2))
    options = CeleryOptions(url=url, key_prefix="crm:", task="crm.take", queue="crm")
    given = make_consignment()

    CeleryHandler(options, local_tools(send_elsewhere=brokers.send), secret).deliver(given)

    with other_redis.client() as there, empty_redis.client() as here:
        [sent] = [json.loads(raw) for raw in there.lrange("crm:crm", 0, -1)]
        assert here.keys("*crm*") == []
    assert (sent["headers"]["task"], sent["headers"]["id"]) == ("crm.take", given.id)
    [[document], _, _] = json.loads(base64.b64decode(sent["body"]))
    assert document == given.event


def test_a_broker_that_is_away_is_told_soon_and_without_its_password(other_redis: RedisServer) -> None:
    url, secret = addresses(other_redis)
    brokers = OtherBrokers(WebhookSettings(connect_timeout=2, timeout=2))
    handler = CeleryHandler(
        CeleryOptions(url=url, task="crm.take", queue="crm"), local_tools(send_elsewhere=brokers.send), secret
    )
    other_redis.stop()

    with pytest.raises(HandlerError) as caught:
        handler.deliver(make_consignment())

    assert not isinstance(caught.value, QueueDownError)
    assert "their-word" not in english.explain(caught.value)


# An address that leads home (P8): one configuration must not silence all mail.


def home_tools(server: RedisServer) -> HandlerTools:
    def own() -> OwnServer | None:
        with server.client() as client:
            return server_of(client)

    webhook = WebhookSettings(allow_networks=(ip_network("127.0.0.0/8"),))
    return make_tools(webhook=webhook, send_elsewhere=OtherBrokers(webhook).send, home=HomeGuard("concord:", own))


@pytest.mark.parametrize("key", ["concord:beat::lock", "concord:unacked", "concord:email", "concord:canary.poll@here"])
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_stream_at_concords_own_redis_is_refused_under_its_names(other_redis: RedisServer, host: str, key: str) -> None:
    url, secret = (one.replace("127.0.0.1", host) for one in addresses(other_redis))
    stream = RedisStreamHandler(RedisStreamOptions(url=url, key=key), home_tools(other_redis), secret)

    with pytest.raises(HandlerRefusedError, match="Concord's own Redis"):
        stream.deliver(make_consignment())

    with other_redis.client() as client:
        assert not client.exists(key)


@pytest.mark.parametrize(
    ("prefix", "queue"), [("concord:", "worker:x"), ("concord:beat", "::lock"), ("", "concord:unacked")]
)
def test_task_at_concords_own_redis_is_refused_under_its_names(
    other_redis: RedisServer, prefix: str, queue: str
) -> None:
    url, secret = addresses(other_redis)
    options = CeleryOptions(url=url, key_prefix=prefix, task="x", queue=queue)

    with pytest.raises(HandlerRefusedError, match="Concord's own Redis"):
        CeleryHandler(options, home_tools(other_redis), secret).deliver(make_consignment())

    with other_redis.client() as client:
        assert not client.exists(f"{prefix}{queue}")


@pytest.mark.parametrize("key", ["concord:events", "orders"])
def test_stream_at_concords_own_redis_is_taken_under_another_name(other_redis: RedisServer, key: str) -> None:
    url, secret = addresses(other_redis)

    assert RedisStreamHandler(RedisStreamOptions(url=url, key=key), home_tools(other_redis), secret).deliver(
        make_consignment()
    )


def test_nothing_is_sent_under_such_a_name_while_concords_own_redis_cannot_be_asked(other_redis: RedisServer) -> None:
    """Else a restart of it would open the way."""

    def away() -> OwnServer | None:
        raise QueueDownError("no_answer")

    url, secret = addresses(other_redis)
    tools = replace(home_tools(other_redis), home=HomeGuard("concord:", away))
    stream = RedisStreamHandler(RedisStreamOptions(url=url, key="concord:unacked"), tools, secret)

    with pytest.raises(QueueDownError):
        stream.deliver(make_consignment())

    with other_redis.client() as client:
        assert not client.exists("concord:unacked")
