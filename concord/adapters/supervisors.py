"""Which supervisor has Concord's daemons on this machine: the one that the settings name, or the one that is found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from concord.adapters.supervisord import SupervisordSupervisor
from concord.adapters.systemd import SystemdSupervisor, is_booted
from concord.errors import SupervisorDownError, SupervisorRefusedError
from concord.model.daemon import TARGET
from concord.ports import Supervisor
from concord.settings import ServiceSettings

# How systemd may have the target; loaded, systemd has the daemons.
_TARGETS: Final = {
    "loaded": "",
    "masked": "its units are masked, as concord-supervisor does",
    "not-found": f"it has no unit {TARGET}",
}


def find_supervisor(settings: ServiceSettings, members: Callable[[], Sequence[str]]) -> Supervisor:
    """The supervisor of this machine; `members` are the daemons of the target. Raises SupervisorDownError."""
    systemd = SystemdSupervisor(members)
    supervisord = SupervisordSupervisor(settings.run_directory, programs_file=settings.programs_file)
    if settings.supervisor != "auto":
        return systemd if settings.supervisor == "systemd" else supervisord
    if not (why_not_systemd := _why_not_systemd(systemd)):
        return systemd
    if not (why_not_supervisord := _why_not_supervisord(supervisord)):
        return supervisord
    raise SupervisorDownError("none", systemd=why_not_systemd, supervisord=why_not_supervisord)


def _why_not_systemd(systemd: SystemdSupervisor) -> str:
    if not is_booted():
        return "it does not run this machine"
    try:
        found = systemd.target()
    except SupervisorDownError as error:
        return f"{error}: {error.facts['cause']}"
    return _TARGETS.get(found, f"its unit {TARGET} is {found}")


def _why_not_supervisord(supervisord: SupervisordSupervisor) -> str:
    try:
        supervisord.check()
    except SupervisorRefusedError:
        return ""  # it is there; whatever is asked of it will say that this user may not
    except SupervisorDownError as error:
        return f"no answer on {error.facts['file']}: {error.facts['cause']}"
    return ""
