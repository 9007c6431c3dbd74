"""The daemon set moves as one, by systemctl and by `concord service`; its daemons are locked in (W2, M5, D1, D2)."""

from __future__ import annotations

import json
import time

import pytest

from tests.figures import Note
from tests.package.host import ADMIN, DAEMONS, MEMBERS, TARGET, WORKERS, Host

# The release matters little to this story: one will do.
pytestmark = pytest.mark.parametrize("suite", ["bookworm"], indirect=True, scope="session")


@pytest.fixture(scope="module")
def mailbox(host: Host) -> str:
    """An account whose mail keeps being polled."""
    host.add_account("office")
    host.deliver("office", 3)
    host.wait_for_events()
    return "office"


def test_stopping_the_target_leaves_the_admin_service_and_no_process_of_the_set(host: Host, mailbox: str) -> None:
    """W2. `systemctl stop` of a target returns before its members have ended."""
    host.machine.run(f"systemctl stop {TARGET}")

    host.machine.wait_until(lambda: not any(host.machine.pids(unit) for unit in MEMBERS), within=45)
    assert host.active([TARGET, *DAEMONS]) == [False] * 6 + [True]
    assert [line for line in host.processes() if "admin run" not in line] == []
    assert host.machine.output("systemctl --failed --no-legend --plain") == ""


def test_starting_the_target_brings_polling_back(host: Host, mailbox: str, note: Note) -> None:
    """W2."""
    assert not any(host.active(MEMBERS))
    before = host.query("SELECT last_poll FROM account_states")
    began = time.monotonic()

    host.machine.run(f"systemctl start {TARGET}")

    host.machine.wait_until(lambda: host.query("SELECT last_poll FROM account_states") != before, within=60, every=0.1)
    note("target start to first poll", f"{time.monotonic() - began:.1f} s")
    host.wait_until_up()


def test_restarting_the_target_replaces_each_process_but_the_admin_services(host: Host, mailbox: str) -> None:
    """W2."""
    before = host.main_pids()

    host.machine.run(f"systemctl restart {TARGET}")

    host.machine.wait_until(
        lambda: all(pid not in (0, before[unit]) for unit, pid in host.main_pids(MEMBERS).items()), within=90
    )
    host.wait_until_up()
    assert host.main_pids()[ADMIN] == before[ADMIN]
    host.deliver(mailbox)
    host.wait_for_events()


def test_target_comes_up_with_the_machine(host: Host) -> None:
    wants = host.machine.output("systemctl show multi-user.target -p Wants --value").split()

    assert TARGET in wants
    assert ADMIN in wants


def test_journal_has_a_field_for_each_fact(host: Host, mailbox: str) -> None:
    """W4, D4: with the JSON line as its message."""
    host.deliver(mailbox)
    host.wait_for_events()

    lines = [line for line in host.machine.journal(WORKERS[1], fields=True) if line.get("CONCORD_EVENT")]

    said = [line for line in lines if "CONCORD_TASK_ID" in line]
    assert said, lines[-3:]
    assert said[-1]["CONCORD_TASK"] == "concord.process_email"
    assert json.loads(said[-1]["MESSAGE"])["event"] == said[-1]["CONCORD_EVENT"]
    assert any("CONCORD_MESSAGE" in line for line in said)


def test_lines_of_an_account_are_found_by_its_field(host: Host, mailbox: str) -> None:
    """W4."""
    units = {
        json.loads(line)["_SYSTEMD_UNIT"]
        for line in host.machine.output(f"journalctl CONCORD_ACCOUNT={mailbox} -o json --no-pager").splitlines()
    }

    assert set(WORKERS) <= units


def test_unit_files_have_nothing_to_complain_about(host: Host) -> None:
    files = host.machine.output("dpkg -L concord | grep -E 'systemd/system/concord.*[.](service|target)$'").split()
    # A template is looked at as an instance.
    units = [file.rpartition("/")[2].replace("@.", "@mail.") for file in files]

    said = host.machine.run(["systemd-analyze", "verify", "--man=no", *units], check=False)

    assert len(units) == 7
    assert (said.returncode, [line for line in said.stderr.splitlines() if "concord" in line]) == (0, [])


@pytest.mark.parametrize("user", ["root", "concord"])
def test_concord_service_stops_and_starts_the_set(host: Host, mailbox: str, user: str) -> None:
    """M4, M5, S."""
    host.machine.run("concord service stop", user=user)

    assert not any(host.machine.pids(unit) for unit in MEMBERS)
    assert host.active([ADMIN]) == [True]
    assert host.machine.run("concord service status", user=user, check=False).returncode == 3

    host.machine.run("concord service start", user=user)

    assert all(host.active([TARGET, *DAEMONS]))
    assert host.machine.run("concord service status", user=user, check=False).returncode == 0
    host.deliver(mailbox)
    host.wait_for_events()


def test_concord_service_moves_one_daemon_and_leaves_the_others(host: Host, mailbox: str) -> None:
    """M5."""
    before = host.main_pids()

    host.machine.run("concord service restart --only worker@mail", user="concord")

    after = host.main_pids()
    assert [unit for unit in DAEMONS if before[unit] != after[unit]] == [WORKERS[1]]


def test_two_toggles_at_once_take_turns(host: Host, mailbox: str) -> None:
    """M2: or the later one says who is at it; never both at once."""
    first = host.machine.popen("concord service restart", user="concord", stdout=-1, stderr=-1)
    second = host.machine.popen("concord service restart", user="concord", stdout=-1, stderr=-1)

    ended = {run: run.communicate(timeout=240) for run in (first, second)}

    codes = sorted(run.returncode for run in ended)
    assert codes[0] == 0, ended
    if codes[1]:
        assert any("under way" in error for _, error in ended.values()), ended
    host.wait_until_up()


def test_status_has_every_daemon_with_its_figures(host: Host, mailbox: str) -> None:
    """M5."""
    told = host.machine.json("concord service status --json", user="concord")

    rows = {row["name"]: row for row in told["daemons"]}
    assert {"beat", "worker@poll", "worker@mail", "worker@deliver", "flower", "admin"} == set(rows)
    assert all(row["activity"] == "running" and row["pid"] and row["memory"] for row in rows.values())


def test_logs_are_shown_to_the_user_concord(host: Host, mailbox: str) -> None:
    """M5."""
    said = host.machine.output("concord service logs --only worker@mail --lines 20", user="concord")

    assert said


def test_flower_command_names_the_file_but_not_the_password(host: Host) -> None:
    """M5, A3."""
    password = host.machine.path("/etc/concord/credentials/flower__password").read_text(encoding="utf-8").strip()

    said = host.machine.output("concord service flower", user="concord")

    assert "127.0.0.1:5555" in said or "localhost:5555" in said
    assert "flower__password" in said
    assert password not in said


def test_every_toggle_is_written_down(host: Host, mailbox: str) -> None:
    """M3."""
    rows = host.machine.json("concord audit list --json")

    actors = {(row["actor"], row["action"]) for row in rows}
    assert {("root", "service.start"), ("concord", "service.stop"), ("concord", "service.restart")} <= actors
