"""The daemons under supervisord: started, stopped and looked at over the XML-RPC of its unix socket."""

from __future__ import annotations

import xmlrpc.client
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from concord.adapters.supervisord_move import Move, known, programs
from concord.adapters.supervisord_process import log_tail, state_of
from concord.adapters.supervisord_programs import take_up, write_programs
from concord.adapters.supervisord_rpc import RPC_ERRORS, SECONDS, SOCKET, supervisord
from concord.errors import SupervisorDownError, SupervisorRefusedError
from concord.model.daemon import DaemonState, Verb, program_name
from concord.settings import ServiceSettings

PROGRAMS_FILE: Final = ServiceSettings().programs_file
_SHUTTING_DOWN: Final = 6  # supervisor.xmlrpc.Faults.SHUTDOWN_STATE


class SupervisordSupervisor:
    """`Supervisor` by a supervisord whose socket lies in the run directory. Each call has a connection of its own."""

    kind = "supervisord"

    def __init__(self, run_directory: Path, *, programs_file: Path = PROGRAMS_FILE, seconds: float = SECONDS) -> None:
        """A single answer may take so many seconds. Further workers are in `programs_file`."""
        self._path = run_directory / SOCKET
        self._programs_file = programs_file
        self._seconds = seconds

    def check(self) -> None:
        """Raises SupervisorDownError where supervisord does not answer, SupervisorRefusedError where not to us."""
        with self._server() as server:
            server.getState()

    def states(self, names: Sequence[str]) -> list[DaemonState]:
        with self._server() as server:
            infos = programs(server)
        return [state_of(name, infos.get(program_name(name))) for name in names]

    def start(self, names: Sequence[str], *, timeout: float) -> None:
        with self._server() as server:
            Move(server, Verb.START, names, timeout).start()

    def stop(self, names: Sequence[str], *, timeout: float) -> None:
        with self._server() as server:
            Move(server, Verb.STOP, names, timeout).stop()

    def restart(self, names: Sequence[str], *, timeout: float) -> None:
        with self._server() as server:
            move = Move(server, Verb.RESTART, names, timeout)
            move.stop()
            move.start()

    def log_tail(self, name: str, lines: int) -> list[str]:
        with self._server() as server:
            info = known(programs(server), name)
        return log_tail(info, lines)

    def adopt(self, instances: Sequence[str]) -> None:
        # Also where the file is right already: a supervisord that was away may not have read it.
        write_programs(instances, self._programs_file)
        take_up(self._path)

    @contextmanager
    def _server(self) -> Iterator[Any]:
        try:
            with supervisord(self._path, seconds=self._seconds) as server:
                yield server
        except PermissionError as error:
            raise SupervisorRefusedError("supervisord", file=self._path) from error
        except TimeoutError as error:
            raise self._down(f"no answer within {self._seconds:.0f} s") from error
        except OSError as error:
            raise self._down(error.strerror or str(error)) from error
        except RPC_ERRORS as error:
            raise self._down(str(error) or type(error).__name__) from error
        except xmlrpc.client.Fault as error:
            raise self._down(
                "it is shutting down" if error.faultCode == _SHUTTING_DOWN else error.faultString
            ) from error

    def _down(self, cause: str) -> SupervisorDownError:
        return SupervisorDownError("supervisord", file=self._path, cause=cause)
