"""A worker: which one it is, and what it runs with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Final


class WorkerType(StrEnum):
    """Polling and delivering wait, processing works."""

    POLL = "poll"
    MAIL = "mail"
    DELIVER = "deliver"

    @property
    def waits(self) -> bool:
        """Whether its tasks mostly wait for others: such a worker has threads, not processes."""
        return self is not WorkerType.MAIL


# These need no file.
BUILT_IN: Final = tuple(kind.value for kind in WorkerType)


# As many as one host may have, these included: what a page of the admin site may ask for has an end.
MOST: Final = 32


@dataclass(frozen=True, slots=True)
class Incarnation:
    """One life of a worker: what an earlier life of the same node holds, nobody works on any more."""

    node: str  # Celery's name of it: mail@host
    token: str  # another one at each start

    def __str__(self) -> str:
        return f"{self.node}/{self.token}"

    @property
    def prefix(self) -> str:
        """How the name of each life of this node begins."""
        return f"{self.node}/"

    def make_process(self, name: str) -> Incarnation:
        """One of its pool's processes, which may die alone: its claims bear a name of their own."""
        return Incarnation(self.node, f"{self.token}+{name}")

    def includes(self, holder: str) -> bool:
        """Whether that is the name of this worker or of one of its pool's processes."""
        return holder == str(self) or holder.startswith(f"{self}+")


FindWorker = Callable[[], Incarnation | None]
"""Says which worker this process belongs to, if any."""


def no_worker() -> None:
    """Belong to no worker: a command line, the admin site, a test."""


def holder(worker: FindWorker) -> str | None:
    """The name that this process's claims carry."""
    incarnation = worker()
    return str(incarnation) if incarnation else None


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
