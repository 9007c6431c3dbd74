"""Which supervisor has Concord's daemons on this machine: the one that the settings name, or the one that is found."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from concord.adapters.supervisord import SupervisordSupervisor
from concord.adapters.systemd import SystemdSupervisor, is_booted
from concord.errors import ConcordError, SupervisorDownError, SupervisorRefusedError
from concord.ports import Supervisor
from concord.settings import ServiceSettings


def find_supervisor(settings: ServiceSettings, members: Callable[[], Sequence[str]]) -> Supervisor:
    """The supervisor of this machine; `members` are the daemons of the target. Raises SupervisorDownError."""
    systemd = SystemdSupervisor(members)
    supervisord = SupervisordSupervisor(settings.run_directory)
    if settings.supervisor != "auto":
        return systemd if settings.supervisor == "systemd" else supervisord
    if not (why_not_systemd := _why_not_systemd(systemd)):
        return systemd
    why_not_supervisord = _why_not(supervisord.check)
    # One that answers and refuses is there all the same: what is asked of it will say so.
    if why_not_supervisord is None or isinstance(why_not_supervisord, SupervisorRefusedError):
        return supervisord
    raise SupervisorDownError(
        "Neither systemd nor supervisord has Concord's daemons",
        systemd=why_not_systemd,
        supervisord=f"{why_not_supervisord.message}: {why_not_supervisord.fields.get('cause', '')}",
        remedy="Install the package, or start supervisord; in a checkout: make run",
    )


def _why_not_systemd(systemd: SystemdSupervisor) -> str:
    if not is_booted():
        return "it does not run this machine"
    found = ""

    def ask() -> None:
        nonlocal found
        found = systemd.target()

    if error := _why_not(ask):
        return f"{error.message}: {error.fields.get('cause', '')}"
    return {"loaded": "", "masked": "its units are masked, as concord-supervisor does"}.get(
        found, f"it has no unit concord-celery.target ({found})"
    )


def _why_not(question: Callable[[], None]) -> ConcordError | None:
    try:
        question()
    except ConcordError as error:
        return error
    return None
