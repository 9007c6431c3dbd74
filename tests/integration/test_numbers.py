"""The numbers keep their promises in memory and on both databases alike (U4)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, func, select

from concord.adapters.sql import schema
from concord.adapters.sql.engine import make_engine, reading
from concord.adapters.sql.number_tables import numbers as table
from concord.adapters.sql.numbers import SqlNumbers
from concord.model.number import COUNTED, MOST_POINTS, SAMPLED, SERIES, TOTALS, step_of
from concord.ports import Numbers
from tests.fakes.numbers import MemoryNumbers
from tests.servers.fixtures_database import settings_of
from tests.sql_world import plans

NOON = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
LOOKED = {COUNTED: 1.0, SAMPLED: 1.0}


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def numbers(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Numbers]:
    if request.param == "memory":
        yield MemoryNumbers()
        return
    url = f"sqlite:///{tmp_path / 'numbers.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("empty_postgres_url")
    engine = make_engine(settings_of(url))
    schema.upgrade(engine)
    yield SqlNumbers(engine)
    engine.dispose()


def values(numbers: Numbers, name: str, *, minutes: int, step: int = 60) -> tuple[float | None, ...]:
    return numbers.read([name], since=NOON, until=NOON + minutes * MINUTE, step=step).values[name]


def test_minutes_come_back_as_recorded_and_gaps_are_gaps(numbers: Numbers) -> None:
    numbers.record(NOON, {**LOOKED, "mail.archived": 3})
    numbers.record(NOON + 2 * MINUTE, {**LOOKED, "mail.archived": 5})

    found = numbers.read(["mail.archived"], since=NOON, until=NOON + 4 * MINUTE, step=60)

    assert found.times == tuple(NOON + at * MINUTE for at in range(4))
    assert found.values == {"mail.archived": (3.0, None, 5.0, None)}


def test_what_is_missing_was_zero_where_somebody_looked(numbers: Numbers) -> None:
    """Redis may be silent while the tables are not: nobody then says that its queues were empty."""
    numbers.record(NOON, {**LOOKED, "queue.email": 0})
    numbers.record(NOON + MINUTE, {COUNTED: 1.0})
    numbers.record(NOON + 2 * MINUTE, LOOKED)

    assert values(numbers, "mail.archived", minutes=3) == (0.0, 0.0, 0.0)
    assert values(numbers, "now.mail.waiting", minutes=3) == (0.0, None, 0.0)
    assert values(numbers, "queue.email", minutes=3) == (0.0, None, None)


def test_recording_a_minute_again_replaces_it(numbers: Numbers) -> None:
    numbers.record(NOON, {**LOOKED, "mail.archived": 3, "mail.quarantined": 1})
    numbers.record(NOON, {**LOOKED, "mail.archived": 4})

    assert values(numbers, "mail.archived", minutes=1) == (4.0,)
    assert values(numbers, "mail.quarantined", minutes=1) == (0.0,)
    assert values(numbers, "mail.archived", minutes=60, step=3600) == (4.0,)


def test_points_fold_minutes_as_each_series_means_it(numbers: Numbers) -> None:
    for at, amount in enumerate((1.0, 6.0, 2.0)):
        numbers.record(
            NOON + at * MINUTE,
            {**LOOKED, "mail.archived": amount, "now.mail.waiting": amount, "lag.p50": amount},
        )

    found = numbers.read(
        ["mail.archived", "now.mail.waiting", "lag.p50"], since=NOON, until=NOON + 10 * MINUTE, step=300
    )

    assert found.values == {
        "mail.archived": (9.0, None),
        "now.mail.waiting": (6.0, None),
        "lag.p50": (3.0, None),
    }


@pytest.mark.parametrize("step", [3600, 7200])
def test_hours_are_there_while_they_last(numbers: Numbers, step: int) -> None:
    """The running hour is made anew with each of its minutes."""
    for at in range(90):
        numbers.record(NOON + at * MINUTE, {**LOOKED, "mail.archived": 2, "now.mail.waiting": at})

    archived = values(numbers, "mail.archived", minutes=180, step=step)
    waiting = values(numbers, "now.mail.waiting", minutes=180, step=step)

    assert archived == {3600: (120.0, 60.0, None), 7200: (180.0, None)}[step]
    assert waiting == {3600: (59.0, 89.0, None), 7200: (89.0, None)}[step]


def test_span_within_a_point_begins_where_the_point_does(numbers: Numbers) -> None:
    numbers.record(NOON, {**LOOKED, "mail.archived": 7})

    found = numbers.read(["mail.archived"], since=NOON + timedelta(seconds=59), until=NOON + 2 * MINUTE, step=60)

    assert found.times == (NOON, NOON + MINUTE)
    assert found.values["mail.archived"] == (7.0, None)


def test_span_that_ends_before_it_begins_has_no_points(numbers: Numbers) -> None:
    assert numbers.read(["mail.archived"], since=NOON, until=NOON - HOUR, step=60).times == ()


def test_latest_is_of_the_newest_look(numbers: Numbers) -> None:
    """What Redis said before it fell silent is not told as if it were so now."""
    numbers.record(NOON, {**LOOKED, "now.mail.waiting": 8, "now.delivery.dead": 1, "queue.email": 4})
    numbers.record(NOON + MINUTE, {**LOOKED, "now.mail.waiting": 2})
    numbers.record(NOON + 2 * MINUTE, {COUNTED: 1.0})

    found = numbers.latest(["now.mail.waiting", "now.delivery.dead", "queue.email"])

    assert found.at == NOON + MINUTE
    assert found.values == {"now.mail.waiting": 2.0, "now.delivery.dead": 0.0}


def test_latest_of_what_is_measured_rarely_may_be_older(numbers: Numbers) -> None:
    numbers.record(NOON, {**LOOKED, TOTALS[0]: 70, "now.delivery.dead": 1})
    numbers.record(NOON + 30 * MINUTE, LOOKED)

    found = numbers.latest([TOTALS[0], "now.delivery.dead"], within=HOUR)

    assert found.values == {TOTALS[0]: 70.0, "now.delivery.dead": 0.0}
    assert numbers.latest([TOTALS[0]], within=29 * MINUTE).values == {}


def test_nothing_recorded_is_told_as_nothing(numbers: Numbers) -> None:
    found = numbers.latest(["now.mail.waiting"])

    assert (found.at, found.values, numbers.last()) == (None, {}, None)
    assert values(numbers, "mail.archived", minutes=2) == (None, None)


def test_last_minute_counted_is_known(numbers: Numbers) -> None:
    for at in (0, 2, 1):
        numbers.record(NOON + at * MINUTE, LOOKED)

    assert numbers.last() == NOON + 2 * MINUTE


def test_minutes_are_forgotten_after_a_month_and_hours_after_a_year(numbers: Numbers) -> None:
    numbers.record(NOON, {**LOOKED, "mail.archived": 3})
    numbers.record(NOON + timedelta(days=20), {**LOOKED, "mail.archived": 5})

    assert numbers.prune(NOON + timedelta(days=32)) == 3
    assert values(numbers, "mail.archived", minutes=1) == (None,)
    assert values(numbers, "mail.archived", minutes=60, step=3600) == (3.0,)
    assert numbers.prune(NOON + timedelta(days=800)) == 9
    assert numbers.last() is None


def test_unknown_name_is_refused(numbers: Numbers) -> None:
    with pytest.raises(KeyError):
        numbers.read(["mail.nonsense"], since=NOON, until=NOON + MINUTE, step=60)


@pytest.mark.parametrize(
    ("span", "step"),
    [
        (timedelta(hours=1), 60),
        (timedelta(days=1), 300),
        (timedelta(days=7), 3600),
        (timedelta(days=30), 7200),
        (timedelta(days=365), 86_400),
    ],
)
def test_any_span_is_shown_in_a_few_hundred_points(span: timedelta, step: int) -> None:
    assert step_of(NOON - span, NOON, NOON) == step
    assert span.total_seconds() / step <= MOST_POINTS


def test_span_whose_minutes_are_gone_is_shown_by_hours() -> None:
    long_ago = NOON - timedelta(days=100)

    assert step_of(long_ago, long_ago + timedelta(hours=3), NOON) == 3600


def test_zeros_are_not_kept(engine: Engine) -> None:
    """A month of minutes is small where little happens."""
    SqlNumbers(engine).record(NOON, {**dict.fromkeys(SERIES, 0.0), **LOOKED})

    with reading(engine) as connection:
        kept = connection.execute(select(func.count()).select_from(table)).scalar_one()

    assert kept == 2 * sum(series.marker is None for series in SERIES.values())


def test_questions_go_by_the_key(engine: Engine) -> None:
    with plans(engine) as told:
        SqlNumbers(engine).read(["mail.archived"], since=NOON, until=NOON + HOUR, step=60)
        SqlNumbers(engine).latest(["mail.archived"])

    assert told
    assert not [plan for plan in told if "SCAN numbers" in plan or "Seq Scan" in plan]
