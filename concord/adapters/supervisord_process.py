"""What supervisord says of a program (getProcessInfo), in Concord's words, and the last lines of its log file."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from concord.adapters.log_lines import readable
from concord.adapters.processes import proportional, tree
from concord.model.daemon import Activity, DaemonState, program_name

# A line of ours has a few hundred octets; a traceback some thousands.
_TAIL_OCTETS: Final = 512 * 1024

_ACTIVITIES: Final = {
    "RUNNING": Activity.RUNNING,
    "STARTING": Activity.STARTING,
    # It crashed, and waits for its next try: `starting` would hide a loop.
    "BACKOFF": Activity.FAILED,
    "STOPPING": Activity.STOPPING,
    "STOPPED": Activity.STOPPED,
    "FATAL": Activity.FAILED,
    "UNKNOWN": Activity.FAILED,
}


def full_name(info: Mapping[str, Any]) -> str:
    """`concord:concord-beat`: how a call names a program that is in a group. Alone it is a group of its own."""
    return f"{info['group']}:{info['name']}"


def activity_of(info: Mapping[str, Any]) -> Activity:
    """A program that ended by itself has failed, unless with status 0."""
    if info["statename"] == "EXITED":
        return Activity.FAILED if info["exitstatus"] else Activity.STOPPED
    return _ACTIVITIES[info["statename"]]


def state_of(name: str, info: Mapping[str, Any] | None) -> DaemonState:
    """The daemon as it is now; `info` is None where supervisord has no such program."""
    if info is None:
        return DaemonState(
            name=name, unit=program_name(name), activity=Activity.ABSENT, detail="supervisord has no such program"
        )
    pid = info["pid"] or None
    return DaemonState(
        name=name,
        unit=full_name(info),
        activity=activity_of(info),
        since=_since(info),
        pid=pid,
        memory=proportional(tree(pid)) if pid else None,
        detail=reason_of(info),
    )


def reason_of(info: Mapping[str, Any]) -> str:
    """Why the program does not run; empty where nothing went wrong."""
    if activity_of(info) is not Activity.FAILED:
        return ""
    if info["statename"] == "EXITED":
        return f"its process ended with status {info['exitstatus']}"
    if info["spawnerr"]:
        return str(info["spawnerr"])
    return f"supervisord says: {info['statename'].lower()}"


def log_size(info: Mapping[str, Any]) -> int:
    """How long the log file is, in octets; what is written from here on follows after that."""
    try:
        return os.stat(info["stdout_logfile"]).st_size  # noqa: PTH116 - an empty name is no folder here
    except OSError:
        return 0


def log_tail(info: Mapping[str, Any], lines: int, *, after: int = 0) -> list[str]:
    """The last lines of the log file, oldest first, not of what was there before `after` octets.

    One that says why where it cannot be read. Both workers write the same file.
    """
    name = info["stdout_logfile"]
    if not name:
        return ["(supervisord keeps no log file of it)"]
    try:
        with Path(name).open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            start = max(after if after <= end else 0, end - _TAIL_OCTETS)  # it may have been rotated
            file.seek(start)
            found = deque(file.read().splitlines(), maxlen=lines)
    except OSError as error:
        return [f"({name} cannot be read: {error.strerror})"]
    return [readable(line.decode(errors="replace")) for line in found]


def _since(info: Mapping[str, Any]) -> datetime | None:
    is_up = activity_of(info) in (Activity.RUNNING, Activity.STARTING, Activity.STOPPING)
    seconds = info["start"] if is_up else info["stop"]
    return datetime.fromtimestamp(seconds, tz=UTC) if seconds else None
