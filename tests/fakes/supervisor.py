"""A service manager in memory: daemons that are up as soon as they are told, or fail as a test wants."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime

from concord.errors import DaemonFailedError, SupervisorDownError, SupervisorRefusedError, UnknownDaemonError
from concord.model.daemon import Activity, DaemonState, instance_of, unit_name, worker


class MemorySupervisor:
    """Keeps the promises of `ports.Supervisor`.

    `down` and `refuses` make calls raise as a manager that is away, or one that says no. A daemon in `failing` does not
    come up: its value is what it wrote last. One in `never_ready` stays at starting. `started` is called with each
    daemon that comes up.
    """

    kind = "memory"

    def __init__(self, names: Iterable[str], clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._clock = clock
        self._pids = 4000
        self.daemons = {name: DaemonState(name=name, unit=unit_name(name), activity=Activity.STOPPED) for name in names}
        self.calls: list[tuple[str, tuple[str, ...]]] = []
        self.timeouts: list[float] = []
        self.logs: dict[str, list[str]] = {}
        self.failing: dict[str, tuple[str, ...]] = {}
        self.never_ready: set[str] = set()
        self.started: Callable[[str], None] = lambda _name: None
        self.down = False
        self.refuses = False

    def know(self, name: str) -> None:
        """As if its unit had been installed."""
        self.daemons[name] = DaemonState(name=name, unit=unit_name(name), activity=Activity.STOPPED)

    def states(self, names: Sequence[str]) -> list[DaemonState]:
        self._answer()
        absent = {
            name: DaemonState(name=name, unit=unit_name(name), activity=Activity.ABSENT)
            for name in names
            if name not in self.daemons
        }
        return [absent.get(name) or self.daemons[name] for name in names]

    def start(self, names: Sequence[str], *, timeout: float) -> None:
        self._move("start", names, timeout)
        self._bring_all_up([name for name in names if self.daemons[name].activity is not Activity.RUNNING], timeout)

    def stop(self, names: Sequence[str], *, timeout: float) -> None:
        self._move("stop", names, timeout)
        for name in names:
            self._set(name, activity=Activity.STOPPED, since=self._clock(), pid=None, memory=None)

    def restart(self, names: Sequence[str], *, timeout: float) -> None:
        self._move("restart", names, timeout)
        self._bring_all_up(names, timeout)

    def log_tail(self, name: str, lines: int) -> list[str]:
        self._answer()
        self._refuse_unknown([name])
        return self.logs.get(name, [])[-lines:]

    def adopt(self, instances: Sequence[str]) -> None:
        self._move("adopt", (), 0)
        wanted = {worker(instance) for instance in instances}
        for name in wanted - self.daemons.keys():
            self.know(name)
        for name in [name for name in self.daemons if instance_of(name) and name not in wanted]:
            del self.daemons[name]

    def _bring_all_up(self, names: Sequence[str], timeout: float) -> None:
        """One that fails keeps no other from coming up."""
        for name in names:
            self._bring_up(name)
        if fallen := [name for name in names if name in self.failing]:
            raise DaemonFailedError("start_failed", daemon=", ".join(fallen), log=self.failing[fallen[0]])
        if waiting := [name for name in names if name in self.never_ready]:
            raise DaemonFailedError("start_late", daemon=", ".join(waiting), after=f"{timeout:.0f} s")

    def _bring_up(self, name: str) -> None:
        if name in self.failing:
            self._set(name, activity=Activity.FAILED, since=self._clock(), pid=None, memory=None, detail="exit-code")
            return
        self._pids += 1
        activity = Activity.STARTING if name in self.never_ready else Activity.RUNNING
        self._set(
            name, activity=activity, since=self._clock(), pid=self._pids, memory=84_000_000, detail=activity.value
        )
        if activity is Activity.RUNNING:
            self.started(name)

    def _set(self, name: str, **changes: object) -> None:
        self.daemons[name] = replace(self.daemons[name], **changes)  # type: ignore[arg-type]  # one of its fields each

    def _move(self, verb: str, names: Sequence[str], timeout: float) -> None:
        self._answer()
        self.calls.append((verb, tuple(names)))
        self.timeouts.append(timeout)
        if self.refuses:
            raise SupervisorRefusedError("systemd", verb=verb, daemon=", ".join(names))
        self._refuse_unknown(names)

    def _refuse_unknown(self, names: Sequence[str]) -> None:
        for name in names:
            if name not in self.daemons:
                raise UnknownDaemonError("unit", daemon=name)

    def _answer(self) -> None:
        if self.down:
            raise SupervisorDownError("none")
