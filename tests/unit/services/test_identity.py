"""How many guesses at a name are looked at in an hour (issue 10, finding 4)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from concord.model.throttle import Budget
from concord.services.identity import GUESSERS, MOST_GUESSES_AN_HOUR, NEWCOMERS

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def test_guesses_at_a_name_in_an_hour_are_as_many_as_documented() -> None:
    """From any number of networks, however fast: each guess counts for one of two budgets of the name."""
    taken = 0
    for limit in (Budget("newcomers", *NEWCOMERS), Budget("guessers", *GUESSERS)):
        until = None
        for second in range(3600):
            now = NOW + timedelta(seconds=second)
            while not limit.wait(until, now):
                until, taken = limit.until(0, until, now), taken + 1

    assert taken <= MOST_GUESSES_AN_HOUR == 680
