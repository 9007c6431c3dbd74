"""A worker's settings as a form: its fields, what each means, and the document made of what it brings (M6)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from concord.errors import Mistake, UsageError
from concord.manager.config import WorkerDocument
from concord.model.worker import WorkerConfig, WorkerType
from concord.web.i18n import N_

Given = Mapping[str, str]
"""What stands in the form's fields."""


@dataclass(frozen=True, slots=True)
class NumberField:
    """One number: its key in the document, its name and help (to be translated), and what it may be."""

    key: str
    words: str
    help: str
    least: int
    most: int | None = None


# The help is the description that the JSON Schema has, so that both say the same.
NUMBERS: Final[Sequence[NumberField]] = (
    NumberField("concurrency", N_("Concurrency"), N_("Processes (mail) or threads."), 1, 1000),
    NumberField("prefetch", N_("Prefetch"), N_("Tasks reserved ahead for each of them."), 1, 100),
    NumberField(
        "max_tasks_per_child",
        N_("Tasks per child"),
        N_("Tasks after which a process (mail) or the whole worker is replaced."),
        1,
    ),
    NumberField("max_memory_per_child", N_("Memory per child"), N_("KiB after which it is replaced."), 150_000),
    NumberField(
        "poll_interval",
        N_("Poll interval"),
        N_("Seconds between two polls of a mailbox; poll only."),
        1,
        30 * 86_400,
    ),
)
TYPE_HELP: Final = N_("poll: mailboxes; mail: processing; deliver: handlers and workflows.")
# More digits than any of them may have; Python refuses to read thousands.
_NUMBER: Final = re.compile(r"-?[0-9]{1,15}")
ROLES: Final[Mapping[WorkerType, str]] = {
    WorkerType.MAIL: N_("processes mail"),
    WorkerType.POLL: N_("polls mailboxes"),
    WorkerType.DELIVER: N_("brings events to handlers"),
}


def fields_for(kind: WorkerType | None) -> list[NumberField]:
    """Those that a worker of that type may have; None: it is not chosen yet."""
    return [field for field in NUMBERS if field.key != "poll_interval" or kind in (None, WorkerType.POLL)]


def given_of(document: WorkerDocument) -> dict[str, str]:
    """The form as it shows a document."""
    return {key: str(value) for key, value in tree_of(document).items()}


def tree_of(document: WorkerDocument) -> dict[str, Any]:
    """The document as its file has it."""
    tree: dict[str, Any] = document.model_dump(mode="json", exclude_none=True)
    return tree


def json_of(document: WorkerDocument) -> str:
    """The same as text."""
    return json.dumps(tree_of(document), indent=2)


def tree_by(given: Given) -> dict[str, Any]:
    """What the form says; an empty field says nothing, and what is no number is told at its field."""
    tree: dict[str, Any] = {"type": given["type"]} if given.get("type") else {}
    for field in NUMBERS:
        if text := given.get(field.key, "").strip():
            tree[field.key] = int(text) if _NUMBER.fullmatch(text) else text
    return tree


def usual(config: WorkerConfig) -> dict[str, str]:
    """What is in force where a field is left empty, for its placeholder; `config` is that of an empty document."""
    return {field.key: str(getattr(config, field.key) or "") for field in NUMBERS}


def by_field(mistakes: Sequence[Mistake]) -> dict[str, UsageError]:
    """The first mistake of each field; `` has those that belong to none."""
    known = {"type", *(field.key for field in NUMBERS)}
    told: dict[str, UsageError] = {}
    for mistake in mistakes:
        key = str(mistake.path[0]) if mistake.path else ""
        told.setdefault(key if key in known else "", mistake.error)
    return told
