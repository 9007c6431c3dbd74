"""A worker's JSON file: what may stand in it, and what it comes to (spec M6).

`/etc/concord/workers/NAME.json`, each key optional:

    {"type": "mail", "concurrency": 4, "prefetch": 1, "max_tasks_per_child": 500, "max_memory_per_child": 300000}

`type` must be there unless the worker is named poll, mail or deliver; `poll_interval` is for poll workers. What is
left out is as [worker.poll], [worker.mail] or [worker.deliver] of concord.toml has it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from concord.errors import Mistake, MistakesError, SettingsError, UsageError, nearest
from concord.model.daemon import INSTANCE
from concord.model.worker import BUILT_IN, WorkerConfig, WorkerType
from concord.settings import WorkerSettings

_WHOLE: Final = "(the whole)"
# By pydantic's name for what is wrong with a value; all else is said in pydantic's own words.
_MISTAKES: Final[Mapping[str, str]] = {
    "extra_forbidden": "worker_key",
    "greater_than_equal": "number_small",
    "less_than_equal": "number_great",
    "int_type": "number",
    "int_parsing": "number",
    "int_from_float": "number",
    "enum": "worker_kind",
    "model_type": "json_object",
}


class WorkerDocument(BaseModel):
    """The content of a worker's JSON file."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="A Concord worker")

    type: WorkerType | None = Field(
        default=None,
        description="poll: mailboxes; mail: processing; deliver: handlers and workflows.",
    )
    concurrency: Annotated[int | None, Field(ge=1, le=1000, description="Processes (mail) or threads.")] = None
    prefetch: Annotated[int | None, Field(ge=1, le=100, description="Tasks reserved ahead for each of them.")] = None
    max_tasks_per_child: Annotated[
        int | None,
        Field(ge=1, description="Tasks after which a process (mail) or the whole worker is replaced."),
    ] = None
    max_memory_per_child: Annotated[int | None, Field(ge=150_000, description="KiB after which it is replaced.")] = None
    poll_interval: Annotated[
        int | None, Field(ge=1, le=30 * 86_400, description="Seconds between two polls of a mailbox; poll only.")
    ] = None


def read(text: str, *, file: object) -> WorkerDocument:
    """What a file says. Raises SettingsError, which names the file, the key, the cause and the remedy."""
    try:
        tree = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        cause = _place(error)
        raise SettingsError("worker_no_json", file=file, cause=cause) from None
    return check(tree, file=file)


def check(tree: Any, *, file: object) -> WorkerDocument:
    """A document that may be used. Raises SettingsError."""
    try:
        return WorkerDocument.model_validate(tree)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or _WHOLE
        cause, near = first["msg"], None
        if first["type"] == "extra_forbidden":
            cause, near = "there is no such key", nearest(key, WorkerDocument.model_fields)
        raise SettingsError("worker_unusable", file=file, key=key, cause=cause, near=near) from None


def read_form(text: str, instance: str, settings: WorkerSettings) -> WorkerDocument:
    """What a person wrote as JSON. Raises MistakesError: each mistake at its key, or at `()` for the whole."""
    try:
        tree = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise _mistaken(Mistake((), UsageError("no_json", cause=_place(error)))) from None
    return check_form(tree, instance, settings)


def check_form(tree: Any, instance: str, settings: WorkerSettings) -> WorkerDocument:
    """The same of what a form or a program said in parts; it fits the instance too. Raises MistakesError."""
    try:
        document = WorkerDocument.model_validate(tree)
    except ValidationError as error:
        raise _mistaken(*map(_mistake, error.errors(include_url=False))) from None
    try:
        resolve(instance, document, settings, file="")
    except SettingsError as error:
        key = str(error.facts.pop("key"))
        raise _mistaken(Mistake((key,), error)) from None
    return document


def resolve(instance: str, document: WorkerDocument, settings: WorkerSettings, *, file: object) -> WorkerConfig:
    """The settings in force. Raises SettingsError where the document does not fit the instance."""
    kind = document.type or (WorkerType(instance) if instance in BUILT_IN else None)
    if kind is None:
        raise SettingsError("worker_no_type", file=file, key="type")
    if instance in BUILT_IN and kind.value != instance:
        raise SettingsError("worker_type", worker=instance, file=file, key="type")
    if document.poll_interval and kind is not WorkerType.POLL:
        raise SettingsError("poll_interval", file=file, key="poll_interval")
    given = document.model_dump(exclude_none=True, exclude={"type"})
    base: BaseModel = getattr(settings, kind.value)
    return WorkerConfig(instance=instance, type=kind, **{**base.model_dump(), **given})


def refuse_bad_name(instance: str) -> None:
    """Raises UsageError for what cannot be a unit's instance, a program's and a node's name at once."""
    if not INSTANCE.fullmatch(instance):
        raise UsageError("worker_name", name=instance)


def poll_interval(configs: Iterable[WorkerConfig], default: int) -> int:
    """Seconds between two polls of an account without an interval of its own: the shortest that a poll worker names."""
    return min((config.poll_interval for config in configs if config.poll_interval), default=default)


def json_schema() -> Mapping[str, Any]:
    """What may stand in a worker's file, as a JSON Schema."""
    return WorkerDocument.model_json_schema()


def _mistake(found: Mapping[str, Any]) -> Mistake:
    path = tuple(found["loc"])
    if found["type"] not in _MISTAKES:
        return Mistake(path, UsageError("value", cause=found["msg"]))
    limits = found.get("ctx", {})
    near = nearest(str(path[-1]), WorkerDocument.model_fields) if found["type"] == "extra_forbidden" else None
    error = UsageError(
        _MISTAKES[found["type"]], least=limits.get("ge"), most=limits.get("le"), types=limits.get("expected"), near=near
    )
    return Mistake(path, error)


def _mistaken(*mistakes: Mistake) -> MistakesError:
    return MistakesError("worker", mistakes=mistakes)


def _place(error: json.JSONDecodeError | RecursionError) -> str:
    cause = "it is nested too deeply"
    if isinstance(error, json.JSONDecodeError):
        cause = f"{error.msg} in line {error.lineno}, column {error.colno}"
    return cause
