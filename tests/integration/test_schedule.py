"""The schedule against a real Redis, and the memory twin beside it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest
from celery import Celery
from kombu import pools
from pydantic import SecretStr
from structlog.testing import capture_logs

from concord.adapters.celery import make_app
from concord.adapters.queued_once import Ticket
from concord.adapters.redbeat import ConcordScheduler, RedBeatSchedule
from concord.adapters.task_names import LEVEL, POLL_EMAIL_ACCOUNT, POLL_QUEUE, SWEEP, SYNC_EMAIL_TASKS, step_key
from concord.errors import QueueDownError
from concord.ports import Schedule, ScheduledPoll, SyncStats
from concord.settings import RedisSettings, Settings
from tests.fakes.queue import MemorySchedule
from tests.servers.redis import RedisServer

SCHEDULE = "concord:beat::schedule"
LEASE = "concord:beat::lock"


class Clock:
    """Stands still until told."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


def quick(url: str) -> Settings:
    return Settings(redis=RedisSettings(url=SecretStr(url), socket_timeout=1, connect_timeout=1))


@pytest.fixture
def app(empty_redis: RedisServer) -> Iterator[Celery]:
    made = make_app(quick(empty_redis.url))
    yield made
    pools.reset()  # type: ignore[no-untyped-call]  # kombu is typed in part; its pools are the process's
    made.close()
    made.redbeat_redis.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def real(app: Celery, clock: Clock) -> RedBeatSchedule:
    schedule = RedBeatSchedule(app)
    schedule.clock = clock
    return schedule


@pytest.fixture(params=["memory", "redbeat"])
def schedule(request: pytest.FixtureRequest, app: Celery) -> Schedule:
    return MemorySchedule() if request.param == "memory" else RedBeatSchedule(app)


@pytest.fixture
def scheduler(app: Celery, clock: Clock) -> ConcordScheduler:
    return watched(app, clock)


def watched(app: Celery, clock: Clock) -> ConcordScheduler:
    made = ConcordScheduler(app)
    made.clock = clock
    return made


@pytest.fixture
def sent(app: Celery, monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """What the scheduler sent, in order. A worker begins each at once."""
    fired: list[tuple[object, ...]] = []

    def take(name: str, args: Sequence[object], *_: object, queue: str, priority: int, **__: object) -> None:
        fired.append((name, *args))
        ticket = Ticket.of(name, args, queue=queue, step=priority)
        if ticket is not None:
            app.queued_once.begin(ticket)

    monkeypatch.setattr(app, "send_task", take)
    return fired


def waiting(server: RedisServer) -> list[str]:
    """The ids in the queue of polls, those that a worker takes first in front."""
    with server.client() as client:
        messages = client.lrange("concord:" + step_key(POLL_QUEUE, LEVEL), 0, -1)
    return [json.loads(message)["headers"]["argsrepr"] for message in reversed(messages)]


def polls(*ids: int, interval: int = 60) -> list[ScheduledPoll]:
    return [ScheduledPoll(account_id=number, interval=interval) for number in ids]


def run(scheduler: ConcordScheduler, clock: Clock, seconds: float) -> None:
    """Tick through so many seconds as Beat would."""
    end = clock.now + seconds
    while clock.now < end:
        clock.now = min(clock.now + scheduler.tick(), end)


# The contract: memory and Redis alike.


def test_sync_counts_what_it_changed(schedule: Schedule) -> None:
    """P2."""
    schedule.replace(polls(1, 2, 3))

    stats = schedule.replace([*polls(2), *polls(3, interval=30), *polls(4, 5)])

    assert stats == SyncStats(added=2, removed=1, updated=1, total=4)


def test_second_sync_changes_nothing(schedule: Schedule) -> None:
    """P2."""
    schedule.replace(polls(1, 2))

    assert schedule.replace(polls(1, 2)) == SyncStats(added=0, removed=0, updated=0, total=2)


def test_sync_of_no_accounts_empties_the_schedule(schedule: Schedule) -> None:
    schedule.replace(polls(1, 2))

    assert schedule.replace([]) == SyncStats(added=0, removed=2, updated=0, total=0)


# Redis only.


def test_two_syncs_at_once_count_each_change_once(app: Celery) -> None:
    """P2: one does the work, the other finds it done."""
    with ThreadPoolExecutor(4) as threads:
        stats = list(threads.map(lambda _: RedBeatSchedule(app).replace(polls(*range(200))), range(4)))

    assert sorted(each.added for each in stats) == [0, 0, 0, 200]


def test_entry_lost_from_the_timetable_is_put_back(real: RedBeatSchedule, empty_redis: RedisServer) -> None:
    real.replace(polls(1, 2))
    with empty_redis.client() as client:
        client.zrem(SCHEDULE, "concord:beat:poll:1")

    assert real.replace(polls(1, 2)).added == 1


def test_removed_account_leaves_no_key(real: RedBeatSchedule, empty_redis: RedisServer) -> None:
    """Trap 43: delete, don't disable."""
    real.replace(polls(1))
    real.replace([])

    with empty_redis.client() as client:
        assert client.keys() == []


def test_ten_thousand_accounts_sync_in_seconds(real: RedBeatSchedule) -> None:
    real.replace(polls(*range(10_000)))

    begun = time.monotonic()
    stats = real.replace(polls(*range(1, 10_001)))

    assert stats == SyncStats(added=1, removed=1, updated=0, total=10_000)
    assert time.monotonic() - begun < 10  # about one alone; the machine is shared


def test_sync_says_that_redis_is_down(own_redis: RedisServer) -> None:
    app = make_app(quick(own_redis.url))
    own_redis.stop()

    with pytest.raises(QueueDownError):
        RedBeatSchedule(app).replace(polls(1))

    app.close()


def test_each_account_is_polled_once_an_interval(
    real: RedBeatSchedule, scheduler: ConcordScheduler, clock: Clock, sent: list[tuple[object, ...]]
) -> None:
    """P1: no drift and no doubles over an hour."""
    real.replace(polls(1, 2, 3))

    run(scheduler, clock, 3600)

    counts = [sent.count((POLL_EMAIL_ACCOUNT, account)) for account in (1, 2, 3)]
    assert counts == [60, 60, 60]


def test_outage_of_an_hour_makes_one_poll(
    real: RedBeatSchedule, scheduler: ConcordScheduler, clock: Clock, sent: list[tuple[object, ...]]
) -> None:
    """P1: late polls never pile up."""
    real.replace(polls(1))
    run(scheduler, clock, 120)
    sent.clear()

    clock.now += 3600
    scheduler.tick()

    assert sent.count((POLL_EMAIL_ACCOUNT, 1)) == 1


def test_without_a_worker_one_poll_of_each_account_waits(
    real: RedBeatSchedule, scheduler: ConcordScheduler, clock: Clock, empty_redis: RedisServer
) -> None:
    """P1: Redis does not grow, however long the poll worker is away."""
    real.replace(polls(*range(50)))

    run(scheduler, clock, 600)

    assert sorted(waiting(empty_redis)) == sorted(f"[{number}]" for number in range(50))


def test_after_an_outage_of_beat_the_oldest_due_poll_goes_first(
    real: RedBeatSchedule, scheduler: ConcordScheduler, clock: Clock, empty_redis: RedisServer
) -> None:
    """A7: whoever waited longest."""
    real.replace(polls(*range(20)))
    with empty_redis.client() as client:
        placed = client.zrange(SCHEDULE, 0, -1)
    clock.now += 3600

    scheduler.tick()

    assert waiting(empty_redis) == [f"[{key.rpartition(':')[2]}]" for key in placed if ":poll:" in key]


def test_no_scheduled_task_expires(
    real: RedBeatSchedule, scheduler: ConcordScheduler, clock: Clock, empty_redis: RedisServer
) -> None:
    """Beat's clock would make the expiry, the worker's would judge it: a skew would stop everything in silence."""
    real.replace(polls(1, 2))

    run(scheduler, clock, 400)

    with empty_redis.client() as client:
        queues = list(client.scan_iter(_type="list"))
        sent = [json.loads(message)["headers"] for key in queues for message in client.lrange(key, 0, -1)]
    assert {header["task"] for header in sent} >= {POLL_EMAIL_ACCOUNT, SWEEP, SYNC_EMAIL_TASKS}
    assert [header["task"] for header in sent if header["expires"] is not None] == []


def test_first_tick_asks_for_a_sync(scheduler: ConcordScheduler, sent: list[tuple[object, ...]]) -> None:
    """P2: run on start."""
    scheduler.tick()

    assert sent[0] == (SYNC_EMAIL_TASKS,)


def test_flush_is_noticed_at_the_next_tick(
    scheduler: ConcordScheduler, clock: Clock, sent: list[tuple[object, ...]], empty_redis: RedisServer
) -> None:
    """P5: losing all of Redis delays mail and loses none."""
    scheduler.tick()
    sent.clear()

    empty_redis.flushall()
    clock.now += 1
    scheduler.tick()
    run(scheduler, clock, 61)

    assert sent[0] == (SYNC_EMAIL_TASKS,)
    assert (SWEEP,) in sent


def test_lost_timetable_alone_is_noticed_too(
    scheduler: ConcordScheduler, sent: list[tuple[object, ...]], empty_redis: RedisServer
) -> None:
    scheduler.tick()
    sent.clear()

    with empty_redis.client() as client:
        client.delete(SCHEDULE)
    scheduler.tick()

    assert sent == [(SYNC_EMAIL_TASKS,)]


def test_entry_without_definition_makes_it_begin_anew(
    real: RedBeatSchedule,
    scheduler: ConcordScheduler,
    clock: Clock,
    sent: list[tuple[object, ...]],
    empty_redis: RedisServer,
) -> None:
    real.replace(polls(1))
    scheduler.tick()
    with empty_redis.client() as client:
        client.delete("concord:beat:poll:1", "concord:beat:sweep")
    sent.clear()

    run(scheduler, clock, 120)

    assert (SYNC_EMAIL_TASKS,) in sent
    assert (SWEEP,) in sent


def test_only_one_of_two_beats_fires(
    app: Celery, real: RedBeatSchedule, clock: Clock, sent: list[tuple[object, ...]]
) -> None:
    """O4."""
    first, second = watched(app, clock), watched(app, clock)
    real.replace(polls(1))

    for _ in range(600):
        first.tick()
        second.tick()
        clock.now += 1

    assert sent.count((POLL_EMAIL_ACCOUNT, 1)) == 10


def test_closed_beat_hands_over_at_once(app: Celery, clock: Clock, sent: list[tuple[object, ...]]) -> None:
    first, second = watched(app, clock), watched(app, clock)
    first.tick()
    second.tick()
    sent.clear()

    first.close()
    second.tick()

    assert sent == [(SYNC_EMAIL_TASKS,)]


def test_leader_that_lost_its_lease_claims_nothing(
    real: RedBeatSchedule,
    scheduler: ConcordScheduler,
    clock: Clock,
    sent: list[tuple[object, ...]],
    empty_redis: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """O4: frozen between reading what is due and claiming it, while another took over."""
    real.replace(polls(1))
    scheduler.tick()
    sent.clear()
    load = scheduler._load

    def take_over_meanwhile(keys: list[str]) -> object:
        with empty_redis.client() as client:
            client.set(LEASE, "another")
        return load(keys)

    monkeypatch.setattr(scheduler, "_load", take_over_meanwhile)
    clock.now += 120
    scheduler.tick()

    assert sent == []


def test_clock_set_back_stops_no_poll(
    real: RedBeatSchedule, scheduler: ConcordScheduler, clock: Clock, sent: list[tuple[object, ...]]
) -> None:
    real.replace(polls(1))
    run(scheduler, clock, 120)
    clock.now -= 86_400
    sent.clear()

    scheduler.tick()
    real.replace(polls(1))  # the sync it asked for
    run(scheduler, clock, 180)

    assert sent[0] == (SYNC_EMAIL_TASKS,)
    assert (SWEEP,) in sent
    assert (POLL_EMAIL_ACCOUNT, 1) in sent


def test_clock_set_forward_and_back_again_doubles_and_stops_nothing(
    real: RedBeatSchedule, scheduler: ConcordScheduler, clock: Clock, sent: list[tuple[object, ...]]
) -> None:
    """An hour ahead for two minutes: what ran then must not wait for an hour afterwards."""
    real.replace(polls(1))
    run(scheduler, clock, 120)
    clock.now += 3600
    sent.clear()
    run(scheduler, clock, 120)
    ahead = sent.count((POLL_EMAIL_ACCOUNT, 1))
    clock.now -= 3600
    sent.clear()

    scheduler.tick()
    real.replace(polls(1))  # the sync it asked for
    run(scheduler, clock, 300)

    assert ahead in (2, 3)
    assert 4 <= sent.count((POLL_EMAIL_ACCOUNT, 1)) <= 6
    assert (SWEEP,) in sent


def test_static_entry_of_an_older_version_is_removed(
    app: Celery, scheduler: ConcordScheduler, clock: Clock, sent: list[tuple[object, ...]], empty_redis: RedisServer
) -> None:
    app.conf.beat_schedule["old"] = {"task": "concord.old", "schedule": 10.0}
    scheduler.tick()
    scheduler.close()
    del app.conf.beat_schedule["old"]

    watched(app, clock).tick()

    with empty_redis.client() as client:
        assert client.zscore(SCHEDULE, "concord:beat:old") is None
        assert client.zscore(SCHEDULE, "concord:beat:sweep") is not None


def test_task_that_could_not_be_sent_is_sent_later(
    app: Celery, scheduler: ConcordScheduler, sent: list[tuple[object, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trap 45: RedBeat would only log it."""
    working: Callable[..., object] = app.send_task

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionResetError

    monkeypatch.setattr(app, "send_task", refuse)
    scheduler.tick()
    monkeypatch.setattr(app, "send_task", working)
    scheduler.tick()

    assert sent == [(SYNC_EMAIL_TASKS,)]


def test_every_tick_leaves_its_time(
    scheduler: ConcordScheduler, clock: Clock, sent: object, empty_redis: RedisServer
) -> None:
    """D1: proof of work for health pages."""
    scheduler.tick()

    with empty_redis.client() as client:
        assert float(client.get("concord:beat:tick") or 0) == clock.now


def test_redis_away_is_survived_and_said_once(own_redis: RedisServer) -> None:
    """O6: Beat waits, it does not die."""
    app = make_app(quick(own_redis.url))
    own_redis.stop()
    scheduler = ConcordScheduler(app)

    with capture_logs() as said:
        waits = [scheduler.tick() for _ in range(3)]
    scheduler.close()
    app.close()

    assert waits == [5.0, 5.0, 5.0]
    assert [line["event"] for line in said] == ["beat.redis_down"]
