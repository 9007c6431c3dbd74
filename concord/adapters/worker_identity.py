"""Which worker this process belongs to. The worker's main process decides at its start; its children inherit it.

A pool's process has a name of its own within that: it may die alone.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from concord.adapters.processes import PROC
from concord.model.worker import Incarnation


class _Here:
    """The worker of this process. A pool's process has it over the fork."""

    worker: Incarnation | None = None
    pid: int | None = None  # of the worker's main process


def current_worker() -> Incarnation | None:
    """The worker that this process belongs to; None outside workers."""
    return _Here.worker


def begin_worker(node: str) -> Incarnation:
    """Let this process be the worker of that name, from now on and in a new life."""
    _Here.worker, _Here.pid = make_incarnation(node), os.getpid()
    return _Here.worker


def begin_pool_process(name: str) -> None:
    """Let this process be that one of its worker's pool; nothing changes where the worker is its own pool."""
    if _Here.worker is not None and is_pool_process():
        _Here.worker = _Here.worker.make_process(name)


def is_pool_process() -> bool:
    """Whether this is one of several processes of a worker, each with a share of its tasks."""
    return _Here.pid is not None and _Here.pid != os.getpid()


def make_incarnation(node: str) -> Incarnation:
    """A new life of that node, in this process.

    The token says which process it is, so that its successor can tell whether it still runs.
    """
    pid = os.getpid()
    return Incarnation(node, f"{pid}-{_started_at(pid) or 0}-{secrets.token_hex(4)}")


def is_alive(holder: str) -> bool:
    """Whether the worker of that name still runs on this host. A process that became another worker (exec) does not."""
    pid, _, rest = holder.rpartition("/")[2].partition("-")
    started_at = rest.partition("-")[0]
    if not pid.isdigit() or int(pid) == os.getpid():
        return False
    return str(_started_at(int(pid))) == started_at


def _started_at(pid: int, proc: Path = PROC) -> int | None:
    """When a process started, in clock ticks since boot; None where it does not run, or nobody can tell."""
    with suppress(OSError, ValueError, IndexError):
        # The command's name, in brackets, may itself have blanks and brackets.
        fields = (proc / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return int(fields[19]) if fields[0] not in "ZX" else None
    return None
