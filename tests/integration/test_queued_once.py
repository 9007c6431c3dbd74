"""Marks of what waits in a queue, on a real Redis: one message of a task waits, and a lost one is made good."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import redis

from concord.adapters.queued_once import HANDS_SECONDS, QueuedOnce, Ticket
from concord.adapters.task_names import LEVEL, POLL_EMAIL_ACCOUNT, POLL_QUEUE, step_key
from concord.settings import Settings
from tests.servers.redis import RedisServer

MARKS, BEGUN = f"concord:once:{POLL_QUEUE}:{LEVEL}", f"concord:begun:{POLL_QUEUE}:{LEVEL}"
LIST = "concord:" + step_key(POLL_QUEUE, LEVEL)
PATIENCE = Settings().poll.budget + HANDS_SECONDS


@pytest.fixture
def client(empty_redis: RedisServer) -> Iterator[redis.Redis]:
    with empty_redis.client() as connected:
        yield connected


@pytest.fixture
def once(client: redis.Redis) -> QueuedOnce:
    return QueuedOnce(client, Settings())


def poll(account: int) -> Ticket:
    made = Ticket.of(POLL_EMAIL_ACCOUNT, [account], queue=POLL_QUEUE, step=LEVEL)
    assert made is not None
    return made


def age(client: redis.Redis, ticket: Ticket, seconds: float) -> None:
    """As if it had been marked so many seconds ago."""
    client.zadd(MARKS, {ticket.member: time.time() - seconds})


def test_what_waits_is_not_sent_again(once: QueuedOnce) -> None:
    assert once.mark([poll(1), poll(2)]) == {poll(1), poll(2)}
    assert once.mark([poll(1), poll(2), poll(3)]) == {poll(3)}


def test_what_has_begun_may_be_sent_again(once: QueuedOnce) -> None:
    once.mark([poll(1)])
    once.begin(poll(1))

    assert once.mark([poll(1)]) == {poll(1)}


def test_tasks_of_other_kinds_have_no_ticket() -> None:
    assert Ticket.of("concord.deliver", [[1]], queue=POLL_QUEUE, step=LEVEL) is None


def test_mark_stands_for_as_long_as_its_message_waits(once: QueuedOnce, client: redis.Redis) -> None:
    """No worker for hours: the queue is not empty, and nothing behind it has begun."""
    once.mark([poll(1)])
    client.lpush(LIST, "its message")
    age(client, poll(1), 10 * 3600)

    assert once.mark([poll(1)]) == set()


def test_mark_of_a_lost_message_is_void_once_the_queue_is_empty(once: QueuedOnce, client: redis.Redis) -> None:
    once.mark([poll(1)])
    assert once.mark([poll(1)]) == set()  # it may be in a worker's hands
    age(client, poll(1), PATIENCE + 1)

    assert once.mark([poll(1)]) == {poll(1)}


def test_mark_of_a_lost_message_is_void_where_a_later_one_has_begun(once: QueuedOnce, client: redis.Redis) -> None:
    """Under load the queue is never empty."""
    client.lpush(LIST, "another's message")
    once.mark([poll(1), poll(2)])
    age(client, poll(1), PATIENCE + 10)
    age(client, poll(2), 5)
    assert once.mark([poll(1)]) == set()

    once.begin(poll(2))

    assert once.mark([poll(1)]) == {poll(1)}


@pytest.mark.parametrize("key", [MARKS, BEGUN])
def test_clock_of_redis_set_back_stops_nothing(once: QueuedOnce, client: redis.Redis, key: str) -> None:
    """What was marked an hour ahead is void; what began an hour ahead proves nothing."""
    once.mark([poll(1)])
    once.begin(poll(1))
    if key == MARKS:
        age(client, poll(1), -3600)
        assert once.mark([poll(1)]) == {poll(1)}
    else:
        once.mark([poll(1)])
        client.set(BEGUN, time.time() + 3600)
        client.lpush(LIST, "its message")
        age(client, poll(1), PATIENCE + 1)
        assert once.mark([poll(1)]) == set()


def test_marks_of_accounts_long_gone_are_forgotten(once: QueuedOnce, client: redis.Redis) -> None:
    once.mark([poll(1)])
    age(client, poll(1), 2 * 86_400)

    once.mark([poll(2)])

    assert client.zrange(MARKS, 0, -1) == [poll(2).member]


def test_flush_forgets_marks_and_messages_together(once: QueuedOnce, client: redis.Redis) -> None:
    once.mark([poll(1)])
    client.flushall()

    assert once.mark([poll(1)]) == {poll(1)}


def test_full_redis_lets_a_worker_unmark(once: QueuedOnce, client: redis.Redis) -> None:
    """`maxmemory`: what frees memory still works."""
    once.mark([poll(1)])
    client.config_set("maxmemory", "1")
    try:
        once.begin(poll(1))
        assert client.zcard(MARKS) == 0
    finally:
        client.config_set("maxmemory", "0")
