"""The lock that toggles take, between real processes (M2)."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from concord.errors import ConflictError, UsageError
from concord.manager.lock import ToggleLock
from concord.wording import english

HOLD = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from concord.manager.lock import ToggleLock
with ToggleLock(Path(sys.argv[1]), lambda: datetime.now(UTC)).held("restart", "bob"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def lock(tmp_path: Path) -> ToggleLock:
    return ToggleLock(tmp_path, lambda: datetime.now(UTC))


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process, which has the lock."""
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def test_a_lock_that_is_held_names_its_holder(lock: ToggleLock, holder: subprocess.Popen[str]) -> None:
    with pytest.raises(ConflictError) as caught, lock.held("stop", "alice", patience=0.3):
        pass

    assert "restart by bob since" in english.explain(caught.value)
    assert caught.value.facts["pid"] == holder.pid


def test_a_holder_that_dies_frees_it(lock: ToggleLock, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGKILL)

    with lock.held("stop", "alice"):
        pass


def test_it_is_waited_for_as_long_as_said(lock: ToggleLock, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGTERM)

    with lock.held("stop", "alice", patience=30):
        pass


def test_it_can_be_taken_again_after_an_error(lock: ToggleLock, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="oops"), lock.held("stop", "alice"):
        raise ValueError("oops")

    with lock.held("stop", "alice", patience=0):
        assert stat.S_IMODE((tmp_path / "manager.lock").stat().st_mode) == 0o660


def test_no_run_directory_is_told_with_the_remedy(tmp_path: Path) -> None:
    lock = ToggleLock(tmp_path / "gone", lambda: datetime.now(UTC))

    with pytest.raises(UsageError) as caught, lock.held("stop", "alice"):
        pass

    assert "service.run_directory" in english.explain(caught.value)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a file that another user shares")
def test_what_root_made_first_the_directorys_owner_may_take(lock: ToggleLock, tmp_path: Path) -> None:
    os.chown(tmp_path, 65534, 65534)

    with lock.held("stop", "root"):
        pass

    made = (tmp_path / "manager.lock").stat()
    assert (made.st_uid, made.st_gid) == (65534, 65534)


def test_a_link_laid_in_its_place_is_not_followed(lock: ToggleLock, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious", encoding="utf-8")
    (tmp_path / "manager.lock").symlink_to(victim)

    with pytest.raises(UsageError), lock.held("stop", "alice"):
        pass

    assert victim.read_text(encoding="utf-8") == "precious"
