"""The same story under supervisord: it takes over, is moved by the same commands, and gives back (W7, D4, M1)."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.figures import Note
from tests.package import debs
from tests.package.host import DAEMONS, MEMBERS, TARGET, Host, sleep_through

# The release matters little to this story: one will do.
pytestmark = pytest.mark.parametrize("suite", ["trixie"], indirect=True, scope="session")

PROGRAMS = {
    "concord:concord-beat",
    "concord:concord-worker-poll",
    "concord:concord-worker-mail",
    "concord:concord-worker-deliver",
    "concord:concord-flower",
    "concord-admin",
    "concord-watchdog",
}
CONTROL = "/usr/lib/concord/bin/supervisorctl -c /etc/concord/supervisord.conf"
# A minute of silence, ten seconds to obey, and the start itself.
BACK_WITHIN = 60 + 10 + 20
LOG = "/var/log/concord/celery-worker.log"


def states(host: Host) -> dict[str, str]:
    """Each program's state, as supervisorctl has it."""
    said = host.machine.run(f"{CONTROL} status", user="concord", check=False).stdout
    return {line.split()[0]: line.split()[1] for line in said.splitlines() if line}


def pids(host: Host) -> dict[str, int]:
    """The main process of each program, but for the watchdog's own."""
    names = sorted(PROGRAMS - {"concord-watchdog"})
    return {name: int(host.machine.output(f"{CONTROL} pid {name}", user="concord")) for name in names}


def all_run(host: Host) -> bool:
    """Whether each program runs."""
    now = states(host)
    return all(now.get(name) == "RUNNING" for name in PROGRAMS)


def assert_supervisord_has_it(host: Host) -> None:
    """No unit of the set runs or could be started."""
    assert not any(host.active([TARGET, *DAEMONS]))
    enabled = host.machine.run(["systemctl", "is-enabled", TARGET, *DAEMONS], check=False).stdout.split()
    assert enabled == ["masked"] * 7


@pytest.fixture(scope="module")
def supervised(host: Host, deb_folder: Path) -> Host:
    """A host on which supervisord has taken over, with mail in between."""
    host.add_account("office")
    host.deliver("office")
    host.wait_for_events()
    with host.flow("office"):
        host.machine.install(debs.find(deb_folder, "concord-supervisor"))
        host.machine.wait_until(lambda: all_run(host), within=60, why="all programs run")
    return host


def test_programs_run_and_the_units_are_masked(supervised: Host) -> None:
    """W7."""
    machine = supervised.machine

    assert all_run(supervised)
    assert_supervisord_has_it(supervised)
    assert machine.output("dpkg --audit") == ""


def test_no_mail_was_lost_or_doubled_by_the_change(supervised: Host) -> None:
    """W7, P5."""
    supervised.wait_for_events(within=60)


def test_everything_runs_as_the_user_concord(supervised: Host) -> None:
    owners = supervised.machine.output("ps -eo user=,args= | grep '[/]usr/lib/concord' | cut -d' ' -f1 | sort -u")

    assert owners == "concord"


def test_sandbox_is_as_tight_as_the_units(supervised: Host) -> None:
    """D2."""
    said = supervised.machine.output("systemd-analyze security --no-pager concord-supervisor.service | tail -1")

    assert float(said.partition("service: ")[2].split()[0]) <= 1.3


@pytest.mark.parametrize("user", ["root", "concord"])
def test_concord_service_stops_and_starts_the_programs(supervised: Host, user: str) -> None:
    """M1, M4, M5."""
    supervised.machine.run("concord service stop", user=user)

    stopped = states(supervised)
    assert {name for name, state in stopped.items() if state == "RUNNING"} >= {"concord-admin", "concord-watchdog"}
    assert all(state != "RUNNING" for name, state in stopped.items() if name.startswith("concord:"))

    supervised.machine.run("concord service start", user=user)

    assert all_run(supervised)
    supervised.deliver("office", 3)
    supervised.wait_for_events()


def test_status_names_the_supervisor(supervised: Host) -> None:
    """M5."""
    told = supervised.machine.json("concord service status --json", user="concord")

    assert told["supervisor"] == "supervisord"
    assert {row["activity"] for row in told["daemons"]} == {"running"}


def test_admin_service_and_flower_answer(supervised: Host) -> None:
    """W7."""
    told = json.loads(supervised.machine.output("curl -s http://127.0.0.1:3000/healthz"))

    assert told["status"] == "ok", told
    code = supervised.machine.output("curl -s -o /dev/null -w '%{http_code}' http://127.0.0.1:5555/workers")
    assert code == "401"


def test_logs_are_files_that_logrotate_turns_without_losing_a_line(supervised: Host) -> None:
    """D4: of each task, both its lines are there."""
    machine = supervised.machine

    with supervised.flow("office", every=0.05):
        for _ in range(2):
            machine.run("logrotate --force /etc/logrotate.d/concord")
            sleep_through(5, "lines into the new file")
    supervised.wait_for_events(within=90)

    assert machine.path(f"{LOG}.1").stat().st_size
    assert machine.path(LOG).stat().st_size
    assert machine.output(f"stat -c '%U %a' {LOG}") == "concord 640"
    text = machine.output(f"zcat -f {LOG}*")
    received = set(re.findall(r"process_email\[([0-9a-f-]+)\] received", text))
    succeeded = set(re.findall(r"process_email\[([0-9a-f-]+)\] succeeded", text))
    assert len(received) > 3
    assert received == succeeded


def test_stopped_programs_are_back_within_the_watchdogs_time(supervised: Host, note: Note) -> None:
    """D1: SIGSTOP to each of them at the same moment."""
    machine = supervised.machine
    before = pids(supervised)

    machine.run(["kill", "-STOP", *map(str, before.values())])

    took = machine.wait_until(
        lambda: all_run(supervised) and all(pid != before[name] for name, pid in pids(supervised).items()),
        within=BACK_WITHIN,
        why="each program is replaced",
        every=1,
    )
    note("under supervisord, SIGSTOP to all: all are back", f"{took:.0f} s")
    supervised.deliver("office", 3)
    supervised.wait_for_events()


def test_upgrade_of_both_loses_no_mail_and_leaves_stopped_what_was_stopped(
    supervised: Host, deb_folder: Path, tmp_path: Path, note: Note
) -> None:
    """D6, W7: the set as it was, under the new files."""
    machine = supervised.machine
    machine.run(f"{CONTROL} stop concord:concord-flower", user="concord")
    both = [
        debs.next_version(debs.find(deb_folder, name), tmp_path, 1, migration=migration)
        for name, migration in (("concord", "pass"), ("concord-supervisor", None))
    ]

    with supervised.flow("office"):
        sleep_through(3, "mail before the upgrade")
        began = machine.output("date +%s")
        said = machine.install(*both)
        machine.wait_until(
            lambda: sorted(states(supervised).values()) == ["EXITED", *["RUNNING"] * 6, "STOPPED"],
            within=60,
            why="all but Flower run",
        )

    supervised.wait_for_events(within=90)
    assert states(supervised)["concord:concord-flower"] == "STOPPED"
    assert "not everything has started" not in said
    assert_supervisord_has_it(supervised)
    assert machine.output("dpkg --audit") == ""
    machine.run(f"{CONTROL} start concord:concord-flower", user="concord")
    pause = supervised.longest_pause("office", since=int(began) - 5)
    # With neighbours on the same cores; test_upgrade_pause.py holds it to its limit, alone.
    note("under supervisord, upgrade with mail flowing, longest pause between two events", f"{pause:.1f} s")


def test_concord_installed_anew_alone_is_under_supervisord_again(supervised: Host) -> None:
    """W7: its prerm holds the programs; a trigger of the other package lets them go."""
    machine = supervised.machine
    before = pids(supervised)

    machine.run("cd /root && dpkg --install ./concord_*.probe1_*.deb", timeout=300)

    machine.wait_until(lambda: all_run(supervised), within=60, why="all programs run")
    assert not set(pids(supervised).values()) & set(before.values())
    assert_supervisord_has_it(supervised)
    supervised.deliver("office", 3)
    supervised.wait_for_events()


def test_further_worker_is_a_program_that_the_manager_moves(supervised: Host) -> None:
    """M6."""
    machine = supervised.machine
    before = pids(supervised)

    machine.run("concord worker add extra --type mail --concurrency 1")
    machine.run("concord service start --only worker@extra", user="concord")

    assert states(supervised)["concord-worker-extra"] == "RUNNING"
    machine.run("concord service stop --only worker@extra", user="concord")
    machine.run("concord worker remove extra")
    assert "concord-worker-extra" not in states(supervised)
    assert pids(supervised) == before


def test_removing_it_gives_the_units_back(supervised: Host) -> None:
    """W7."""
    machine = supervised.machine

    machine.run("apt-get remove -y concord-supervisor </dev/null")

    supervised.wait_until_up()
    assert machine.output(f"systemctl is-enabled {TARGET}") == "enabled"
    assert not machine.path("/run/concord/supervisor.sock").exists()
    supervised.deliver("office", 3)
    supervised.wait_for_events()
    assert all(supervised.active(MEMBERS))


def test_purging_it_leaves_nothing_of_it(supervised: Host) -> None:
    """D6; what it shares with the package concord stays."""
    machine = supervised.machine
    machine.run("apt-get purge -y concord-supervisor </dev/null")

    left = machine.output("find / -xdev -iname '*supervisor*' -not -path '/usr/lib/concord/*' -not -path '/root/*'")

    assert not [
        path for path in left.splitlines() if not path.startswith(("/proc", "/sys", "/var/cache", "/usr/lib/python"))
    ]
    assert machine.path("/etc/concord/concord.toml").exists()
    assert all(supervised.active(MEMBERS))
