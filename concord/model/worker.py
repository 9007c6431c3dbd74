"""What one worker runs with."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final


class WorkerType(StrEnum):
    """Polling waits, processing works."""

    POLL = "poll"
    MAIL = "mail"


# These two need no file.
BUILT_IN: Final = tuple(kind.value for kind in WorkerType)


# As many as one host may have, poll and mail included: what a page of the admin site may ask for has an end.
MOST: Final = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLimits:
    """What a worker took on when it started, and keeps until it ends. None: Celery's own default."""

    concurrency: int | None = None
    prefetch: int | None = None
    max_tasks_per_child: int | None = None
    max_memory_per_child: int | None = None  # KiB


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerConfig:
    """A worker's settings in force: its JSON file over what concord.toml says of its type."""

    instance: str
    type: WorkerType
    concurrency: int
    prefetch: int
    max_tasks_per_child: int
    max_memory_per_child: int  # KiB
    poll_interval: int | None = None  # seconds; poll workers only

    def outdated(self, running: WorkerLimits) -> tuple[str, ...]:
        """The settings that a running worker does not have yet: they hold from its next start."""
        names = (field.name for field in fields(WorkerLimits))
        return tuple(name for name in names if getattr(self, name) != getattr(running, name))
