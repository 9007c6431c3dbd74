"""When to try again."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest

from concord.errors import HandlerError
from concord.pipeline.retry import FACTOR, asked_for, exponential, next_try
from concord.settings import DispatchSettings


def test_delays_grow_to_the_longest_and_stay_there() -> None:
    delay = exponential(base=30, most=600)

    for attempts, whole in [(1, 30), (2, 60), (3, 120), (6, 600), (500, 600)]:
        assert timedelta(seconds=whole * 0.75) <= delay(attempts) <= timedelta(seconds=whole)


def test_ten_webhook_tries_span_about_a_day() -> None:
    """P8, with the default settings."""
    settings = DispatchSettings()
    delay = exponential(base=settings.retry_base, most=settings.retry_max, factor=FACTOR)

    total = sum((delay(attempt) for attempt in range(1, settings.max_attempts)), timedelta())

    assert timedelta(hours=14) < total < timedelta(hours=28)


def test_wait_suggested_by_the_receiver_is_read() -> None:
    assert asked_for(HandlerError("slots_taken", retry_after=7), most=60) == timedelta(seconds=7)
    assert asked_for(HandlerError("slots_taken"), most=60) is None
    assert asked_for(ValueError("foreign"), most=60) is None


@pytest.mark.parametrize(
    ("asked", "wait"), [(1e300, 60), (math.inf, 60), (-5, 0), (math.nan, None), ("soon", None), (0.5, 0.5)]
)
def test_absurd_wait_is_bounded(asked: object, wait: float | None) -> None:
    expected = None if wait is None else timedelta(seconds=wait)

    # A foreign handler may say anything.
    error = HandlerError("slots_taken", retry_after=asked)  # type: ignore[arg-type]

    assert asked_for(error, most=60) == expected


def test_receiver_that_asks_for_a_second_each_time_is_tried_for_hours() -> None:
    """Retry-After: 1 used up ten attempts in four and a half minutes."""
    settings, now = DispatchSettings(), datetime(2026, 11, 30, tzinfo=UTC)
    waits = timedelta()
    for failures in range(1, settings.max_attempts):
        again = next_try(HandlerError("slots_taken", retry_after=1), failures=failures, settings=settings, now=now)
        assert again is not None
        waits += again.due_at - now

    assert waits > timedelta(hours=14)


def test_longer_wait_that_the_receiver_asks_for_is_kept() -> None:
    settings, now = DispatchSettings(), datetime(2026, 11, 30, tzinfo=UTC)

    again = next_try(HandlerError("not_accepted", retry_after=3000), failures=1, settings=settings, now=now)

    assert again is not None
    assert again.due_at == now + timedelta(seconds=3000)
