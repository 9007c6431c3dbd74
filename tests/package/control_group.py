"""A control group for each machine: two in one would kill each other's processes by unit name."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Final

KILL_SECONDS: Final = 20.0


def mounted() -> Path | None:
    """Where the host has mounted cgroup2."""
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        _device, place, kind, *_rest = line.split()
        if kind == "cgroup2":
            return Path(place)
    return None


def make(name: str) -> Path:
    """A new group. Raises OSError where none can be made."""
    place = (mounted() or Path()) / name
    place.mkdir()
    return place


def kill(place: Path) -> None:
    """Kill whatever is left in it, and take it away."""
    deadline = time.monotonic() + KILL_SECONDS
    while place.exists() and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            (place / "cgroup.kill").write_text("1", encoding="utf-8")
        remove(place)
        time.sleep(0.05)


def remove(place: Path) -> None:
    """Take it away with all below it, as far as nothing lives there."""
    for folder in sorted(place.rglob("*/"), reverse=True):
        with contextlib.suppress(OSError):
            folder.rmdir()
    with contextlib.suppress(OSError):
        place.rmdir()
