"""The Redis of a handler of its own: where it is, with which password, and that Concord's own is not filled."""

from __future__ import annotations

from typing import Any

import pytest

from concord.errors import AddressForbiddenError, BrokerCrowdedError, HandlerRefusedError, UsageError
from concord.handlers import Handlers
from concord.handlers.address import Address, address_of, check_secret
from concord.handlers.celery_task import CeleryHandler, CeleryOptions
from concord.handlers.options import read
from concord.handlers.own_redis import refuse_own_queue
from concord.handlers.redis_stream import RedisStreamHandler, RedisStreamOptions, refuse_own_key
from concord.model.rule import HandlerSpec
from concord.pipeline.retry import next_try
from concord.ports import Handler, RedisMemory
from concord.settings import DispatchSettings
from concord.wording import english
from tests.fakes.handlers import NOW, SentElsewhere, SentTasks, make_consignment, make_tools, public, sealed

URL = "redis://redis.example.com:6380/2"
WITH_PASSWORD = "redis://mailer:s%40same@redis.example.com:6380/2"
MEGABYTE = 1024 * 1024


@pytest.mark.parametrize(
    "url",
    [
        "http://redis.example.com",
        "redis://",
        "redis://redis.example.com/one",
        "redis://redis.example.com:70000",
        "redis://redis.example.com/0?socket_timeout=9",
        "unix:///run/redis.sock",
        WITH_PASSWORD,
    ],
)
@pytest.mark.parametrize("kind", ["redis-stream", "celery"])
def test_address_that_cannot_be_used_is_refused_and_not_shown(kind: str, url: str) -> None:
    models: dict[str, Any] = {"redis-stream": RedisStreamOptions, "celery": CeleryOptions}
    needed = {} if kind == "redis-stream" else {"task": "crm.take", "queue": "crm"}

    with pytest.raises(UsageError) as caught:
        read(models[kind], {"url": url, **needed}, kind=kind)

    assert "s%40same" not in english.explain(caught.value)


def test_secret_is_the_same_address_with_its_password() -> None:
    address = address_of(URL, WITH_PASSWORD)

    assert address is not None
    assert (address.host, address.port, address.database, address.user, address.password) == (
        "redis.example.com",
        6380,
        2,
        "mailer",
        "s@same",
    )
    assert address.url == WITH_PASSWORD
    assert "s@same" not in repr(address)


@pytest.mark.parametrize(
    ("url", "secret"),
    [
        ("redis://evil.example.net:6380/2", WITH_PASSWORD),
        ("redis://redis.example.com:6379/2", WITH_PASSWORD),
        ("rediss://redis.example.com:6380/2", WITH_PASSWORD),
        (None, WITH_PASSWORD),
        (URL, URL),
        (URL, "sesame"),
    ],
)
def test_password_goes_nowhere_but_where_it_was_typed_for(url: str | None, secret: str) -> None:
    """Whoever may change the address must not learn the password by it."""
    with pytest.raises(UsageError) as caught:
        address_of(url, secret)

    assert "same" not in english.explain(caught.value).replace("the same address", "")


def test_a_kept_handler_whose_address_was_changed_is_refused() -> None:
    spec = HandlerSpec(
        name="crm", kind="redis-stream", options={"url": "redis://evil.example.net"}, secret=sealed(WITH_PASSWORD)
    )

    with pytest.raises(HandlerRefusedError):
        Handlers(make_tools()).get(spec)


def test_secret_without_a_password_is_refused() -> None:
    with pytest.raises(UsageError):
        check_secret(URL)


def test_private_address_is_refused_like_a_webhooks() -> None:
    options = CeleryOptions(task="crm.take", queue="crm", url="redis://10.0.0.7")
    tools = make_tools(resolve=public, send_elsewhere=SentElsewhere())

    with pytest.raises(AddressForbiddenError):
        CeleryHandler(options, tools).deliver(make_consignment())


def test_task_goes_to_the_checked_address_of_the_other_broker() -> None:
    elsewhere = SentElsewhere()
    options = CeleryOptions(task="crm.take", queue="crm", url=URL, key_prefix="crm:")

    CeleryHandler(options, make_tools(resolve=public, send_elsewhere=elsewhere), WITH_PASSWORD).deliver(
        make_consignment()
    )

    [(url, prefix, name, _, queue, _)] = elsewhere.sent
    assert url == "redis://mailer:s%40same@192.0.46.8:6380/2"
    assert (prefix, name, queue) == ("crm:", "crm.take", "crm")


@pytest.mark.parametrize(
    ("memory", "is_refused"),
    [
        (RedisMemory(used=10 * MEGABYTE, limit=0), False),
        (RedisMemory(used=300 * MEGABYTE, limit=0), True),
        (RedisMemory(used=60 * MEGABYTE, limit=100 * MEGABYTE), True),
        (RedisMemory(used=300 * MEGABYTE, limit=8192 * MEGABYTE), True),
    ],
)
def test_own_redis_takes_events_only_as_long_as_it_has_room(memory: RedisMemory, is_refused: bool) -> None:  # noqa: FBT001 - a parameter of this table
    """It never evicts: a queue that nobody reads filled it, and all mail stopped."""
    broker = SentTasks()
    tools = make_tools(memory=lambda: memory, send_task=broker)
    handlers: list[Handler] = [
        CeleryHandler(CeleryOptions(task="crm.take", queue="crm"), tools),
        RedisStreamHandler(RedisStreamOptions(), tools),
    ]

    if not is_refused:
        handlers[0].deliver(make_consignment())
        assert len(broker.sent) == 1
        return
    for handler in handlers:
        with pytest.raises(BrokerCrowdedError) as caught:
            handler.deliver(make_consignment())
        again = next_try(caught.value, failures=10, settings=DispatchSettings(), now=NOW)
        assert again is not None
        assert not again.counts
    assert broker.sent == []


def test_another_redis_is_not_measured_by_our_own() -> None:
    elsewhere = SentElsewhere()
    full = RedisMemory(used=900 * MEGABYTE, limit=1000 * MEGABYTE)
    options = CeleryOptions(task="crm.take", queue="crm", url=URL)

    CeleryHandler(options, make_tools(memory=lambda: full, resolve=public, send_elsewhere=elsewhere)).deliver(
        make_consignment()
    )

    assert len(elsewhere.sent) == 1


@pytest.mark.parametrize("key", ["concord:email", "concord:email\x06\x163", "concord:unacked", "concord:beat::x"])
def test_own_keys_are_refused(key: str) -> None:
    with pytest.raises(UsageError):
        refuse_own_key(key, "concord:")


@pytest.mark.parametrize(("key", "prefix"), [("concord:events", "concord:"), ("email", "concord:"), ("mails", "")])
def test_other_keys_are_taken(key: str, prefix: str) -> None:
    refuse_own_key(key, prefix)


def test_tls_keeps_the_name_that_its_certificate_proves() -> None:
    elsewhere = SentElsewhere()
    options = CeleryOptions(task="crm.take", queue="crm", url="rediss://redis.example.com")

    CeleryHandler(options, make_tools(resolve=public, send_elsewhere=elsewhere)).deliver(make_consignment())

    assert elsewhere.sent[0][0] == "rediss://redis.example.com:6379/0"


def test_default_port_and_database() -> None:
    assert address_of("redis://[2001:db8::1]", None) == Address(host="2001:db8::1", port=6379, database=0, is_tls=False)


OWN_NAMES = [
    "email",
    "email-poll",
    "email-deliver\x06\x163",
    "unacked",
    "unacked_index",
    "beat::lock",
    "beat:tick",
    "once:email:0",
    "begun:email:0",
    "worker:poll@here",
    "workers",
    "canary.poll@here",
    "_kombu.binding.email",
    "poll@here.celery.pidbox",
    "celeryev.x",
]


@pytest.mark.parametrize("name", OWN_NAMES)
def test_task_on_a_queue_of_concords_own_name_is_refused(name: str) -> None:
    """A list under the name of Beat's lock or of what workers have in hand would silence all mail."""
    with pytest.raises(UsageError):
        refuse_own_queue(name)
    with pytest.raises(UsageError):
        refuse_own_key(f"concord:{name}", "concord:")


@pytest.mark.parametrize("name", ["crm", "celery", "emails-out", "orders", "beats", "mail"])
def test_other_queues_are_taken(name: str) -> None:
    refuse_own_queue(name)


@pytest.mark.parametrize("name", OWN_NAMES)
def test_own_queue_is_refused_before_the_first_delivery(name: str) -> None:
    with pytest.raises((UsageError, ValueError)):
        CeleryHandler(CeleryOptions(task="x", queue=name), make_tools())
