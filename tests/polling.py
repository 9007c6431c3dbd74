"""Polling as tests want it: with the old mail that a worker would fetch right after."""

from __future__ import annotations

from typing import Protocol

from concord.pipeline.backfill import Backfiller
from concord.pipeline.poll import Poller, PollReport


class Parts(Protocol):
    """What polls: a Concord, or a world."""

    @property
    def poller(self) -> Poller: ...

    @property
    def backfiller(self) -> Backfiller: ...


def poll_whole(parts: Parts, account_id: int, *, forced: bool = False) -> PollReport:
    """A poll and one slice of what it leaves to the backfill, told as one."""
    report = parts.poller.poll(account_id, forced=forced)
    if not report.backfill:
        return report
    return report.followed_by(parts.backfiller.backfill(account_id))
