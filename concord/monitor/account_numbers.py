"""How polling goes, as numbers: how the polls of the last minute went, and how late the latest is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

from concord.model.account import Account, AccountState, AccountStatus

_RECENT: Final = timedelta(minutes=1)


def account_numbers(
    accounts: Iterable[Account], statuses: Mapping[int, AccountStatus], *, now: datetime, default_interval: int
) -> dict[str, float]:
    """By the names of `model.number`."""
    pairs = [(account, statuses.get(account.id, AccountStatus())) for account in accounts]
    recent = [status for _, status in pairs if status.last_poll and now - status.last_poll <= _RECENT]
    went_well = sum(status.state is AccountState.OK for status in recent)
    late = (poll_lag(account, status, now=now, default_interval=default_interval) for account, status in pairs)
    return {
        "poll.ok": float(went_well),
        "poll.failed": float(len(recent) - went_well),
        "wait.poll": max((lag.total_seconds() for lag in late), default=0.0),
    }


def poll_lag(account: Account, status: AccountStatus, *, now: datetime, default_interval: int) -> timedelta:
    """How long its poll is overdue. One that waits by its own back-off is not, nor one that was never polled."""
    if not account.enabled or status.last_poll is None or (status.next_try and status.next_try > now):
        return timedelta(0)
    due = status.last_poll + timedelta(seconds=account.interval or default_interval)
    return max(now - due, timedelta(0))
