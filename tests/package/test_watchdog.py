"""A daemon that lives but does nothing is replaced, and nothing else is (D1, traps 22 to 24 and 51)."""

from __future__ import annotations

from functools import partial

import pytest

from tests.figures import Note
from tests.package.host import DAEMONS, Host

# The release matters little to this story: one will do.
pytestmark = pytest.mark.parametrize("suite", ["bookworm"], indirect=True, scope="session")

# WatchdogSec, then TimeoutAbortSec, RestartSec, and the start itself.
BACK_WITHIN = 60 + 10 + 3 + 15


def is_replaced(host: Host, unit: str, pid: int) -> bool:
    """Whether the unit is up with another main process."""
    return host.active([unit]) == [True] and host.machine.main_pid(unit) not in (0, pid)


def test_stopped_daemons_are_all_back_within_the_watchdogs_time(host: Host, note: Note) -> None:
    """D1: SIGSTOP to the main process of each, all at the same moment."""
    host.add_account("watched")
    before = host.main_pids()

    host.machine.run(["kill", "-STOP", *map(str, before.values())])

    for unit, pid in before.items():
        took = host.machine.wait_until(partial(is_replaced, host, unit, pid), within=BACK_WITHIN, why=unit)
        note(f"SIGSTOP to all: {unit.removesuffix('.service')} is back", f"after {took:.0f} s more at the latest")
    host.deliver("watched", 3)
    host.wait_for_events()


@pytest.mark.parametrize("unit", DAEMONS)
def test_watchdogs_kill_leaves_the_reason_in_the_journal(host: Host, unit: str) -> None:
    """D1."""
    assert "Watchdog timeout" in host.machine.output(f"journalctl --no-pager -u {unit}")
