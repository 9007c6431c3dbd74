"""The schedule is a copy of the accounts; `sync` makes the copy true again (P2)."""

from __future__ import annotations

from concord.ports import Accounts, Schedule, ScheduledPoll, SyncStats


def sync(accounts: Accounts, schedule: Schedule, *, default_interval: int) -> SyncStats:
    """Make the schedule equal to the enabled accounts. Doing it twice changes nothing."""
    polls = [
        ScheduledPoll(account_id=account.id, interval=account.interval or default_interval)
        for account in accounts.all(enabled_only=True)
    ]
    return schedule.replace(polls)
