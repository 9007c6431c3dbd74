"""What systemd's properties of a unit mean, in Concord's words."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from concord.model.daemon import Activity, DaemonState

NOT_SET: Final = 2**64 - 1  # UINT64_MAX

_ACTIVITIES: Final = {
    "active": Activity.RUNNING,
    "reloading": Activity.RUNNING,
    "refreshing": Activity.RUNNING,
    "activating": Activity.STARTING,
    "deactivating": Activity.STOPPING,
    "inactive": Activity.STOPPED,
    "maintenance": Activity.STOPPED,
    "failed": Activity.FAILED,
}
_ABSENT: Final = {
    "masked": "masked: supervisord has it",
    "not-found": "systemd has no such unit",
}
# What the unit's own process did, or what systemd did to it (systemd.service(5), $SERVICE_RESULT).
_REASONS: Final = {
    "timeout": "it took longer than its unit allows",
    "watchdog": "it no longer said that it works (watchdog)",
    "oom-kill": "the kernel ended it for lack of memory",
    "protocol": "it ended, or went into the background, without saying that it is ready",
    "resources": "systemd could not give it what its unit asks for",
    "start-limit-hit": "it failed too often in a short time",
    "exec-condition": "a condition of its unit does not hold",
}
# Before the daemon itself comes to run, systemd ends it with a status of its own (systemd.exec(5)).
_STATUSES: Final = {
    0: "a command before or after its process failed",
    200: "its working directory cannot be entered",
    203: "its command cannot be executed",
    216: "its group does not exist",
    217: "its user does not exist",
    226: "its sandbox cannot be made",
    243: "its credentials cannot be read",
}
_KILLED: Final = ("signal", "core-dump")


def activity_of(unit: Mapping[str, Any]) -> Activity:
    """One that crashed and waits for its next try counts as failed: `starting` would hide a loop."""
    if unit["ActiveState"] in ("inactive", "failed") and unit["LoadState"] in _ABSENT:
        return Activity.ABSENT
    if unit["LoadState"] not in ("loaded", *_ABSENT) and unit["ActiveState"] == "inactive":
        return Activity.FAILED
    if "auto-restart" in unit["SubState"]:
        return Activity.FAILED
    return _ACTIVITIES.get(unit["ActiveState"], Activity.STARTING)


def state_of(name: str, unit: Mapping[str, Any], memory: int | None) -> DaemonState:
    """The daemon as it is now; `memory` where systemd does not count it."""
    activity = activity_of(unit)
    counted = unit.get("MemoryCurrent", NOT_SET)
    return DaemonState(
        name=name,
        unit=unit["Id"],
        activity=activity,
        since=_since(unit, activity),
        pid=unit.get("MainPID") or None,
        memory=memory if counted == NOT_SET else counted,
        detail=detail_of(unit),
    )


def detail_of(unit: Mapping[str, Any]) -> str:
    """The daemon's own words; why it failed before them."""
    activity = activity_of(unit)
    if activity is Activity.ABSENT:
        return _ABSENT[unit["LoadState"]]
    told = unit.get("StatusText", "")
    if activity is Activity.FAILED:
        return "; ".join(part for part in (reason_of(unit), told) if part)
    restarts = unit.get("NRestarts", 0)
    if activity is Activity.STARTING and restarts:
        return f"{told} (restarted {restarts} times)".strip()
    return str(told) if activity is not Activity.STOPPED else ""


def reason_of(unit: Mapping[str, Any]) -> str:
    """Why the unit does not run; empty where nothing went wrong."""
    if unit["LoadState"] not in ("loaded", *_ABSENT):
        return f"its unit file is not valid: {unit['LoadError'][1]}"
    result, status = unit.get("Result", "success"), unit.get("ExecMainStatus", 0)
    if result == "success":
        return ""
    if result == "exit-code":
        return _STATUSES.get(status, f"its process ended with status {status}")
    if result in _KILLED:
        return f"its process was ended by {signal_name(status)}"
    return _REASONS.get(result, f"systemd says: {result}")


def signal_name(number: int) -> str:
    """SIGKILL rather than 9."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _since(unit: Mapping[str, Any], activity: Activity) -> datetime | None:
    microseconds = unit["ActiveEnterTimestamp" if activity is Activity.RUNNING else "StateChangeTimestamp"]
    if activity is Activity.ABSENT or not microseconds:
        return None
    return datetime.fromtimestamp(microseconds / 1e6, tz=UTC)
