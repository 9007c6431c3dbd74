"""How long mail waits while Concord is upgraded (D6). Alone: what neighbours on the cores do would count as ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.figures import Note
from tests.package import debs
from tests.package.host import Host, sleep_through
from tests.package.trees import UNSAFE_IO

# The release matters little to this story: one will do.
pytestmark = [
    pytest.mark.alone,
    pytest.mark.parametrize("suite", ["trixie"], indirect=True, scope="session"),
]

PAUSE = 30


def pause_of_upgrade(host: Host, *packages: Path) -> float:
    """The longest time without an event, in seconds, while a mail comes every 200 ms."""
    with host.flow("office"):
        sleep_through(4, "mail before the upgrade")
        began = float(host.machine.output("date +%s"))
        host.machine.install(*packages)
        sleep_through(4, "mail after it")
    host.wait_for_events(within=90)
    return host.longest_pause("office", since=began - 3)


def test_mail_waits_half_a_minute_at_most_under_either_supervisor(
    host: Host, deb_folder: Path, tmp_path: Path, note: Note
) -> None:
    """D6, W7: under systemd first, then with supervisord in its place. Nothing is lost or doubled on the way."""
    host.add_account("office", interval=1)
    host.deliver("office", 3)
    host.wait_for_events()
    # dpkg waits for the disk, as on a machine that is no test.
    host.machine.path(UNSAFE_IO).unlink()
    first = debs.next_version(debs.find(deb_folder), tmp_path, 1, migration="pass")

    units = pause_of_upgrade(host, first)
    host.machine.install(debs.next_version(debs.find(deb_folder, "concord-supervisor"), tmp_path, 1, migration=None))
    host.deliver("office", 3)
    host.wait_for_events()
    second = debs.next_version(first, tmp_path, 2, migration="pass")
    supervisor = debs.next_version(debs.find(deb_folder, "concord-supervisor"), tmp_path, 2, migration=None)
    programs = pause_of_upgrade(host, second, supervisor)

    note("alone, upgrade with mail flowing, longest pause between two events", f"{units:.1f} s of {PAUSE}")
    note("alone, the same under supervisord", f"{programs:.1f} s of {PAUSE}")
    assert units <= PAUSE
    assert programs <= PAUSE
