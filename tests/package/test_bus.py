"""What the user concord may do over D-Bus: move Concord's own units, and nothing else (M3)."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from tests.package.host import ADMIN, DAEMONS, TARGET, Host

MANAGER = "org.freedesktop.systemd1 /org/freedesktop/systemd1 org.freedesktop.systemd1.Manager"
LOGIN = "org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager"
REFUSALS = ("Access denied", "Permission denied", "nteractive authentication required")


@dataclass(frozen=True, slots=True)
class Call:
    """One call of busctl's: what it is about, and its words."""

    name: str
    words: str


def call(method: str, signature: str = "", *arguments: str) -> Call:
    """A call of systemd's manager."""
    return Call(f"{method} {' '.join(arguments)}", f"{MANAGER} {method} {signature} {' '.join(arguments)}")


ALLOWED = [
    *(call("RestartUnit", "ss", unit, "replace") for unit in DAEMONS),
    *(call("ResetFailedUnit", "s", unit) for unit in (TARGET, *DAEMONS)),
    *(call("StopUnit", "ss", unit, "replace") for unit in (TARGET, *DAEMONS)),
    *(call("StartUnit", "ss", unit, "replace") for unit in (TARGET, *DAEMONS)),
    call("StartUnit", "ss", "concord-workers.service", "replace"),
]
FOREIGN = (
    "dovecot.service", "redis-server.service", "cron.service", "dbus.service", "systemd-journald.service",
    "multi-user.target", "concord-worker@evil.service", "concord-evil.service", "concord-worker@mail.target",
)  # fmt: skip
MAIL = "concord-worker@mail.service"
REFUSED = [
    *(call("StopUnit", "ss", unit, "replace") for unit in FOREIGN[:6]),
    *(call("RestartUnit", "ss", unit, "replace") for unit in FOREIGN[:4]),
    *(call("StartUnit", "ss", unit, "replace") for unit in FOREIGN[5:]),
    call("StartUnit", "ss", "rescue.target", "isolate"),
    call("StartUnit", "ss", "poweroff.target", "replace-irreversibly"),
    call("StopUnit", "ss", "concord-migrate.service", "replace"),
    call("StopUnit", "ss", "concord-workers.service", "replace"),
    call("RestartUnit", "ss", "concord-workers.service", "replace"),
    call("StartUnit", "ss", "concord-workers@evil.service", "replace"),
    call("ReloadUnit", "ss", MAIL, "replace"),
    call("ReloadOrRestartUnit", "ss", "cron.service", "replace"),
    call("KillUnit", "ssi", MAIL, "all", "9"),
    call("KillUnit", "ssi", "dovecot.service", "all", "9"),
    call("SetUnitProperties", "sba(sv)", MAIL, "true", "1", "CPUWeight", "t", "1"),
    call("EnableUnitFiles", "asbb", "1", MAIL, "false", "false"),
    call("DisableUnitFiles", "asb", "1", TARGET, "false"),
    call("MaskUnitFiles", "asbb", "1", MAIL, "false", "true"),
    call("UnmaskUnitFiles", "asb", "1", MAIL, "false"),
    call("LinkUnitFiles", "asbb", "1", "/var/lib/concord/evil.service", "false", "true"),
    call("Reload"),
    call("Reexecute"),
    call("PowerOff"),
    call("Halt"),
    call("SetEnvironment", "as", "1", "LD_PRELOAD=/var/lib/concord/evil.so"),
    call("SetDefaultTarget", "sb", "rescue.target", "true"),
    call("ResetFailed"),
    call(
        "StartTransientUnit", "ssa(sv)a(sa(sv))", "evil.service", "replace", "1",
        "ExecStart", "a(sasb)", "1", "/bin/true", "1", "/bin/true", "false", "0",
    ),
    call("FreezeUnit", "s", "cron.service"),
    call("CleanUnit", "sas", MAIL, "1", "all"),
    Call("login1 PowerOff", f"{LOGIN} PowerOff b false"),
    Call("login1 Reboot", f"{LOGIN} Reboot b false"),
]  # fmt: skip


def ask(host: Host, words: str, user: str = "concord") -> str:
    """The error of a call; empty where it was done."""
    command = ["busctl", "--allow-interactive-authorization=no", "call", *words.split()]
    done = host.machine.run(command, user=user, check=False, timeout=30)
    return done.stderr.strip() or "refused" if done.returncode else ""


@pytest.mark.parametrize("wanted", ALLOWED, ids=lambda one: one.name)
def test_user_concord_moves_its_own_units(host: Host, wanted: Call) -> None:
    """M3."""
    error = ask(host, wanted.words)

    assert error == ""


@pytest.mark.parametrize("unwanted", REFUSED, ids=lambda one: one.name)
def test_user_concord_is_refused_anything_else(host: Host, unwanted: Call) -> None:
    """M3."""
    error = ask(host, unwanted.words)

    assert any(refusal in error for refusal in REFUSALS), error


def test_another_user_is_refused_even_concords_units(host: Host) -> None:
    """M3."""
    error = ask(host, f"{MANAGER} StopUnit ss {MAIL} replace", user="mail")

    assert any(refusal in error for refusal in REFUSALS), error


def test_host_is_unharmed(host: Host) -> None:
    """After all of these calls."""
    host.wait_until_up()

    assert host.machine.output("systemctl is-active cron dovecot redis-server dbus").split() == ["active"] * 4
    assert host.active([ADMIN, TARGET]) == [True, True]
