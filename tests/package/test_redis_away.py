"""Redis is away for longer than any watchdog waits: nobody is restarted, and work resumes (O6, trap 51)."""

from __future__ import annotations

import pytest

from tests.figures import Note
from tests.package.host import Host, sleep_through

# What this shows is of Concord and the libraries that it brings, the same on each release: one will do.
pytestmark = pytest.mark.parametrize("suite", ["bookworm"], indirect=True, scope="session")

# WatchdogSec is a minute.
OUTAGE = 75


def test_outage_of_redis_restarts_nobody_and_work_resumes(host: Host, note: Note) -> None:
    """O6: a watchdog that took a broken connection for a broken worker would kill them all."""
    host.add_account("office")
    host.deliver("office")
    host.wait_for_events()
    restarts, pids = host.restarts(), host.main_pids()

    host.machine.run("systemctl stop redis-server")
    host.deliver("office", 5)
    sleep_through(OUTAGE, "longer than any watchdog's time")
    host.machine.run("systemctl start redis-server")

    took = host.wait_for_events(within=90)
    note(f"Redis down for {OUTAGE} s: back to all mail processed", f"{took:.1f} s")
    assert (host.restarts(), host.main_pids()) == (restarts, pids)
