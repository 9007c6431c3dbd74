"""The machines that the package is tried on are what they say they are."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.package.failure import MachineError
from tests.package.machine import Machine, clean_leftovers
from tests.waiting import eventually

ROOT = Path(__file__).parents[2]
DYING = """\
import sys, time
from tests.package.machine import Machine
with Machine("bookworm") as machine:
    print(machine.name, machine.leader, flush=True)
    time.sleep(60)
"""


def test_machine_runs_systemd_with_what_a_mail_host_has(bare_machine: Machine) -> None:
    release = {"bookworm": "12", "trixie": "13"}[bare_machine.suite]

    units = bare_machine.output("systemctl is-active dovecot redis-server dbus cron").split()

    assert units == ["active"] * 4
    assert bare_machine.output(". /etc/os-release; echo $VERSION_ID") == release
    assert bare_machine.output("systemctl --failed --no-legend") == ""


def test_machine_has_no_network_but_its_own(bare_machine: Machine) -> None:
    links = bare_machine.json("ip -json link")

    assert [link["ifname"] for link in links] == ["lo"]


def test_mail_delivered_is_served_over_imap(bare_machine: Machine) -> None:
    bare_machine.deliver("probe", b"Subject: hello\r\n\r\nworld\r\n", "1.probe")

    found = bare_machine.output("curl -s imap://127.0.0.1/INBOX -u probe:sesame -X 'SEARCH ALL'")

    assert found == "* SEARCH 1"


def test_command_runs_as_the_user_named(bare_machine: Machine) -> None:
    who = bare_machine.output("id -un; id -Gn", user="mail")

    assert who.split() == ["mail", "mail"]


def test_failing_command_raises_with_its_words(bare_machine: Machine) -> None:
    with pytest.raises(MachineError, match="no such luck"):
        bare_machine.run("echo no such luck; false")


def test_killed_run_leaves_no_process_and_the_next_cleans_up(bootable: None) -> None:
    with subprocess.Popen([sys.executable, "-c", DYING], stdout=subprocess.PIPE, text=True, cwd=ROOT) as run:
        assert run.stdout
        name, leader = run.stdout.readline().split()

        os.kill(run.pid, signal.SIGKILL)

    assert eventually(lambda: not Path(f"/proc/{leader}").exists(), within=10)
    clean_leftovers()
    left = [line for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines() if name in line]
    assert not left
