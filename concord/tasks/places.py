"""Background work within its places: what waited for one is queued when one is free."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from concord.adapters.background import background
from concord.adapters.celery import BACKFILL_EMAIL_ACCOUNT
from concord.bootstrap import concord

T = TypeVar("T")


def in_background(task: str, account_id: int, work: Callable[[int], T]) -> T | None:
    """Do it now, or have it wait for a place: then None."""
    with background().place(task, account_id) as is_free:
        if not is_free:
            return None
        result = work(account_id)
    queue = concord().queue
    for name, waiting in background().waiting():
        (queue.backfill if name == BACKFILL_EMAIL_ACCOUNT else queue.reconcile)(waiting)
    return result
