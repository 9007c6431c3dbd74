"""An upgrade from the version whose polling worker delivered starts the delivering worker where that one ran (D6)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.package import debs
from tests.package.host import DAEMONS, MEMBERS, TARGET, WORKERS, Host
from tests.package.machine import Machine

# The release matters little to this story: one will do.
pytestmark = pytest.mark.parametrize("suite", ["trixie"], indirect=True, scope="session")

POLL, MAIL, DELIVER = WORKERS
BEFORE = [unit for unit in DAEMONS if unit != DELIVER]


@pytest.fixture(scope="module")
def older(deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The version before: its target wants no delivering worker."""
    return debs.two_workers(deb, tmp_path_factory.mktemp("older"), 0)


@pytest.fixture(scope="module")
def newer(deb: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return debs.next_version(deb, tmp_path_factory.mktemp("newer"), 1)


@pytest.fixture(scope="module")
def two_workers(suite: str, older: Path) -> Iterator[Host]:
    """A host with the version before, and a mailbox."""
    with Machine(suite) as machine:
        machine.install(older)
        host = Host(machine)
        host.wait_until_up(BEFORE)
        host.add_account("office")
        yield host


def test_delivering_worker_runs_after_the_upgrade_and_delivers_what_waited(two_workers: Host, newer: Path) -> None:
    """Events that the old version left are delivered, each once."""
    host = two_workers
    assert host.active([DELIVER]) == [False]
    host.deliver("office", 3)
    host.wait_for_events()

    with host.flow("office"):
        host.machine.install(newer)
        host.wait_until_up()

    host.wait_for_events(within=90)
    host.machine.wait_until(
        lambda: host.query("SELECT DISTINCT state, attempts FROM deliveries") == [["delivered", 1]],
        within=60,
        why="every event is delivered",
    )
    assert host.query("SELECT count(*) FROM deliveries") == host.query("SELECT count(*) FROM events")
    assert host.active([TARGET]) == [True]


def test_delivering_worker_stays_stopped_where_the_polling_worker_was(
    two_workers: Host, older: Path, newer: Path
) -> None:
    """D5: an operator stopped what delivered, and it goes on resting; the others run again."""
    host = two_workers
    host.machine.install(older, options="--allow-downgrades")
    host.machine.run(["systemctl", "stop", POLL, DELIVER])

    host.machine.install(newer)

    host.wait_until_up([unit for unit in DAEMONS if unit not in (POLL, DELIVER)])
    assert host.active([POLL, DELIVER]) == [False, False]
    host.machine.run(f"systemctl start {TARGET}")
    host.wait_until_up(MEMBERS)
