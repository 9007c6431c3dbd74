"""The pool of the polling and of the delivering worker: Celery's threads, which end when their time is up.

A thread cannot be killed. Where a stop's patience ends, Celery's own pool raises instead, and the process then waits
for its threads however long they take. Here it goes without them, once what they had in hand is back in the queue:
whatever they held is held by a lease that lapses.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from typing import Any, Final

from celery import concurrency
from celery.concurrency.base import apply_target
from celery.concurrency.thread import ApplyResult, TaskPool
from celery.worker import state

_GIVE_BACK_SECONDS: Final = 5.0


class Threads(TaskPool):  # type: ignore[misc]  # celery ships no types
    """What `--pool=threads` means, once `use_threads` was called."""

    abandoned = False

    def terminate_job(self, pid: int, signal: int | None = None) -> None:
        """Nothing: it ends with the process (`leave`)."""

    def on_apply(self, target: Any, *job: Any, **options: Any) -> ApplyResult:
        """Have a thread do it, unless all is given up before one is free."""
        return ApplyResult(self.executor.submit(self._unless_abandoned, target, *job, **options))

    def on_stop(self) -> None:
        """Wait for running tasks, unless the worker has waited long enough.

        Then it is called by a signal handler, which may have interrupted `on_apply`: the executor's lock is not free.
        """
        if state.should_terminate is None:
            super().on_stop()
        else:
            Threads.abandoned = True

    @staticmethod
    def _unless_abandoned(*job: Any, **options: Any) -> None:
        # What was not begun is in the queue again.
        if not Threads.abandoned:
            apply_target(*job, **options)


def use_threads() -> None:
    """Have Celery use this pool in the place of its own."""
    concurrency.ALIASES["threads"] = f"{__name__}:{Threads.__name__}"


def leave(code: int, give_back: Callable[[], object]) -> None:
    """End this process without waiting for threads that were given up, if there are any.

    What they hold in the database is given back before: `give_back` has a few seconds, and else leases lapse.
    """
    if not Threads.abandoned:
        return
    giving = threading.Thread(target=give_back, name="give-back", daemon=True)
    giving.start()
    giving.join(_GIVE_BACK_SECONDS)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
