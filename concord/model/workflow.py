"""A workflow run: one event going through named steps, each durable, resumed where it stood (P9)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from concord.model.account import Priority
from concord.model.rule import WorkflowStepSpec


class RunState(StrEnum):
    """Every run ends `succeeded` or `failed`."""

    PENDING = "pending"
    RUNNING = "running"  # in a worker's hands until its lease lapses
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class StepRun:
    """One step of a run, and what came of it."""

    position: int
    name: str
    kind: str
    state: RunState
    attempts: int
    output: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowRun:
    """A run stands at step `position` (0-based)."""

    id: int
    event_id: UUID
    message_id: int
    workflow: str
    state: RunState
    position: int
    attempts: int  # claims so far; only ever rises: the fencing token
    failures: int  # attempts of the present step that count
    due_at: datetime
    leased_until: datetime | None
    error: str | None
    specs: tuple[WorkflowStepSpec, ...]
    steps: tuple[StepRun, ...]
    archive_key: str  # of the event document
    created_at: datetime
    finished_at: datetime | None
    suspect: bool = False  # a claim of it lapsed before
    priority: Priority = Priority.NORMAL
