"""Handlers and workflows as people write them in TOML or JSON, and back: files, pages and the API share this form."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from concord.errors import Mistake, UsageError, nearest
from concord.model.rule import HandlerSpec, WorkflowSpec, WorkflowStepSpec
from concord.pipeline.naming import name_mistake

MOST_STEPS: Final = 50
_Path = tuple[str | int, ...]
_KEYS: Final[Mapping[str, Sequence[str]]] = {
    "handler": ("name", "kind", "options", "enabled"),
    "workflow": ("name", "steps", "enabled"),
    "step": ("name", "kind", "options"),
}
_STRANGE: Final[Mapping[str, str]] = {
    "handler": "handler_key",
    "workflow": "workflow_key",
    "step": "step_key",
}


def handler_from_document(document: Mapping[str, Any]) -> HandlerSpec:
    """The written form of a handler. Raises UsageError."""
    handler, mistakes = read_handler(document)
    for mistake in mistakes:
        raise mistake.error
    return handler


def workflow_from_document(document: Mapping[str, Any]) -> WorkflowSpec:
    """The written form of a workflow. Raises UsageError."""
    workflow, mistakes = read_workflow(document)
    for mistake in mistakes:
        raise mistake.error
    return workflow


def read_handler(document: Mapping[str, Any]) -> tuple[HandlerSpec, list[Mistake]]:
    """Whatever can be read of it, and what cannot. Its options are read by the handler itself."""
    entry = _Entry("handler", document)
    spec = HandlerSpec(name=entry.name, kind=entry.kind(), options=entry.options(), enabled=entry.enabled())
    return spec, entry.mistakes


def read_workflow(document: Mapping[str, Any]) -> tuple[WorkflowSpec, list[Mistake]]:
    """Whatever can be read of it, and what cannot. A step's options are read by the step itself."""
    entry = _Entry("workflow", document)
    steps = tuple(_step(entry, place, step) for place, step in enumerate(_steps(entry)))
    entry.mistakes += _said_twice(entry.name, [step.name for step in steps])
    return WorkflowSpec(name=entry.name, steps=steps, enabled=entry.enabled()), entry.mistakes


def handler_to_document(handler: HandlerSpec) -> dict[str, Any]:
    """The written form of a handler; its secret is never in it."""
    options = plain(handler.options)
    return {"name": handler.name, "kind": handler.kind, "options": options, "enabled": handler.enabled}


def workflow_to_document(workflow: WorkflowSpec) -> dict[str, Any]:
    """The written form of a workflow."""
    steps = [{"name": step.name, "kind": step.kind, "options": plain(step.options)} for step in workflow.steps]
    return {"name": workflow.name, "enabled": workflow.enabled, "steps": steps}


def plain(options: object) -> Any:
    """Options as JSON keeps them: a TOML date becomes text, a tuple a list."""
    return json.loads(json.dumps(options, default=str))


class _Entry:
    """One table of a document, and what is wrong in it."""

    def __init__(self, noun: str, document: Mapping[str, Any], path: _Path = (), **where: object) -> None:
        self._document = document
        self._path = path
        self.mistakes: list[Mistake] = []
        name = document.get("name")
        self.name = name if isinstance(name, str) else ""
        if wrong := name_mistake(noun, self.name, (*path, "name")):
            self.mistakes.append(wrong)
        self._where = {**where, noun: self.name or None}
        for key in document:
            if key not in _KEYS[noun]:
                near = nearest(key, _KEYS[noun])
                self.refuse(UsageError(_STRANGE[noun], key=key, near=near, known=", ".join(_KEYS[noun])), key)

    def refuse(self, error: UsageError, *path: str | int) -> None:
        """Keep a mistake."""
        self.mistakes.append(Mistake((*self._path, *path), error.recast(UsageError, **self._where)))

    def value(self, key: str, default: object) -> object:
        """What is said; a key without a value says nothing."""
        said = self._document.get(key)
        return default if said is None else said

    def kind(self) -> str:
        kind = self.value("kind", "")
        if isinstance(kind, str) and kind:
            return kind
        self.refuse(UsageError("entry_no_kind"), "kind")
        return ""

    def options(self) -> dict[str, Any]:
        options = self.value("options", {})
        if isinstance(options, Mapping):
            read: dict[str, Any] = plain(options)
            return read
        self.refuse(UsageError("options_no_table"), "options")
        return {}

    def enabled(self) -> bool:
        enabled = self.value("enabled", default=True)
        if isinstance(enabled, bool):
            return enabled
        self.refuse(UsageError("no_boolean", key="enabled"), "enabled")
        return True


def _steps(entry: _Entry) -> Sequence[Mapping[str, Any]]:
    steps = entry.value("steps", [])
    if not isinstance(steps, list) or not steps or not all(isinstance(step, Mapping) for step in steps):
        entry.refuse(UsageError("workflow_no_steps"), "steps")
        return []
    if len(steps) > MOST_STEPS:
        entry.refuse(UsageError("workflow_long", limit=MOST_STEPS), "steps")
        return []
    return steps


def _step(entry: _Entry, place: int, document: Mapping[str, Any]) -> WorkflowStepSpec:
    step = _Entry("step", document, ("steps", place), workflow=entry.name or None)
    spec = WorkflowStepSpec(name=step.name, kind=step.kind(), options=step.options())
    entry.mistakes += step.mistakes
    return spec


def _said_twice(workflow: str, names: Sequence[str]) -> Iterator[Mistake]:
    """Outputs go by the step's name."""
    for place, name in enumerate(names):
        if name and name in names[:place]:
            error = UsageError("step_name_twice", workflow=workflow, step=name)
            yield Mistake(("steps", place, "name"), error)
