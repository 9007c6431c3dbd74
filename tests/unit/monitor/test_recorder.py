"""Every minute is recorded once, what was missed is caught up, and Redis may be silent (U4)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from concord.adapters.sql.tally import SqlTally
from concord.errors import DatabaseDownError
from concord.model.account import AccountState, AccountStatus
from concord.model.number import SAMPLED
from concord.monitor.account_numbers import account_numbers, poll_lag
from concord.monitor.recorder import Recorder
from tests.factories import mail
from tests.fakes.numbers import MemoryNumbers
from tests.fakes.world import World
from tests.sql_world import account

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def numbers() -> MemoryNumbers:
    return MemoryNumbers()


@pytest.fixture
def recorder(world: World, numbers: MemoryNumbers) -> Recorder:
    return Recorder(
        numbers=numbers,
        tally=SqlTally(world.engine, world.clock),
        accounts=world.accounts,
        queue=world.queue,
        poll_interval=lambda: 60,
        clock=world.clock,
    )


def values(numbers: MemoryNumbers, name: str, *, minutes: int) -> tuple[float | None, ...]:
    return numbers.read([name], since=NOON, until=NOON + minutes * MINUTE, step=60).values[name]


def test_minute_is_recorded_once_it_has_settled(world: World, numbers: MemoryNumbers, recorder: Recorder) -> None:
    """A transaction that began in it may end a little later."""
    world.deliver(mail())
    world.poll()

    recorded = []
    for seconds in (59, 10, 1, 40):
        world.wait(seconds=seconds)
        recorded.append(recorder.record())

    # The first time, the minute before this world began is recorded: nothing is older than the numbers.
    assert recorded == [1, 0, 1, 0]
    assert values(numbers, "mail.archived", minutes=2) == (1.0, None)


def test_missed_minutes_are_counted_afterwards_and_not_sampled(
    world: World, numbers: MemoryNumbers, recorder: Recorder
) -> None:
    world.wait(seconds=70)
    recorder.record()
    world.deliver(mail())
    world.poll()
    world.wait(minutes=3)

    assert recorder.record() == 3
    assert values(numbers, "mail.archived", minutes=4) == (0.0, 1.0, 0.0, 0.0)
    assert values(numbers, "now.mail.waiting", minutes=4) == (0.0, None, None, 1.0)


def test_a_long_absence_stays_a_gap(world: World, numbers: MemoryNumbers, recorder: Recorder) -> None:
    world.wait(seconds=70)
    recorder.record()
    world.wait(hours=10)

    assert recorder.record() == 181
    assert values(numbers, "mail.archived", minutes=3) == (0.0, None, None)


def test_silent_redis_leaves_only_its_own_numbers_out(world: World, numbers: MemoryNumbers, recorder: Recorder) -> None:
    world.queue.down = True
    world.wait(seconds=70)
    recorder.record()
    world.queue.down = False
    world.wait(minutes=1)
    recorder.record()

    assert values(numbers, "redis.used", minutes=2) == (None, 1_000_000.0)
    assert values(numbers, "queue.email", minutes=2) == (None, 0.0)
    assert values(numbers, "now.mail.waiting", minutes=2) == (0.0, 0.0)


def test_totals_are_counted_once_an_hour(world: World, numbers: MemoryNumbers, recorder: Recorder) -> None:
    world.deliver(mail())
    world.poll()
    for _ in range(62):
        world.wait(minutes=1)
        recorder.record()

    kept = numbers.read(["total.mail.archived"], since=NOON, until=world.clock(), step=60).values["total.mail.archived"]

    # Before noon, where the numbers begin, and then in the first minute of each hour.
    assert [at for at, value in enumerate(kept) if value is not None] == [0, 60]


def test_totals_that_take_too_long_hold_nothing_up(
    world: World, numbers: MemoryNumbers, recorder: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    def give_up(_self: SqlTally) -> dict[str, float]:
        raise DatabaseDownError("refused")

    monkeypatch.setattr(SqlTally, "totals", give_up)
    world.wait(seconds=70)

    assert recorder.record() == 1
    assert numbers.latest(["now.mail.waiting"]).values == {"now.mail.waiting": 0.0}


def test_a_database_that_is_away_is_told(world: World, recorder: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The task's border says it; the next minute catches up."""

    def refuse(_self: SqlTally) -> dict[str, float]:
        raise DatabaseDownError("refused")

    monkeypatch.setattr(SqlTally, "standing", refuse)
    world.wait(seconds=70)

    with pytest.raises(DatabaseDownError):
        recorder.record()


def test_old_minutes_go_as_hours_begin(world: World, numbers: MemoryNumbers, recorder: Recorder) -> None:
    world.wait(seconds=70)
    recorder.record()
    world.wait(days=32)
    recorder.record()

    assert values(numbers, SAMPLED, minutes=1) == (None,)


POLLED = AccountStatus(state=AccountState.OK, last_poll=NOON, last_success=NOON)


@pytest.mark.parametrize(
    ("change", "seconds"),
    [
        (lambda status: status, 240),
        (lambda status: replace(status, last_poll=None), 0),
        (lambda status: replace(status, next_try=NOON + timedelta(hours=1)), 0),
        (lambda status: replace(status, next_try=NOON + MINUTE), 240),
        (lambda status: replace(status, last_poll=NOON + 4 * MINUTE), 0),
    ],
    ids=["polled", "never", "backing off", "tried again", "just now"],
)
def test_poll_is_late_from_when_it_was_due(change: Callable[[AccountStatus], AccountStatus], seconds: int) -> None:
    lag = poll_lag(account(), change(POLLED), now=NOON + 5 * MINUTE, default_interval=60)

    assert lag == timedelta(seconds=seconds)


def test_polls_of_the_last_minute_are_counted_by_how_they_went() -> None:
    failed = AccountStatus(state=AccountState.TLS, last_poll=NOON)
    accounts = [account(str(number), id=number, enabled=number != 3) for number in range(4)]
    statuses = {0: POLLED, 1: failed, 3: replace(failed, last_poll=NOON - timedelta(days=1))}

    found = account_numbers(accounts, statuses, now=NOON + timedelta(seconds=59), default_interval=60)

    assert poll_lag(accounts[3], statuses[3], now=NOON, default_interval=60) == timedelta(0)

    assert {name: value for name, value in found.items() if value} == {
        "poll.ok": 1,
        "poll.failed": 1,
    }
