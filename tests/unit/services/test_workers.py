"""Workers as an operator changes them: there or not, never half (M6)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from concord.errors import ConflictError, DaemonFailedError, SupervisorRefusedError, UsageError
from concord.model.caller import Caller
from concord.model.worker import BUILT_IN, MOST
from concord.services import workers
from tests.fakes.command import MemoryConcord

ALICE = Caller(actor="alice", via="admin", address="192.0.2.7")


@pytest.fixture
def concord(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[MemoryConcord]:
    monkeypatch.setenv("CONCORD_CONFIG", str(tmp_path / "concord.toml"))
    made = MemoryConcord()
    yield made
    made.engine.dispose()


def test_a_new_worker_is_known_to_the_service_manager(concord: MemoryConcord) -> None:
    change = workers.add(concord, "extra", {"type": "mail"}, by=ALICE)

    assert change.alone is None
    assert "worker@extra" in concord.memory_supervisor.daemons
    [row] = concord.audit.entries()
    assert (row.actor, row.action, row.subject, row.outcome, row.address) == (
        "alice", "worker.add", "extra", "done", "192.0.2.7",
    )  # fmt: skip


def test_a_worker_that_the_manager_does_not_take_is_not_there(concord: MemoryConcord) -> None:
    concord.memory_supervisor.refuses = True

    with pytest.raises(SupervisorRefusedError):
        workers.add(concord, "extra", {"type": "mail"}, by=ALICE)

    assert "extra" not in concord.workers.instances()
    assert concord.audit.entries()[0].outcome == "refused"


def test_a_worker_that_the_manager_does_not_let_go_stays(concord: MemoryConcord) -> None:
    workers.add(concord, "extra", {"type": "mail", "concurrency": 7}, by=ALICE)

    def fail(_instances: object) -> None:
        raise DaemonFailedError("workers_not_noted")

    with pytest.raises(DaemonFailedError):
        workers.remove(concord, "extra", by=ALICE, adopt=fail)

    assert concord.workers.config("extra").concurrency == 7


def test_without_a_service_manager_the_file_is_kept_and_that_is_told(concord: MemoryConcord) -> None:
    """W8: a worker may be run by hand."""
    concord.memory_supervisor.down = True

    change = workers.add(concord, "extra", {"type": "mail"}, by=ALICE)

    assert change.alone
    assert "extra" in concord.workers.instances()


def test_a_running_worker_is_not_removed(concord: MemoryConcord) -> None:
    workers.add(concord, "extra", {"type": "mail"}, by=ALICE)
    concord.memory_supervisor.start(["worker@extra"], timeout=1)

    with pytest.raises(ConflictError):
        workers.remove(concord, "extra", by=ALICE)


def test_a_host_has_only_so_many_workers(concord: MemoryConcord) -> None:
    for number in range(MOST - len(BUILT_IN)):
        workers.add(concord, f"more{number}", {"type": "mail"}, by=ALICE)

    with pytest.raises(UsageError, match="too many workers"):
        workers.add(concord, "last", {"type": "mail"}, by=ALICE)


@pytest.mark.parametrize(
    ("tree", "synced", "restart"),
    [
        ({"poll_interval": 30}, True, False),
        ({"concurrency": 5}, False, True),
        ({"concurrency": 5, "poll_interval": 30}, True, True),
        ({}, False, False),
    ],
)
def test_a_change_says_what_holds_when(
    concord: MemoryConcord, tree: dict[str, int], *, synced: bool, restart: bool
) -> None:
    change = workers.change(concord, "poll", tree, by=ALICE)

    assert (change.schedule is not None, change.restart) == (synced, restart)
