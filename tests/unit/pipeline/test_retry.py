"""When to try again."""

from __future__ import annotations

from datetime import timedelta

from concord.errors import HandlerError
from concord.pipeline.retry import FACTOR, asked_for, exponential
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
    assert asked_for(HandlerError("busy", retry_after=7)) == timedelta(seconds=7)
    assert asked_for(HandlerError("busy")) is None
    assert asked_for(ValueError("foreign")) is None
