"""A workflow as the fields of a form, and back: steps are added, moved and taken out by buttons, without JavaScript."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from concord.errors import Mistake
from concord.model.rule import WorkflowSpec
from concord.pipeline.book_document import MOST_STEPS, workflow_to_document
from concord.web.forms import Posted
from concord.web.options_form import field_of, fields_of, options_by, texts_of, words

SAVE: Final = "save"
_KIND: Final = 200  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class StepGiven:
    """What stands in the fields of one step; `was` is the name it has where it is kept."""

    kind: str
    name: str
    was: str = ""
    texts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowGiven:
    """What stands in the form."""

    name: str = ""
    enabled: bool = True
    steps: tuple[StepGiven, ...] = ()

    @property
    def is_full(self) -> bool:
        """Whether no step can be added."""
        return len(self.steps) >= MOST_STEPS


def given_by(form: Posted) -> WorkflowGiven:
    """As it was sent."""
    steps = []
    for place in range(MOST_STEPS):
        kind = form.text(f"step-{place}-kind")[:_KIND]
        if not kind:
            break
        texts = {name: form.text(f"step-{place}-{name}") for name in fields_of(kind)}
        name, was = form.text(f"step-{place}-name"), form.text(f"step-{place}-was")
        steps.append(StepGiven(kind=kind, name=name, was=was, texts=texts))
    return WorkflowGiven(name=form.text("name"), enabled=form.has("enabled"), steps=tuple(steps))


def given_of(workflow: WorkflowSpec) -> WorkflowGiven:
    """As a workflow that is kept fills it."""
    steps = (
        StepGiven(kind=step.kind, name=step.name, was=step.name, texts=texts_of(step.kind, step.options))
        for step in workflow.steps
    )
    return WorkflowGiven(name=workflow.name, enabled=workflow.enabled, steps=tuple(steps))


def rearranged(given: WorkflowGiven, button: str, kinds: Iterable[str]) -> WorkflowGiven:
    """After the button: `add-KIND`, `up-N`, `down-N` or `out-N`. One that means nothing changes nothing."""
    verb, _, about = button.partition("-")
    steps = list(given.steps)
    if verb == "add" and about in kinds and not given.is_full:
        steps.append(StepGiven(kind=about, name=_free(about, {step.name for step in steps})))
        return replace(given, steps=tuple(steps))
    here = int(about) if about.isascii() and about.isdecimal() and len(about) < len(str(MOST_STEPS)) + 1 else -1
    if not 0 <= here < len(steps):
        return given
    step = steps.pop(here)
    if verb in ("up", "down"):
        steps.insert(max(here - 1, 0) if verb == "up" else here + 1, step)
    return replace(given, steps=tuple(steps)) if verb in ("up", "down", "out") else given


def document_of(given: WorkflowGiven) -> tuple[dict[str, Any], list[Mistake]]:
    """The written form of what the form says; and what says nothing that could be written."""
    steps, mistakes = [], []
    for place, step in enumerate(given.steps):
        options, wrong = options_by(step.kind, step.texts)
        steps.append({"name": step.name, "kind": step.kind, "options": options})
        mistakes += [Mistake(("steps", place, *one.path), one.error) for one in wrong]
    return {"name": given.name, "enabled": given.enabled, "steps": steps}, mistakes


def told(mistakes: Iterable[Mistake]) -> dict[str, str]:
    """What is wrong with each field; under `steps` what is wrong with all of them, under `""` what has no field."""
    errors: dict[str, str] = {}
    for mistake in mistakes:
        errors.setdefault(_place(mistake.path), words(mistake.error))
    return errors


def mark(workflow: WorkflowSpec) -> str:
    """Tells whether something was changed between showing a form and getting it back."""
    return hashlib.sha256(json.dumps(workflow_to_document(workflow), sort_keys=True).encode()).hexdigest()[:16]


def _place(path: tuple[str | int, ...]) -> str:
    if path[0] != "steps":
        return str(path[0]) if path[0] == "name" else ""
    return f"step-{path[1]}-{field_of(path[2:])}" if len(path) > 2 else "steps"  # noqa: PLR2004 - steps, place, field


def _free(kind: str, taken: set[str]) -> str:
    """A name to begin with."""
    numbered = (f"{kind}-{number}" for number in range(2, MOST_STEPS + 2))
    return next(name for name in (kind, *numbered) if name not in taken)
