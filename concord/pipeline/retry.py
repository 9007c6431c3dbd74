"""When to try again: exponential, with jitter, bounded. A retry is a row with a due time, never a long countdown."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Final

from concord.ports import RetryDelay

# How long to wait when our own database, archive or Redis is away: short, and no attempt is counted.
INFRASTRUCTURE: Final = timedelta(seconds=15)


def exponential(*, base: int, most: int, factor: float = 2.0) -> RetryDelay:
    """Delays of `base`·factor^n seconds up to `most`, each shortened by up to a quarter at random."""

    def delay(attempts: int) -> timedelta:
        seconds = min(base * factor ** min(max(attempts - 1, 0), 60), float(most))
        return timedelta(seconds=seconds * random.uniform(0.75, 1.0))  # noqa: S311 - spreads load, guards nothing

    return delay


def asked_for(error: Exception) -> timedelta | None:
    """The wait the other side itself suggested, if it did."""
    seconds = getattr(error, "fields", {}).get("retry_after")
    return timedelta(seconds=float(seconds)) if isinstance(seconds, int | float) else None
