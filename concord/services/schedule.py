"""Making the schedule equal to the accounts: when it is asked for, and after every change of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from concord.auditing import audited
from concord.errors import QueueDownError
from concord.model.caller import Caller
from concord.ports import SyncStats

if TYPE_CHECKING:
    from concord.bootstrap import Concord


@dataclass(frozen=True, slots=True, kw_only=True)
class Followed:
    """What became of the schedule after a change: what the sync did, or why it could not just now."""

    sync: SyncStats | None = None
    trouble: QueueDownError | None = None


def sync(parts: Concord, *, by: Caller) -> SyncStats:
    """Raises QueueDownError."""
    with audited(parts.audit, by, "schedule.sync") as note:
        stats = parts.sync()
        note.detail = f"{stats.added} added, {stats.removed} removed, {stats.updated} updated, {stats.total} in all"
        return stats


def follow(parts: Concord) -> Followed:
    """After a change of accounts. What is stored stays stored where Redis is away; the next sync follows by itself."""
    try:
        return Followed(sync=parts.sync())
    except QueueDownError as error:
        return Followed(trouble=error)
