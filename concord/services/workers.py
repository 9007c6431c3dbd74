"""Workers' files: which workers there are, and what they run with; and the service manager that follows them.

A worker is there or it is not: where the service manager cannot take note of a new one, or of one less, the file is as
it was before.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from concord.auditing import audited
from concord.errors import (
    ConcordError,
    ConflictError,
    ExistsError,
    SettingsError,
    SupervisorDownError,
    UsageError,
)
from concord.manager.config import WorkerDocument, check, refuse_bad_name
from concord.model.caller import Caller
from concord.model.daemon import worker
from concord.model.worker import BUILT_IN, MOST
from concord.services.differences import differing
from concord.services.schedule import Followed, follow

if TYPE_CHECKING:
    from concord.bootstrap import Concord

Adopt = Callable[[Sequence[str]], None]
"""Has the service manager take note of all workers (ports.Supervisor.adopt)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerChange:
    """A worker's file after a change."""

    path: Path
    alone: SupervisorDownError | None = None  # no service manager is there to take note
    schedule: Followed | None = None  # where its poll interval changed
    restart: bool = False  # whether something holds from its next start only


def add(parts: Concord, name: str, given: Mapping[str, Any], *, by: Caller, adopt: Adopt | None = None) -> WorkerChange:
    """Write a new worker's file, and have the service manager know it.

    Raises UsageError, SettingsError, ExistsError; SupervisorRefusedError, DaemonFailedError, and then it is not there.
    """
    refuse_bad_name(name)
    if parts.workers.path(name).exists():
        raise ExistsError("worker", name=name)
    if len({*parts.workers.instances(), name}) > MOST:
        raise UsageError("too_many_workers", most=MOST)
    document = check(given, file=parts.workers.path(name))
    with audited(parts.audit, by, "worker.add", name, detail=differing({}, _said(document))):
        path = parts.workers.write(name, document)
        try:
            alone = _adopted(parts, adopt) if name not in BUILT_IN else None
        except ConcordError:
            parts.workers.remove(name)
            raise
    schedule = follow(parts) if document.poll_interval else None
    return WorkerChange(path=path, alone=alone, schedule=schedule, restart=name in BUILT_IN)


def change(parts: Concord, name: str, tree: Mapping[str, Any], *, by: Caller) -> WorkerChange:
    """Put this in place of what its file says. A poll interval holds at once, all else from the worker's next start.

    Raises NotFoundError, SettingsError, UsageError.
    """
    before = _present(parts, name)
    document = check(dict(tree), file=parts.workers.path(name))
    detail = differing(_said(before), _said(document)) or "nothing changed"
    with audited(parts.audit, by, "worker.edit", name, detail=detail):
        path = parts.workers.write(name, document)
    schedule = follow(parts) if before.poll_interval != document.poll_interval else None
    first, second = (dict(_said(one)) | {"poll_interval": None} for one in (before, document))
    return WorkerChange(path=path, schedule=schedule, restart=first != second)


def remove(parts: Concord, name: str, *, by: Caller, adopt: Adopt | None = None) -> WorkerChange:
    """Take its file away; for poll and mail that is going back to concord.toml.

    Raises NotFoundError, ConflictError while it runs; SupervisorRefusedError and DaemonFailedError, and then it stays.
    """
    with audited(parts.audit, by, "worker.remove", name):
        before = _present(parts, name)
        if name not in BUILT_IN and _runs(parts, name):
            raise ConflictError("worker_runs", name=name)
        with parts.workers.taken_away(name):
            alone = _adopted(parts, adopt) if name not in BUILT_IN else None
    schedule = follow(parts) if before.poll_interval else None
    return WorkerChange(path=parts.workers.path(name), alone=alone, schedule=schedule, restart=name in BUILT_IN)


def _present(parts: Concord, name: str) -> WorkerDocument:
    """What its file says; nothing, where that cannot be used: it is there to be mended. Raises NotFoundError."""
    try:
        return parts.workers.document(name)
    except SettingsError:
        return WorkerDocument()


def _adopted(parts: Concord, adopt: Adopt | None) -> SupervisorDownError | None:
    try:
        (adopt or parts.supervisor.adopt)(parts.workers.instances())
    except SupervisorDownError as error:
        return error
    return None


def _runs(parts: Concord, name: str) -> bool:
    """Whether it still has a process; where no service manager is, none was started by one."""
    try:
        return any(state.pid for state in parts.supervisor.states([worker(name)]))
    except SupervisorDownError:
        return False


def _said(document: WorkerDocument) -> Mapping[str, Any]:
    said: Mapping[str, Any] = document.model_dump(mode="json", exclude_none=True)
    return said
