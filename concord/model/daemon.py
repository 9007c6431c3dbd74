"""Concord's daemons as a person names them, and what they are doing.

A daemon is named `beat`, `flower`, `admin` or `worker@INSTANCE`; systemd and supervisord each have a name of their own
for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

TARGET: Final = "concord-celery.target"
MIGRATE: Final = "concord-migrate.service"
# Runs once as root, and tells systemd and polkit which workers there are.
SETTLE: Final = "concord-workers.service"

# Whom the installed daemons run as.
USER: Final = "concord"

BEAT: Final = "beat"
FLOWER: Final = "flower"
ADMIN: Final = "admin"
WORKER_PREFIX: Final = "worker@"
# Fits a systemd instance name, a supervisord program, a file name and a Celery node name alike.
INSTANCE: Final = re.compile(r"[a-z][a-z0-9_]{0,30}")


class Verb(StrEnum):
    """All that may be asked of a daemon."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"


class Activity(StrEnum):
    """What a daemon is doing, whichever supervisor it runs under."""

    RUNNING = "running"
    STARTING = "starting"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FAILED = "failed"
    ABSENT = "absent"  # the supervisor knows no such daemon, or has it masked


@dataclass(frozen=True, slots=True, kw_only=True)
class DaemonState:
    """One daemon at one moment."""

    name: str
    unit: str  # as its supervisor names it: concord-worker@mail.service
    activity: Activity
    since: datetime | None = None
    pid: int | None = None
    memory: int | None = None  # octets, its pool processes included
    detail: str = ""  # the supervisor's own words: why it failed, what it waits for


def worker(instance: str) -> str:
    """The name of a worker's daemon."""
    return f"{WORKER_PREFIX}{instance}"


def instance_of(name: str) -> str | None:
    """The instance of a worker's daemon; None for every other daemon."""
    return name.removeprefix(WORKER_PREFIX) if name.startswith(WORKER_PREFIX) else None


def unit_name(name: str) -> str:
    """What systemd calls a daemon."""
    return f"concord-{name}.service"


def program_name(name: str) -> str:
    """What supervisord calls it."""
    return f"concord-{name.replace('@', '-')}"
