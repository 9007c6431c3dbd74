"""What systemd's properties mean: a table, since a booted machine shows only some of it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from concord.adapters.systemd_unit import NOT_SET, state_of
from concord.model.daemon import Activity

SINCE = datetime(2026, 11, 25, 10, 4, 12, tzinfo=UTC)
RUNNING: dict[str, Any] = {
    "Id": "concord-beat.service",
    "LoadState": "loaded",
    "LoadError": ["", ""],
    "ActiveState": "active",
    "SubState": "running",
    "Result": "success",
    "ExecMainStatus": 0,
    "StatusText": "",
    "MainPID": 42,
    "MemoryCurrent": NOT_SET,
    "NRestarts": 0,
    "ActiveEnterTimestamp": int(SINCE.timestamp()) * 1_000_000,
    "StateChangeTimestamp": 0,
}
FAILED = {"ActiveState": "failed", "SubState": "failed", "MainPID": 0}


def test_running_daemon_has_all_its_fields() -> None:
    """M2."""
    state = state_of("beat", RUNNING | {"StatusText": "12 tasks", "MemoryCurrent": 84_000_000}, memory=None)

    assert (state.name, state.unit, state.activity) == ("beat", "concord-beat.service", Activity.RUNNING)
    assert (state.since, state.pid, state.memory, state.detail) == (SINCE, 42, 84_000_000, "12 tasks")


def test_memory_that_systemd_does_not_count_is_ours() -> None:
    assert state_of("beat", RUNNING, memory=7).memory == 7


@pytest.mark.parametrize(
    ("active", "sub", "activity"),
    [
        ("active", "running", Activity.RUNNING),
        ("reloading", "reload", Activity.RUNNING),
        ("activating", "start", Activity.STARTING),
        ("activating", "auto-restart", Activity.FAILED),
        ("activating", "auto-restart-queued", Activity.FAILED),
        ("deactivating", "stop-sigterm", Activity.STOPPING),
        ("inactive", "dead", Activity.STOPPED),
        ("failed", "failed", Activity.FAILED),
    ],
)
def test_each_state_of_systemd_is_one_of_ours(active: str, sub: str, activity: Activity) -> None:
    assert state_of("beat", RUNNING | {"ActiveState": active, "SubState": sub}, None).activity is activity


@pytest.mark.parametrize(
    ("result", "status", "detail"),
    [
        ("exit-code", 3, "its process ended with status 3"),
        ("exit-code", 0, "a command before or after its process failed"),
        ("exit-code", 203, "its command cannot be executed"),
        ("exit-code", 226, "its sandbox cannot be made"),
        ("exit-code", 243, "its credentials cannot be read"),
        ("signal", 9, "its process was ended by SIGKILL"),
        ("core-dump", 6, "its process was ended by SIGABRT"),
        ("signal", 99, "its process was ended by signal 99"),
        ("watchdog", 6, "it no longer said that it works (watchdog)"),
        ("oom-kill", 9, "the kernel ended it for lack of memory"),
        ("start-limit-hit", 0, "it failed too often in a short time"),
        ("never-heard-of", 0, "systemd says: never-heard-of"),
    ],
)
def test_failure_is_told_in_words(result: str, status: int, detail: str) -> None:
    """M2."""
    unit = RUNNING | FAILED | {"Result": result, "ExecMainStatus": status}

    assert state_of("beat", unit, None).detail == detail


def test_failed_daemon_keeps_its_own_last_words() -> None:
    unit = RUNNING | FAILED | {"Result": "exit-code", "ExecMainStatus": 1, "StatusText": "the schema is too new"}

    assert state_of("beat", unit, None).detail == "its process ended with status 1; the schema is too new"


def test_unit_file_that_is_not_valid_is_named_as_the_cause() -> None:
    unit = RUNNING | {
        "LoadState": "bad-setting",
        "LoadError": ["org.freedesktop.systemd1.BadUnitSetting", "Unit has a bad unit file setting."],
        "ActiveState": "inactive",
        "SubState": "dead",
    }

    state = state_of("beat", unit, None)

    assert state.activity is Activity.FAILED
    assert state.detail == "its unit file is not valid: Unit has a bad unit file setting."


@pytest.mark.parametrize(
    ("load", "detail"),
    [("masked", "masked: supervisord has it"), ("not-found", "systemd has no such unit")],
)
def test_unit_that_is_not_there_is_absent(load: str, detail: str) -> None:
    unit = RUNNING | {"LoadState": load, "ActiveState": "inactive", "SubState": "dead", "MainPID": 0}

    state = state_of("beat", unit, None)

    assert (state.activity, state.detail, state.since, state.pid) == (Activity.ABSENT, detail, None, None)


def test_unit_whose_file_is_gone_still_runs() -> None:
    assert state_of("beat", RUNNING | {"LoadState": "not-found"}, None).activity is Activity.RUNNING


def test_starting_anew_counts_the_tries() -> None:
    unit = RUNNING | {"ActiveState": "activating", "SubState": "start", "NRestarts": 3}

    assert state_of("beat", unit, None).detail == "(restarted 3 times)"
