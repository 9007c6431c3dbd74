"""The rule for polkit where Concord's units are there, and where their files are gone (M3). No package is needed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from concord.manager.units import polkit_rule
from concord.model.daemon import ADMIN, BEAT, FLOWER, TARGET, unit_name, worker
from tests.package.machine import Machine
from tests.package.test_bus import REFUSALS, REFUSED, Call, call

INSTANCES = ("poll", "mail", "deliver", "extra")
SERVICES = [unit_name(name) for name in (BEAT, FLOWER, ADMIN, *(worker(one) for one in INSTANCES))]
RULE = "/etc/polkit-1/rules.d/50-concord.rules"
# As root, a command of the attacker's choice under one of Concord's names.
COMMAND = ("1", "ExecStart", "a(sasb)", "1", "/bin/true", "1", "/bin/true", "false", "0")
STUB = "[Service]\nExecStart=/bin/sleep infinity\n"


def transient(unit: str, mode: str = "replace") -> Call:
    return call("StartTransientUnit", "ssa(sv)a(sa(sv))", unit, mode, *COMMAND)


def unit_of_the_bus(unit: str, words: str) -> Call:
    """The same through the unit's own object."""
    path = "/org/freedesktop/systemd1/unit/" + "".join(
        one if one.isalnum() else f"_{ord(one):02x}" for one in unit
    )  # systemd escapes paths so
    return Call(f"{unit} {words}", f"org.freedesktop.systemd1 {path} org.freedesktop.systemd1.Unit {words}")


ABSENT = [
    *(transient(unit) for unit in SERVICES),
    transient(SERVICES[0], "fail"),
    transient(SERVICES[0], "isolate"),
    transient("concord-workers.service"),
    transient("concord-migrate.service"),
    transient("concord-worker@other.service"),
    call("StartTransientUnit", "ssa(sv)a(sa(sv))", TARGET, "replace", "0", "0"),
]
PRESENT = [
    *REFUSED,
    *(transient(unit) for unit in ("evil.service", "concord-worker@other.service", "concord-workers.service")),
    call("TryRestartUnit", "ss", SERVICES[0], "replace"),
    call("ReloadOrRestartUnit", "ss", SERVICES[0], "replace"),
    call("EnqueueUnitJob", "sss", SERVICES[0], "reload", "replace"),
    unit_of_the_bus(SERVICES[0], "Kill si all 9"),
    unit_of_the_bus(SERVICES[0], "SetProperties ba(sv) true 1 CPUWeight t 1"),
    unit_of_the_bus("cron.service", "Stop s replace"),
    unit_of_the_bus("cron.service", "Restart s replace"),
]


def error_of(machine: Machine, one: Call) -> str:
    """What the bus answers to the user concord; empty where the call was carried out."""
    words = ["busctl", "--allow-interactive-authorization=no", "call", *one.words.split()]
    done = machine.run(words, user="concord", check=False, timeout=30)
    return done.stderr.strip() or "refused" if done.returncode else ""


def carried_out(machine: Machine, calls: list[Call]) -> dict[str, str]:
    """Those that polkit did not refuse, with what the bus said instead."""
    errors = {one.name: error_of(machine, one) for one in calls}
    return {name: error for name, error in errors.items() if not any(refusal in error for refusal in REFUSALS)}


@pytest.fixture(scope="module")
def ruled(bare_machine: Machine) -> Iterator[Machine]:
    """With the user, the rule and units of Concord's names."""
    machine = bare_machine
    machine.run("useradd --system concord")
    machine.path("/root/rule").write_text(polkit_rule(INSTANCES), encoding="utf-8")
    machine.run(f"mkdir -p /etc/polkit-1/rules.d && install -m 0644 /root/rule {RULE} && systemctl restart polkit")
    for unit in (*SERVICES, "concord-workers.service"):
        machine.path(f"/etc/systemd/system/{unit}").write_text(STUB, encoding="utf-8")
    machine.run("systemctl daemon-reload")
    yield machine
    machine.run(f"rm -f {RULE} /etc/systemd/system/concord-* && systemctl daemon-reload && userdel concord")


def test_units_of_concord_are_moved(ruled: Machine) -> None:
    calls = [
        call(verb, "ss", unit, "replace") for unit in SERVICES for verb in ("StartUnit", "StopUnit", "RestartUnit")
    ]
    calls += [call("ResetFailedUnit", "s", SERVICES[0]), unit_of_the_bus(SERVICES[0], "Start s replace")]
    calls += [call("StartUnit", "ss", "concord-workers.service", "replace")]

    assert {one.name: error for one in calls if (error := error_of(ruled, one))} == {}


def test_forty_other_calls_are_refused(ruled: Machine) -> None:
    assert len(PRESENT) >= 40
    ruled.run(f"systemctl start {' '.join(SERVICES)}")

    assert carried_out(ruled, PRESENT) == {}


def test_name_of_a_unit_whose_file_is_gone_starts_no_command(ruled: Machine) -> None:
    """Between the removal of a package's files and that of its rule, say; systemd 257 asks with the verb "start"."""
    ruled.run(f"systemctl stop {' '.join(SERVICES)} concord-workers.service")
    ruled.run("rm -f /etc/systemd/system/concord-* && systemctl daemon-reload")

    assert carried_out(ruled, ABSENT) == {}
    assert ruled.output("systemctl list-units --no-legend 'concord-*' 'evil*'") == ""
