"""The polling worker's pool: Celery's threads, which end when their time is up.

A thread cannot be killed. Where a stop's patience ends, Celery's own pool raises instead, and the process then waits
for its threads however long they take. Here it goes without them, once what they had in hand is back in the queue:
whatever they held is held by a lease that lapses.
"""

from __future__ import annotations

import logging
import os
import sys

from celery import concurrency
from celery.concurrency.thread import TaskPool
from celery.worker import state


class Threads(TaskPool):  # type: ignore[misc]  # celery ships no types
    """What `--pool=threads` means, once `use_threads` was called."""

    abandoned = False

    def terminate_job(self, pid: int, signal: int | None = None) -> None:
        """Nothing: it ends with the process (`leave`)."""

    def on_stop(self) -> None:
        """Wait for running tasks, unless the worker has waited long enough."""
        if state.should_terminate is None:
            super().on_stop()
            return
        Threads.abandoned = True
        self.executor.shutdown(wait=False, cancel_futures=True)


def use_threads() -> None:
    """Have Celery use this pool in the place of its own."""
    concurrency.ALIASES["threads"] = f"{__name__}:{Threads.__name__}"


def leave(code: int) -> None:
    """End this process without waiting for threads that were given up, if there are any."""
    if not Threads.abandoned:
        return
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
