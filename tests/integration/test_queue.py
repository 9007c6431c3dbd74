"""The queue against a real Redis."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator

import pytest
from celery import Celery
from kombu import pools
from pydantic import SecretStr

from concord.adapters.celery import make_app
from concord.adapters.queue import CeleryQueue
from concord.adapters.task_names import BEHIND, DELIVER_QUEUE, LEVEL, MAIL_QUEUE, POLL_QUEUE, URGENT, step_key
from concord.errors import QueueDownError
from concord.model.account import Priority
from concord.model.delivery import OutboxRef
from concord.model.message import MessageRef
from concord.settings import RedisSettings, Settings
from tests.servers.redis import RedisServer


def quick(url: str) -> Settings:
    return Settings(redis=RedisSettings(url=SecretStr(url), socket_timeout=1, connect_timeout=1))


@pytest.fixture
def settings(empty_redis: RedisServer) -> Settings:
    return quick(empty_redis.url)


def closing(settings: Settings) -> Iterator[Celery]:
    app = make_app(settings)
    yield app
    pools.reset()  # type: ignore[no-untyped-call]  # kombu is typed in part; its pools are the process's
    app.close()
    app.redbeat_redis.close()


@pytest.fixture
def app(settings: Settings) -> Iterator[Celery]:
    yield from closing(settings)


@pytest.fixture
def queue(app: Celery, settings: Settings) -> CeleryQueue:
    return CeleryQueue(app, settings)


@pytest.fixture
def own_queue(own_redis: RedisServer) -> Iterator[CeleryQueue]:
    settings = quick(own_redis.url)
    for app in closing(settings):
        yield CeleryQueue(app, settings)


def headers(server: RedisServer, queue: str, step: int) -> list[dict[str, object]]:
    with server.client() as client:
        return [json.loads(raw)["headers"] for raw in client.lrange("concord:" + step_key(queue, step), 0, -1)]


def waiting(*ids: int, lane: str = "inbox", priority: Priority = Priority.NORMAL, **more: bool) -> list[OutboxRef]:
    return [OutboxRef(id=number, lane=lane, account="office", priority=priority, **more) for number in ids]


def refs(priority: Priority, *ids: int) -> list[MessageRef]:
    return [MessageRef(id=number, priority=priority, size=10) for number in ids]


def test_reconciliation_waits_once_and_behind_polls(queue: CeleryQueue, empty_redis: RedisServer) -> None:
    """O7."""
    queue.reconcile(7)
    queue.reconcile(7)

    (header,) = headers(empty_redis, POLL_QUEUE, BEHIND)
    assert header["task"] == "concord.reconcile_account"
    assert header["expires"] is None


def test_memory_is_what_redis_says(queue: CeleryQueue, empty_redis: RedisServer) -> None:
    """U4."""
    with empty_redis.client() as client:
        client.config_set("maxmemory", "200mb")
        told = queue.memory()
        client.config_set("maxmemory", "0")

    assert told.used > 100_000
    assert told.limit == 200 * 1024 * 1024
    assert queue.memory().limit == 0


def test_one_poll_of_an_account_waits_without_expiry(queue: CeleryQueue, empty_redis: RedisServer) -> None:
    """P1."""
    queue.poll(7)
    queue.poll(7)

    (sent,) = headers(empty_redis, POLL_QUEUE, LEVEL)
    assert sent["task"] == "concord.poll_email_account"
    assert sent["argsrepr"] == "[7]"
    assert sent["expires"] is None


def test_a_poll_that_a_person_waits_for_goes_first(queue: CeleryQueue, empty_redis: RedisServer) -> None:
    queue.poll(7, forced=True)

    (sent,) = headers(empty_redis, POLL_QUEUE, URGENT)
    assert sent["argsrepr"] == "[7, True]"
    assert sent["expires"] is None


def test_a_poll_that_could_not_be_sent_is_not_taken_for_one_that_waits(
    queue: CeleryQueue, app: Celery, empty_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ConnectionResetError

    with monkeypatch.context() as broken:
        broken.setattr(app, "send_task", refuse)
        with pytest.raises(QueueDownError):
            queue.poll(7)
    queue.poll(7)

    assert len(headers(empty_redis, POLL_QUEUE, LEVEL)) == 1


def test_priorities_lie_in_lists_of_their_own(queue: CeleryQueue, empty_redis: RedisServer) -> None:
    """P10."""
    queue.process([*refs(Priority.NORMAL, 1, 2), *refs(Priority.HIGH, 3), *refs(Priority.LOW, 4)])

    told = {
        step: [sent["argsrepr"] for sent in headers(empty_redis, MAIL_QUEUE, step)] for step in (URGENT, LEVEL, BEHIND)
    }
    assert told == {URGENT: ["[[3]]"], LEVEL: ["[[1, 2]]"], BEHIND: ["[[4]]"]}


def test_deliveries_travel_with_their_messages_priority(queue: CeleryQueue, empty_redis: RedisServer) -> None:
    """P10: with a thousand waiting, an urgent one is the next that a worker gets."""
    queue.deliver(waiting(*range(1000)))
    queue.deliver([*waiting(2000, priority=Priority.HIGH), *waiting(2001, priority=Priority.LOW)])

    (urgent,) = headers(empty_redis, DELIVER_QUEUE, URGENT)
    assert urgent["argsrepr"] == "[[2000]]"
    assert len(headers(empty_redis, DELIVER_QUEUE, LEVEL)) == 50
    assert len(headers(empty_redis, DELIVER_QUEUE, BEHIND)) == 1
    assert queue.depth()[POLL_QUEUE] == 0


def test_a_task_has_deliveries_of_one_handler(queue: CeleryQueue, empty_redis: RedisServer) -> None:
    """A slow handler's are not among others'; a suspect one is alone."""
    queue.deliver([*waiting(1, 2, lane="slow"), *waiting(3, lane="quick"), *waiting(4, lane="quick", suspect=True)])
    queue.advance([*waiting(5, lane="onboard"), *waiting(6, lane="offboard")])

    told = sorted(str(sent["argsrepr"]) for sent in headers(empty_redis, DELIVER_QUEUE, LEVEL))
    assert told == ["[[1, 2]]", "[[3]]", "[[4]]", "[[5]]", "[[6]]"]


def test_depth_counts_each_queue_over_all_priorities(queue: CeleryQueue) -> None:
    queue.process([*refs(Priority.HIGH, 1, 2), *refs(Priority.LOW, 3)])
    queue.poll(1)
    queue.advance(waiting(1))

    assert queue.depth() == {POLL_QUEUE: 1, MAIL_QUEUE: 3, DELIVER_QUEUE: 1, "unacked": 0}


def test_every_key_has_our_prefix(queue: CeleryQueue, empty_redis: RedisServer) -> None:
    """Trap 25: others may use this Redis too."""
    queue.poll(1)
    queue.process(refs(Priority.NORMAL, 1))

    with empty_redis.client() as client:
        assert [key for key in client.scan_iter() if not key.startswith("concord:")] == []


@pytest.mark.parametrize("call", ["poll", "depth"])
def test_stopped_redis_is_told_at_once(own_queue: CeleryQueue, own_redis: RedisServer, call: str) -> None:
    """O6."""
    own_queue.poll(1)
    own_redis.stop()

    begun = time.monotonic()
    with pytest.raises(QueueDownError):
        own_queue.poll(2) if call == "poll" else own_queue.depth()

    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("used_before", [True, False])
def test_frozen_redis_holds_nobody_for_ever(
    own_queue: CeleryQueue, own_redis: RedisServer, *, used_before: bool
) -> None:
    """Trap 22, 37: open connections, no answers."""
    if used_before:
        own_queue.poll(1)
    own_redis.freeze()

    begun = time.monotonic()
    with pytest.raises(QueueDownError):
        own_queue.poll(2)

    assert time.monotonic() - begun < 8


def test_queue_works_again_once_redis_is_back(own_queue: CeleryQueue, own_redis: RedisServer) -> None:
    """O6: everything resumes alone."""
    own_queue.poll(1)
    own_redis.stop()
    with pytest.raises(QueueDownError):
        own_queue.poll(2)

    own_redis.start()
    own_queue.poll(3)

    assert own_queue.depth()[POLL_QUEUE] == 1
