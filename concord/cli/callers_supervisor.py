"""The service manager, asked with the caller's own rights: it knows root by the user that a socket's other end has."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from concord.cli.files import as_caller
from concord.model.daemon import DaemonState
from concord.ports import Supervisor


class CallersSupervisor:
    """Keeps `ports.Supervisor` through another, where `identity` has put on the rights of the user concord."""

    def __init__(self, make: Callable[[], Supervisor]) -> None:
        with as_caller():
            self._other = make()

    @property
    def kind(self) -> str:
        with as_caller():
            return self._other.kind

    def states(self, names: Sequence[str]) -> list[DaemonState]:
        with as_caller():
            return self._other.states(names)

    def start(self, names: Sequence[str], *, timeout: float) -> None:
        with as_caller():
            self._other.start(names, timeout=timeout)

    def stop(self, names: Sequence[str], *, timeout: float) -> None:
        with as_caller():
            self._other.stop(names, timeout=timeout)

    def restart(self, names: Sequence[str], *, timeout: float) -> None:
        with as_caller():
            self._other.restart(names, timeout=timeout)

    def log_tail(self, name: str, lines: int) -> list[str]:
        with as_caller():
            return self._other.log_tail(name, lines)

    def adopt(self, instances: Sequence[str]) -> None:
        with as_caller():
            self._other.adopt(instances)
