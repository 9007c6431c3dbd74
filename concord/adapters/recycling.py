"""A pool's process that is replaced says so, and why: `child.recycled` (spec D3).

billiard ends a process between two tasks, with one exit code for both of its reasons; only the process itself still
knows what it had done. A worker of threads is recycled as a whole by `worker_health`.
"""

from __future__ import annotations

import os
from typing import Any

import structlog
from billiard.compat import mem_rss
from billiard.pool import EX_RECYCLE
from celery import Celery, signals

log = structlog.get_logger(__name__)


class _Child:
    """What one process has done. The limits come over the fork from the worker's command line."""

    max_tasks: int | None = None
    max_memory: int | None = None  # KiB
    tasks = 0


def connect_recycling(app: Celery) -> None:
    """Have every pool process of this app say why it is replaced."""
    del app  # Celery's signals are one set for the whole process
    wiring = {
        signals.celeryd_after_setup: _remember_limits,
        signals.worker_process_init: _begin,
        signals.task_postrun: _count,
        signals.worker_process_shutdown: _tell,
    }
    for signal, receiver in wiring.items():
        uid = f"concord.recycling.{receiver.__name__}"
        signal.disconnect(dispatch_uid=uid)
        signal.connect(receiver, weak=False, dispatch_uid=uid)


def _remember_limits(instance: Any, **_: object) -> None:
    _Child.max_tasks = instance.max_tasks_per_child
    _Child.max_memory = instance.max_memory_per_child


def _begin(**_: object) -> None:
    _Child.tasks = 0


def _count(**_: object) -> None:
    _Child.tasks += 1


def _tell(pid: int, exitcode: int, **_: object) -> None:
    if exitcode != EX_RECYCLE:
        return
    memory = mem_rss()
    is_full = bool(_Child.max_memory and memory > _Child.max_memory)
    log.info(
        "child.recycled",
        reason="memory" if is_full else "tasks",
        tasks=_Child.tasks,
        memory=memory,
        pid=pid or os.getpid(),
    )
