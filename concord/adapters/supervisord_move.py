"""Moving programs: all are asked, then all are watched. The waiting is ours: supervisord's own has no time limit."""

from __future__ import annotations

import time
import xmlrpc.client
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from concord.adapters.processes import group
from concord.adapters.supervisord_process import full_name, log_size, log_tail, reason_of
from concord.errors import DaemonFailedError, UnknownDaemonError
from concord.model.daemon import Verb, program_name

LOG_LINES: Final = 15
_PAUSE: Final = 0.1

# supervisor.xmlrpc.Faults
_NO_FILE: Final = 20
_NOT_EXECUTABLE: Final = 21
_SPAWN_ERROR: Final = 50
_ALREADY_STARTED: Final = 60
_NOT_RUNNING: Final = 70
_CANNOT_RUN: Final = (_NO_FILE, _NOT_EXECUTABLE)
# It is as asked, or its state will tell why not.
_HARMLESS: Final = (_SPAWN_ERROR, _ALREADY_STARTED, _NOT_RUNNING)

_LATE: Final = {Verb.START: "start_late", Verb.STOP: "stop_late", Verb.RESTART: "restart_late"}
_STOPPED: Final = ("STOPPED", "EXITED", "FATAL", "UNKNOWN")

Info = dict[str, Any]
"""What getProcessInfo tells of a program."""


def programs(server: Any) -> dict[str, Info]:
    """All of supervisord's programs by their names, whichever group they are in."""
    return {info["name"]: info for info in server.getAllProcessInfo()}


def known(infos: dict[str, Info], name: str) -> Info:
    """The program of a daemon. Raises UnknownDaemonError."""
    if program_name(name) not in infos:
        raise UnknownDaemonError("program", daemon=name, program=program_name(name))
    return infos[program_name(name)]


@dataclass(slots=True)
class _Daemon:
    """One that is under way."""

    name: str
    info: Info
    log_from: int  # octets that its log had before
    is_asked: bool = False

    def last_words(self) -> list[str]:
        return log_tail(self.info, LOG_LINES, after=self.log_from)


_Step = Callable[[_Daemon], str | None]
"""Asks what is to be asked. None: not there yet; empty: there; a text: why it will never be."""


class Move:
    """One request to supervisord, which must be over within so many seconds."""

    def __init__(self, server: Any, verb: Verb, names: Sequence[str], timeout: float) -> None:
        self._server = server
        self._verb = verb
        self._names = names
        self._timeout = timeout
        self._deadline = time.monotonic() + timeout

    def start(self) -> None:
        """Until all run. Raises DaemonFailedError, UnknownDaemonError."""
        self._carry_out(self._towards_running)

    def stop(self) -> None:
        """Until none has a process left. Raises as `start`."""
        infos = programs(self._server)
        leaders = [pid for name in self._names if (pid := known(infos, name)["pid"])]
        self._carry_out(self._towards_stopped)
        # A pool process may outlive its parent, for a moment or because the parent was killed.
        while left := [pid for leader in leaders for pid in group(leader)]:
            if time.monotonic() > self._deadline:
                raise self._late(self._names, f"processes are left: {', '.join(map(str, left))}")
            time.sleep(_PAUSE)

    def _carry_out(self, step: _Step) -> None:
        infos = programs(self._server)
        # Before anything moves, every name is known to be right.
        found = {name: known(infos, name) for name in self._names}
        waiting = [_Daemon(name=name, info=info, log_from=log_size(info)) for name, info in found.items()]
        fallen: list[tuple[_Daemon, str]] = []
        while waiting:
            outcomes = [(one, step(one)) for one in waiting]
            fallen += [(one, cause) for one, cause in outcomes if cause]
            waiting = [one for one, cause in outcomes if cause is None]
            if waiting:
                self._look_again(waiting)
        if fallen:
            raise self._failed(fallen)

    def _look_again(self, waiting: list[_Daemon]) -> None:
        if time.monotonic() > self._deadline:
            states = ", ".join(dict.fromkeys(one.info["statename"].lower() for one in waiting))
            raise self._late([one.name for one in waiting], f"supervisord says: {states}", waiting)
        time.sleep(_PAUSE)
        infos = programs(self._server)
        for one in waiting:
            one.info = known(infos, one.name)

    # Steps.

    def _towards_running(self, one: _Daemon) -> str | None:
        """One that crashes after it was asked has failed; one that had crashed before is asked anew."""
        if one.info["statename"] == "RUNNING":
            return ""
        if not one.is_asked:
            return self._ask_to_start(one)
        if one.info["statename"] == "STARTING":
            return None
        return reason_of(one.info) or "it ended as soon as it had started"

    def _ask_to_start(self, one: _Daemon) -> str | None:
        state = one.info["statename"]
        if state == "STOPPING":
            return None  # supervisord would take a start for done, as there is a process
        if state == "BACKOFF":
            # It waits for its next try, longer with each; a stop ends that at once.
            self._call("stopProcess", one)
        one.is_asked = True
        return None if state == "STARTING" else self._call("startProcess", one)

    def _towards_stopped(self, one: _Daemon) -> str | None:
        if not one.is_asked:
            one.is_asked = True
            return self._call("stopProcess", one)
        return "" if one.info["statename"] in _STOPPED else None

    def _call(self, method: str, one: _Daemon) -> str | None:
        try:
            # Not to wait, says False; XML-RPC has no names for arguments.
            getattr(self._server, method)(full_name(one.info), False)  # noqa: FBT003
        except xmlrpc.client.Fault as error:
            if error.faultCode in _CANNOT_RUN:
                return f"its command cannot be executed: {error.faultString}"
            if error.faultCode not in _HARMLESS:
                raise
        return None

    # Errors.

    def _failed(self, fallen: list[tuple[_Daemon, str]]) -> DaemonFailedError:
        several = len(fallen) > 1
        files = dict.fromkeys(one.info["stdout_logfile"] for one, _cause in fallen)
        return DaemonFailedError(
            "restart_failed" if self._verb is Verb.RESTART else "start_failed",
            log=_told(one for one, _cause in fallen),
            daemon=", ".join(one.name for one, _cause in fallen),
            cause="; ".join(f"{one.name}: {cause}" if several else cause for one, cause in fallen),
            log_files=" ".join(files),
        )

    def _late(self, names: Sequence[str], cause: str, waiting: Sequence[_Daemon] = ()) -> DaemonFailedError:
        return DaemonFailedError(
            _LATE[self._verb],
            log=_told(waiting),
            daemon=", ".join(names),
            after=f"{self._timeout:.0f} s",
            cause=cause,
        )


def _told(daemons: Iterable[_Daemon]) -> tuple[str, ...]:
    """What they wrote since, each line with its daemon's name where there are several."""
    told = {one.name: one.last_words() for one in daemons}
    return tuple(f"{name}: {line}" if len(told) > 1 else line for name, lines in told.items() for line in lines)
