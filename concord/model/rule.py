"""A rule: which mails it means, and what should happen to them. And handlers and workflows, which rules name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from concord.model.account import Priority


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """All conditions given must hold; of several patterns in one condition, one is enough.

    A pattern is a case-insensitive glob (`*@example.com`), or a regular expression after `re:`.
    """

    account: tuple[str, ...] = ()
    folder: tuple[str, ...] = ()
    from_: tuple[str, ...] = ()
    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    subject: tuple[str, ...] = ()
    header: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    larger: int | None = None  # octets
    smaller: int | None = None  # octets
    attachment_name: tuple[str, ...] = ()
    attachment_type: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Every enabled rule that matches adds what it says, in order of position, until one says `stop`."""

    id: int = 0
    name: str
    position: int = 100
    enabled: bool = True
    match: Match = Match()
    priority: Priority | None = None
    handlers: tuple[str, ...] = ()
    workflows: tuple[str, ...] = ()
    skip: bool = False  # make the event, tell nobody
    stop: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the rules say about one mail."""

    matched: tuple[str, ...]  # rule names, in order
    priority: Priority
    handlers: tuple[str, ...]
    workflows: tuple[str, ...]
    skipped: bool
    rule_priority: Priority | None = None  # what a rule said; None where none did
    warnings: tuple[str, ...] = ()  # conditions that could not be judged, in words


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerSpec:
    """A configured handler: `kind` says which code, `options` how. `secret` is ciphertext."""

    id: int = 0
    name: str
    kind: str  # log, webhook, redis-stream, celery, or an entry point of concord.handlers
    options: Mapping[str, Any] = field(default_factory=dict)
    secret: bytes = field(default=b"", repr=False)
    enabled: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowStepSpec:
    """One step: `kind` is webhook, celery, or an entry point of concord.workflows."""

    name: str
    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowSpec:
    """Named, ordered steps. A run carries a copy, so that editing the workflow cannot change a run half-way."""

    id: int = 0
    name: str
    steps: tuple[WorkflowStepSpec, ...]
    enabled: bool = True
