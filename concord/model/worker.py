"""What one worker runs with."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class WorkerType(StrEnum):
    """Polling waits, processing works."""

    POLL = "poll"
    MAIL = "mail"


# These two need no file.
BUILT_IN: Final = tuple(kind.value for kind in WorkerType)


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
