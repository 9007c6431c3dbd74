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

from concord.errors import Mistake, MistakesError, SettingsError, UsageError, did_you_mean
from concord.model.daemon import INSTANCE
from concord.model.worker import BUILT_IN, WorkerConfig, WorkerType
from concord.settings import WorkerSettings

_REMEDY: Final = "Correct the file; 'concord worker schema' says what may stand in it"
_WHOLE: Final = "(the whole)"
# By pydantic's name for what is wrong with a value; all else is told in pydantic's own words.
_SENTENCES: Final[Mapping[str, str]] = {
    "extra_forbidden": "There is no such key",
    "greater_than_equal": "This number is too small",
    "less_than_equal": "This number is too great",
    "int_type": "This must be a whole number",
    "int_parsing": "This must be a whole number",
    "int_from_float": "This must be a whole number",
    "enum": "There is no such type of worker",
    "model_type": "This must be one JSON object: {…}",
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
        raise SettingsError("A worker's file is not JSON", file=file, cause=cause, remedy=_REMEDY) from None
    return check(tree, file=file)


def check(tree: Any, *, file: object) -> WorkerDocument:
    """A document that may be used. Raises SettingsError."""
    try:
        return WorkerDocument.model_validate(tree)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or _WHOLE
        cause, remedy = first["msg"], _REMEDY
        if first["type"] == "extra_forbidden":
            cause = "there is no such key"
            remedy = did_you_mean(key, WorkerDocument.model_fields) or _REMEDY
        raise SettingsError("A worker's file cannot be used", file=file, key=key, cause=cause, remedy=remedy) from None


def read_form(text: str, instance: str, settings: WorkerSettings) -> WorkerDocument:
    """What a person wrote as JSON. Raises MistakesError: each mistake at its key, or at `()` for the whole."""
    try:
        tree = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise _mistaken(Mistake((), UsageError("This is not JSON", cause=_place(error)))) from None
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
        raise _mistaken(Mistake((str(error.fields.pop("key")),), error)) from None
    return document


def resolve(instance: str, document: WorkerDocument, settings: WorkerSettings, *, file: object) -> WorkerConfig:
    """The settings in force. Raises SettingsError where the document does not fit the instance."""
    kind = document.type or (WorkerType(instance) if instance in BUILT_IN else None)
    if kind is None:
        raise SettingsError(
            "A worker's file does not say its type",
            file=file,
            key="type",
            remedy='Add "type": "mail", "type": "poll" or "type": "deliver"',
        )
    if instance in BUILT_IN and kind.value != instance:
        raise SettingsError(
            "The workers poll, mail and deliver are of the type that their name says",
            worker=instance,
            file=file,
            key="type",
            remedy="Take its type out",
        )
    if document.poll_interval and kind is not WorkerType.POLL:
        raise SettingsError(
            "Only poll workers have a poll_interval",
            file=file,
            key="poll_interval",
            remedy="Take it out, or put it into poll.json",
        )
    given = document.model_dump(exclude_none=True, exclude={"type"})
    base: BaseModel = getattr(settings, kind.value)
    return WorkerConfig(instance=instance, type=kind, **{**base.model_dump(), **given})


def refuse_bad_name(instance: str) -> None:
    """Raises UsageError for what cannot be a unit's instance, a program's and a node's name at once."""
    if not INSTANCE.fullmatch(instance):
        raise UsageError(
            "This cannot be a worker's name",
            name=instance,
            remedy="Begin with a letter; small letters, digits and underscores, 31 at most",
        )


def poll_interval(configs: Iterable[WorkerConfig], default: int) -> int:
    """Seconds between two polls of an account without an interval of its own: the shortest that a poll worker names."""
    return min((config.poll_interval for config in configs if config.poll_interval), default=default)


def json_schema() -> Mapping[str, Any]:
    """What may stand in a worker's file, as a JSON Schema."""
    return WorkerDocument.model_json_schema()


def _mistake(found: Mapping[str, Any]) -> Mistake:
    path = tuple(found["loc"])
    sentence = _SENTENCES.get(found["type"])
    if sentence is None:
        return Mistake(path, UsageError("This value cannot be used", cause=found["msg"]))
    limits = found.get("ctx", {})
    remedy = did_you_mean(str(path[-1]), WorkerDocument.model_fields) if found["type"] == "extra_forbidden" else None
    error = UsageError(
        sentence, least=limits.get("ge"), most=limits.get("le"), known=limits.get("expected"), remedy=remedy
    )
    return Mistake(path, error)


def _mistaken(*mistakes: Mistake) -> MistakesError:
    return MistakesError("A worker's settings cannot be used", mistakes=mistakes)


def _place(error: json.JSONDecodeError | RecursionError) -> str:
    cause = "it is nested too deeply"
    if isinstance(error, json.JSONDecodeError):
        cause = f"{error.msg} in line {error.lineno}, column {error.colno}"
    return cause
