"""When to try again: exponential, with jitter, bounded. A retry is a row with a due time, never a long countdown."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from concord.errors import ArchiveLossError, ConcordError, InfrastructureError, PermanentError
from concord.ports import RetryDelay
from concord.settings import DispatchSettings

# How long to wait when our own database, archive or Redis is away: short, and no attempt is counted.
INFRASTRUCTURE: Final = timedelta(seconds=15)
# Each time that it is still away, a message waits longer, up to this: so late may it be once all is well again.
INFRASTRUCTURE_MOST: Final = timedelta(seconds=60)
# How long where one object is lost. The poll that brings it back makes the message due; this is for a restored backup.
LOSS: Final = timedelta(minutes=15)
# Tripled each time, ten tries from half a minute spread over about a day.
FACTOR: Final = 3.0


def exponential(*, base: int, most: int, factor: float = 2.0) -> RetryDelay:
    """Delays of `base`·factor^n seconds up to `most`, each shortened by up to a quarter at random."""

    def delay(attempts: int) -> timedelta:
        seconds = min(base * factor ** min(max(attempts - 1, 0), 60), float(most))
        return timedelta(seconds=seconds * random.uniform(0.75, 1.0))  # noqa: S311 - spreads load, guards nothing

    return delay


def pause(tries: int) -> timedelta:
    """How long to wait for our own infrastructure after so many tries that did not count."""
    base, most = int(INFRASTRUCTURE.total_seconds()), int(INFRASTRUCTURE_MOST.total_seconds())
    return exponential(base=base, most=most)(tries)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Try again at `due_at`; `counts` is false where nothing but our own trouble or a full house was in the way."""

    due_at: datetime
    counts: bool = True


def next_try(error: Exception, *, failures: int, settings: DispatchSettings, now: datetime) -> Retry | None:
    """When to offer a delivery or a step again after this failure, the `failures`-th that counts; None: never.

    The other side may ask for a longer wait than ours, up to `retry_max`, and never for a shorter one: a receiver that
    says "in one second" each time would use up all attempts within minutes.
    """
    asked = asked_for(error, most=settings.retry_max)
    if isinstance(error, InfrastructureError) or getattr(error, "busy", False):
        return Retry(due_at=now + (asked or own_pause(error)), counts=False)
    if isinstance(error, PermanentError) or failures >= settings.max_attempts:
        return None
    delay = exponential(base=settings.retry_base, most=settings.retry_max, factor=FACTOR)
    return Retry(due_at=now + max(asked or timedelta(), delay(failures)))


def own_pause(error: Exception) -> timedelta:
    """How long to wait where our own infrastructure is the trouble."""
    return LOSS if isinstance(error, ArchiveLossError) else INFRASTRUCTURE


def bug(error: Exception) -> Exception | None:
    """What is not one of Concord's errors is a bug, ours or foreign: a log wants its traceback."""
    return None if isinstance(error, ConcordError) else error


def asked_for(error: Exception, *, most: float) -> timedelta | None:
    """The wait that the other side suggested, if it did; no longer than `most` seconds."""
    seconds = getattr(error, "retry_after", None)
    if not isinstance(seconds, int | float) or math.isnan(seconds):
        return None
    return timedelta(seconds=float(min(max(seconds, 0), most)))
