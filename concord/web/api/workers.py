"""Workers: which there are and what they run with; adding, changing and removing them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Depends, Path
from pydantic import Field
from starlette.responses import Response

from concord.errors import NotFoundError, SettingsError
from concord.manager.config import WorkerDocument, check_form, json_schema
from concord.model.user import Permission
from concord.model.worker import WorkerType
from concord.services import workers
from concord.services.workers import WorkerChange
from concord.web import error_text
from concord.web.error_text import facts_of
from concord.web.rest import Model, Page, api_router, needs, not_found
from concord.web.visitor import Parts, Visitor, api
from concord.web.worker_form import tree_of

router = api_router("workers", tag="Workers")

Reader = Annotated[Visitor, Depends(api(Permission.READ))]
Admin = Annotated[Visitor, Depends(api(Permission.ADMIN))]
Instance = Annotated[str, Path(max_length=31, pattern=r"^[a-z][a-z0-9_]{0,30}$", description="`poll`, `mail`, …")]


class InForce(Model):
    """What a worker runs with from its next start."""

    type: WorkerType
    concurrency: int
    prefetch: int
    max_tasks_per_child: int
    max_memory_per_child: int = Field(description="KiB.")
    poll_interval: int | None


class WorkerOut(Model):
    """A worker."""

    name: str
    daemon: str = Field(description="Its name among the daemons: `worker@NAME`.")
    document: WorkerDocument = Field(description="What its file says.")
    config: InForce | None = Field(description="That over the settings; null where the file cannot be used.")
    trouble: str | None = Field(description="Why the file cannot be used.")


class WorkerIn(Model):
    """A new worker."""

    name: str = Field(min_length=1, max_length=31, description="Small letters, digits and underscores.")
    document: WorkerDocument


class WorkerChanged(WorkerOut):
    """After a change: what holds when."""

    restart_needed: bool = Field(description="Whether something holds from its next start only.")
    schedule_follows: bool = Field(description="False: Redis was away, and the next sync will apply the interval.")
    known_to_manager: bool = Field(description="False: no service manager was there to take note.")


@router.get("", openapi_extra=needs(Permission.READ))
def list_workers(_me: Reader, parts: Parts) -> Page[WorkerOut]:
    """All of this host."""
    return Page(items=[_out(parts, name) for name in parts.workers.instances()])


@router.get("/schema", openapi_extra=needs(Permission.READ))
def schema(_me: Reader) -> dict[str, Any]:
    """The JSON Schema of a worker's document."""
    return dict(json_schema())


@router.get("/{name}", openapi_extra=needs(Permission.READ), responses=not_found())
def get_worker(_me: Reader, parts: Parts, name: Instance) -> WorkerOut:
    """One of them."""
    _refuse_unknown(parts, name)
    return _out(parts, name)


@router.post("", status_code=HTTPStatus.CREATED, openapi_extra=needs(Permission.ADMIN))
def add_worker(wanted: WorkerIn, me: Admin, parts: Parts) -> WorkerChanged:
    """Write its file, and have the service manager take note of it. It is not started (`/service/start`)."""
    tree = tree_of(wanted.document)
    check_form(tree, wanted.name, parts.settings.worker)
    return _changed(parts, wanted.name, workers.add(parts, wanted.name, tree, by=me.caller))


@router.put("/{name}", openapi_extra=needs(Permission.ADMIN), responses=not_found())
def change_worker(wanted: WorkerDocument, me: Admin, parts: Parts, name: Instance) -> WorkerChanged:
    """Put this in place of its document. A poll interval holds at once, all else from its next start."""
    _refuse_unknown(parts, name)
    tree = tree_of(wanted)
    check_form(tree, name, parts.settings.worker)
    return _changed(parts, name, workers.change(parts, name, tree, by=me.caller))


@router.delete(
    "/{name}",
    status_code=HTTPStatus.NO_CONTENT,
    openapi_extra=needs(Permission.ADMIN),
    responses={**not_found(), 409: {"description": "It runs."}},
)
def remove_worker(me: Admin, parts: Parts, name: Instance) -> Response:
    """Take its file away, once it is stopped. `poll` and `mail` stay, and go back to the settings."""
    _refuse_unknown(parts, name)
    workers.remove(parts, name, by=me.caller)
    return Response(status_code=HTTPStatus.NO_CONTENT)


def _refuse_unknown(parts: Parts, name: str) -> None:
    if name not in parts.workers.instances():
        raise NotFoundError("worker", name=name)


def _changed(parts: Parts, name: str, change: WorkerChange) -> WorkerChanged:
    return WorkerChanged(
        **_out(parts, name).model_dump(),
        restart_needed=change.restart,
        schedule_follows=change.schedule is None or change.schedule.trouble is None,
        known_to_manager=change.alone is None,
    )


def _out(parts: Parts, name: str) -> WorkerOut:
    document, config, trouble = WorkerDocument(), None, None
    try:
        document = parts.workers.document(name)
        config = InForce.model_validate(parts.workers.config(name), from_attributes=True)
    except SettingsError as error:
        facts = ", ".join(facts_of(error).values())
        trouble = f"{error_text.sentence(error)} ({facts})"
    return WorkerOut(name=name, daemon=f"worker@{name}", document=document, config=config, trouble=trouble)
