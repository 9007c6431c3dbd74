"""What supervisord's figures mean, and the end of a log file."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from concord.adapters.supervisord_process import log_size, log_tail, state_of
from concord.model.daemon import Activity

STARTED = datetime(2026, 11, 25, 10, 4, 12, tzinfo=UTC)
STOPPED = datetime(2026, 11, 25, 10, 5, 0, tzinfo=UTC)
RUNNING: dict[str, Any] = {
    "name": "concord-beat",
    "group": "concord",
    "statename": "RUNNING",
    "pid": os.getpid(),
    "start": int(STARTED.timestamp()),
    "stop": int(STOPPED.timestamp()),
    "exitstatus": 0,
    "spawnerr": "",
    "stdout_logfile": "",
}


def test_running_program_has_all_its_fields() -> None:
    """M2."""
    state = state_of("beat", RUNNING)

    assert (state.name, state.unit, state.activity) == ("beat", "concord:concord-beat", Activity.RUNNING)
    assert (state.since, state.pid, state.detail) == (STARTED, os.getpid(), "")
    assert state.memory


@pytest.mark.parametrize(
    ("name", "status", "error", "activity", "detail"),
    [
        ("STARTING", 0, "", Activity.STARTING, ""),
        ("STOPPING", 0, "", Activity.STOPPING, ""),
        ("STOPPED", 0, "", Activity.STOPPED, ""),
        ("EXITED", 0, "", Activity.STOPPED, ""),
        ("EXITED", 4, "Bad exit code 4", Activity.FAILED, "its process ended with status 4"),
        ("BACKOFF", 0, "Exited too quickly", Activity.FAILED, "Exited too quickly"),
        ("FATAL", 0, "can't find command", Activity.FAILED, "can't find command"),
        ("UNKNOWN", 0, "", Activity.FAILED, "supervisord says: unknown"),
    ],
)
def test_each_state_of_supervisord_is_one_of_ours(
    name: str, status: int, error: str, activity: Activity, detail: str
) -> None:
    info = RUNNING | {"statename": name, "pid": 0, "exitstatus": status, "spawnerr": error}

    state = state_of("beat", info)

    assert (state.activity, state.detail, state.pid, state.memory) == (activity, detail, None, None)
    assert state.since == (STARTED if name in ("STARTING", "STOPPING") else STOPPED)


def test_program_that_never_ran_has_no_time() -> None:
    assert state_of("beat", RUNNING | {"statename": "STOPPED", "pid": 0, "stop": 0}).since is None


def test_program_that_supervisord_lacks_is_absent() -> None:
    state = state_of("worker@extra", None)

    assert (state.unit, state.activity) == ("concord-worker-extra", Activity.ABSENT)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "beat.log"
    path.write_bytes(b'old\n{"event": "daemon.ready"}\nlast \xff\n')
    return path


def test_tail_is_the_last_lines_readable(log: Path) -> None:
    assert log_tail(RUNNING | {"stdout_logfile": str(log)}, 2) == ["daemon.ready", "last \ufffd"]


def test_tail_leaves_out_what_was_there_before(log: Path) -> None:
    info = RUNNING | {"stdout_logfile": str(log)}
    before = log_size(info)
    with log.open("ab") as file:
        file.write(b"new\n")

    assert log_tail(info, 10, after=before) == ["new"]


def test_file_rotated_meanwhile_is_read_from_its_beginning(log: Path) -> None:
    info = RUNNING | {"stdout_logfile": str(log)}
    before = log_size(info)
    log.write_bytes(b"new\n")

    assert log_tail(info, 10, after=before) == ["new"]


def test_program_without_a_log_file_says_so() -> None:
    assert log_tail(RUNNING, 10) == ["(supervisord keeps no log file of it)"]
    assert log_size(RUNNING) == 0
