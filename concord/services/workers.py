"""Workers' files: which workers there are, and what they run with. Units and polkit rules are root's to follow with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from concord.auditing import audited
from concord.errors import ConflictError, ExistsError, SupervisorDownError
from concord.manager.config import check, refuse_bad_name
from concord.model.caller import Caller
from concord.model.daemon import worker
from concord.model.worker import BUILT_IN
from concord.services.differences import differing

if TYPE_CHECKING:
    from concord.bootstrap import Concord
    from concord.manager.config import WorkerDocument

Rights = Callable[[], AbstractContextManager[None]]
"""Under which files are written and the supervisor is asked: root's at the command line, one's own elsewhere."""


def add(parts: Concord, name: str, given: Mapping[str, Any], *, by: Caller, rights: Rights = nullcontext) -> Path:
    """Write a new worker's file; where. Raises UsageError, SettingsError, ExistsError."""
    refuse_bad_name(name)
    if parts.workers.path(name).exists():
        raise ExistsError(
            "There is such a worker already", name=name, remedy=f"Change it with 'concord worker set {name} …'"
        )
    document = check(given, file=parts.workers.path(name))
    with audited(parts.audit, by, "worker.add", name, detail=differing({}, _said(document))), rights():
        return parts.workers.write(name, document)


def change(parts: Concord, name: str, tree: Mapping[str, Any], *, by: Caller, rights: Rights = nullcontext) -> Path:
    """Put this in place of what its file says; where. Raises NotFoundError, SettingsError, UsageError.

    A poll interval holds from the next sync of the schedule, all else from the worker's next start.
    """
    before = parts.workers.document(name)
    document = check(dict(tree), file=parts.workers.path(name))
    detail = differing(_said(before), _said(document)) or "nothing changed"
    with audited(parts.audit, by, "worker.edit", name, detail=detail), rights():
        return parts.workers.write(name, document)


def remove(parts: Concord, name: str, *, by: Caller, rights: Rights = nullcontext) -> Path:
    """Take its file away; where that was. Raises NotFoundError, and ConflictError while it runs."""
    with audited(parts.audit, by, "worker.remove", name):
        parts.workers.config(name)
        if name not in BUILT_IN and _runs(parts, name, rights):
            raise ConflictError(
                "This worker runs", name=name, remedy=f"Stop it first: concord service stop --only worker@{name}"
            )
        with rights():
            parts.workers.remove(name)
    return parts.workers.path(name)


def _runs(parts: Concord, name: str, rights: Rights) -> bool:
    """Whether it still has a process; where no service manager is, none was started by one."""
    try:
        with rights():
            return any(state.pid for state in parts.supervisor.states([worker(name)]))
    except SupervisorDownError:
        return False


def _said(document: WorkerDocument) -> Mapping[str, Any]:
    said: Mapping[str, Any] = document.model_dump(mode="json", exclude_none=True)
    return said
