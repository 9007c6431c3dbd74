"""A booted systemd keeps the promises of `Supervisor`, as the memory twin and supervisord do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from concord.adapters import systemd, systemd_bus
from concord.adapters.supervisord import SupervisordSupervisor
from concord.adapters.supervisors import find_supervisor
from concord.adapters.systemd import SystemdSupervisor
from concord.adapters.systemd_journal import SystemdJournal
from concord.errors import DaemonFailedError, SupervisorDownError, UnknownDaemonError
from concord.model.daemon import TARGET, Activity, unit_name
from concord.settings import ServiceSettings
from concord.wording import english
from tests.package.machine import Machine
from tests.supervisor_contract import (
    ALL,
    ALONE,
    BRIEF,
    BROKEN,
    GOOD,
    MEMBERS,
    MUTE,
    SCRIPTS,
    SLOW,
    RealSupervisorContract,
    activities,
)

NEEDY = "worker@needy"  # needs concord-migrate.service, which fails
MASKED = "worker@masked"
FOLDER = "/run/contract"
UNIT = """\
[Unit]
{partof}
StartLimitIntervalSec=0
{needs}
[Service]
Type=notify
NotifyAccess=all
ExecStart=/bin/sh {folder}/{script}.sh
Restart={restart}
RestartSec=1
KillMode=mixed
"""
MIGRATE = """\
[Service]
Type=oneshot
NotifyAccess=all
ExecStart=/bin/sh -c 'systemd-notify --status="The schema is too new"; echo "version 9 is unknown" >&2; exit 5'
"""
NEEDS = "Requires=concord-migrate.service\nAfter=concord-migrate.service"
# Root may enter the machine's file system by its path, an ordinary user may not; both may from within a folder.
AS_NOBODY = """\
import json, os, sys
from concord.adapters.systemd import SystemdSupervisor
from concord.errors import ConcordError
os.chdir(sys.argv[1])
os.setgroups([])
os.setegid(65534)
os.seteuid(65534)
supervisor = SystemdSupervisor(list, address="unix:path=system_bus_socket")
said = [[state.activity.value for state in supervisor.states(["beat"])]]
for verb in ("start", "stop", "restart"):
    try:
        getattr(supervisor, verb)(["beat"], timeout=20)
    except ConcordError as error:
        said.append([error.code, error.facts["daemon"], error.facts["verb"]])
print(json.dumps(said))
"""


@dataclass
class UnderSystemd:
    supervisor: SystemdSupervisor
    machine: Machine

    def pids(self, name: str) -> list[int]:
        return self.machine.pids(unit_name(name))

    def mend(self) -> None:
        self.machine.put(f"{FOLDER}/mended", "")

    def end(self, name: str) -> None:
        self.machine.run(f"kill -USR1 {self.machine.main_pid(unit_name(name))}")


def _address(machine: Machine) -> str:
    return f"unix:path={machine.root}/run/dbus/system_bus_socket"


def _units() -> dict[str, str]:
    units = {
        unit_name(name): UNIT.format(
            partof=f"PartOf={TARGET}" if name in MEMBERS else "",
            needs=NEEDS if name == NEEDY else "",
            folder=FOLDER,
            script=name if name in SCRIPTS else GOOD,
            restart="no" if name == BRIEF else "always",
        )
        for name in (*ALL, NEEDY)
    }
    units["concord-migrate.service"] = MIGRATE
    units[TARGET] = f"[Unit]\nWants={' '.join(map(unit_name, MEMBERS))}\n"
    return units


@pytest.fixture(scope="module")
def machine(bare_machine: Machine) -> Iterator[Machine]:
    """With the units of the contract, which go again."""
    for name, script in SCRIPTS.items():
        bare_machine.put(f"{FOLDER}/{name}.sh", script.replace("@READY@", "systemd-notify --ready"))
    for unit, text in _units().items():
        bare_machine.put(f"/etc/systemd/system/{unit}", text)
    bare_machine.run(f"systemctl mask --quiet {unit_name(MASKED)}; systemctl daemon-reload")
    yield bare_machine
    bare_machine.run("rm -r /etc/systemd/system/concord-* /run/contract; systemctl daemon-reload")


@pytest.fixture
def hosted(machine: Machine) -> Iterator[UnderSystemd]:
    yield UnderSystemd(
        SystemdSupervisor(
            lambda: MEMBERS,
            address=_address(machine),
            journal=SystemdJournal(["nsenter", "--target", str(machine.leader), "--all", "journalctl"]),
            proc=machine.path("/proc"),
        ),
        machine,
    )
    machine.run(
        "systemctl kill --signal=KILL 'concord-*.service' 2>/dev/null; systemctl stop 'concord-*'; "
        f"systemctl reset-failed; rm -f {FOLDER}/mended"
    )


class TestSystemd(RealSupervisorContract):
    def test_whoever_moves_all_members_moves_the_target(self, hosted: UnderSystemd) -> None:
        """W2, M2."""
        hosted.supervisor.start(MEMBERS, timeout=20)
        started, pids = hosted.machine.is_active(TARGET), [hosted.pids(name) for name in MEMBERS]
        hosted.supervisor.stop(MEMBERS, timeout=20)
        stopped, left = not hosted.machine.is_active(TARGET), [hosted.pids(name) for name in MEMBERS]
        hosted.supervisor.restart(MEMBERS, timeout=20)

        assert started
        assert all(pids)
        assert stopped
        assert not any(left)
        assert hosted.machine.is_active(TARGET)

    def test_whoever_moves_a_part_leaves_the_target_and_the_rest(self, hosted: UnderSystemd) -> None:
        hosted.supervisor.start(MEMBERS, timeout=20)
        before = hosted.pids(SLOW)

        hosted.supervisor.stop([GOOD], timeout=20)
        hosted.supervisor.restart([GOOD, ALONE], timeout=20)

        assert hosted.machine.is_active(TARGET)
        assert hosted.pids(SLOW) == before

    def test_failed_dependency_tells_its_own_words(self, hosted: UnderSystemd) -> None:
        """D1: a database that is too new is what an operator must read, not 'dependency'."""
        with pytest.raises(DaemonFailedError) as caught:
            hosted.supervisor.start([NEEDY, GOOD], timeout=20)

        assert caught.value.log == ("version 9 is unknown",)
        assert caught.value.facts["daemon"] == NEEDY
        assert "concord-migrate.service" in str(caught.value.facts["cause"])
        assert "The schema is too new" in str(caught.value.facts["cause"])
        assert activities(hosted.supervisor, GOOD) == [Activity.RUNNING]

    def test_masked_daemon_is_absent_and_says_why(self, hosted: UnderSystemd) -> None:
        """W7."""
        [state] = hosted.supervisor.states([MASKED])

        assert (state.activity, state.detail) == (Activity.ABSENT, "masked: supervisord has it")
        with pytest.raises(UnknownDaemonError, match="masked"):
            hosted.supervisor.start([MASKED], timeout=20)

    def test_daemon_that_crashes_again_and_again_has_failed(self, hosted: UnderSystemd) -> None:
        with pytest.raises(DaemonFailedError):
            hosted.supervisor.start([BROKEN], timeout=20)

        [state] = hosted.supervisor.states([BROKEN])

        assert (state.activity, state.detail) == (Activity.FAILED, "its process ended with status 3")

    def test_daemon_that_had_failed_and_was_stopped_is_stopped(self, hosted: UnderSystemd) -> None:
        """M4: the whole is called stopped then, not half broken."""
        with pytest.raises(DaemonFailedError):
            hosted.supervisor.start([BROKEN, GOOD], timeout=20)

        hosted.supervisor.stop([BROKEN, GOOD], timeout=20)

        assert activities(hosted.supervisor, BROKEN, GOOD) == [Activity.STOPPED, Activity.STOPPED]
        assert hosted.machine.output("systemctl --failed --no-legend --plain") == ""

    def test_what_failed_before_time_was_up_tells_its_cause(self, hosted: UnderSystemd) -> None:
        with pytest.raises(DaemonFailedError) as caught:
            hosted.supervisor.start([MUTE, NEEDY], timeout=2)

        assert caught.value.facts["daemon"] == f"{MUTE}, {NEEDY}"
        assert "it is not ready yet" in str(caught.value.facts["cause"])
        assert "The schema is too new" in str(caught.value.facts["cause"])

    def test_systemd_that_is_replaced_meanwhile_loses_no_job(self, hosted: UnderSystemd) -> None:
        """Its upgrade re-executes it: the signal of the job's end may never come."""
        hosted.supervisor.start([SLOW], timeout=20)
        threading.Timer(0.3, hosted.machine.run, ["systemctl daemon-reexec"]).start()

        hosted.supervisor.stop([SLOW], timeout=20)

        assert hosted.pids(SLOW) == []

    def test_systemd_that_hangs_costs_a_time_limit_only(
        self, hosted: UnderSystemd, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(systemd_bus, "CALL_SECONDS", 1.0)
        os.kill(hosted.machine.leader, signal.SIGSTOP)
        began = time.monotonic()

        try:
            with pytest.raises(SupervisorDownError, match="systemd did not answer") as caught:
                hosted.supervisor.start([GOOD], timeout=20)
        finally:
            os.kill(hosted.machine.leader, signal.SIGCONT)

        assert time.monotonic() - began < 5
        assert "within 1 s" in english.explain(caught.value)

    def test_user_without_a_rule_may_look_and_is_refused_every_verb(self, hosted: UnderSystemd) -> None:
        """M3: as the effective user, whoever started the process."""
        folder = hosted.machine.path("/run/dbus")

        done = subprocess.run(
            [sys.executable, "-c", AS_NOBODY, str(folder)],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
            env={"PYTHONPATH": str(Path(__file__).parents[2])},
        )

        refused = [["supervisor_refused", GOOD, verb] for verb in ("start", "stop", "restart")]
        assert json.loads(done.stdout) == [["stopped"], *refused]

    def test_user_who_may_not_read_the_journal_is_told_so(self, hosted: UnderSystemd) -> None:
        nobody = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
        command = ["nsenter", "--target", str(hosted.machine.leader), "--all", *nobody, "journalctl"]

        told = SystemdJournal(command).tail(unit_name(GOOD), 5)

        assert told == ["(this user may not read the journal: join the group systemd-journal, or ask as root)"]


class TestAuto:
    """M1: which supervisor is found."""

    @pytest.fixture(autouse=True)
    def booted(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(systemd, "BOOTED", machine.path("/run/systemd/system"))
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", _address(machine))

    def test_systemd_with_the_units_is_found(self, tmp_path: Path) -> None:
        assert find_supervisor(ServiceSettings(run_directory=tmp_path), list).kind == "systemd"

    def test_where_the_units_are_masked_supervisord_has_them(
        self, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        machine.run(f"mv /etc/systemd/system/{TARGET} /root/; systemctl mask --quiet {TARGET}")
        settings = ServiceSettings(run_directory=tmp_path)
        try:
            with pytest.raises(SupervisorDownError) as caught:
                find_supervisor(settings, list)
            monkeypatch.setattr(SupervisordSupervisor, "check", lambda _self: None)
            found = find_supervisor(settings, list)
        finally:
            machine.run(
                f"systemctl unmask --quiet {TARGET}; mv /root/{TARGET} /etc/systemd/system/; systemctl daemon-reload"
            )

        assert "its units are masked" in english.explain(caught.value)
        assert "No such file" in english.explain(caught.value)
        assert found.kind == "supervisord"
