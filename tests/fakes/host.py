"""One host's daemons in memory, and the manager over them, with a clock that goes on only while somebody waits."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from concord.errors import ConcordError
from concord.manager.control import Manager, ManagerPorts
from concord.manager.worker_files import WorkerFiles
from concord.model.audit import AuditEntry
from concord.model.caller import Caller
from concord.model.daemon import BEAT, instance_of
from concord.model.worker import WorkerLimits
from concord.ports import DELIVER_QUEUE, MAIL_QUEUE, POLL_QUEUE, Audit, SyncStats, WorkerPulse
from concord.settings import ServiceSettings, Settings
from tests.fakes.audit import MemoryAudit
from tests.fakes.pulse import MemoryPulse
from tests.fakes.queue import MemoryQueue
from tests.fakes.supervisor import MemorySupervisor

HOST = "here"
ALICE = Caller(actor="alice")
_QUEUES = {"poll": POLL_QUEUE, "mail": MAIL_QUEUE, "deliver": DELIVER_QUEUE}


class MemoryHost:
    """Daemons work as soon as they run, but for those in `idle`: these live, and do nothing."""

    def __init__(self, folder: Path, *, audit: Audit | None = None) -> None:
        self.time = datetime(2026, 11, 25, 12, tzinfo=UTC)
        self.settings = Settings(service=ServiceSettings(run_directory=folder))
        self.workers = WorkerFiles(folder / "workers", self.settings.worker)
        self.supervisor = MemorySupervisor(
            ["beat", "worker@poll", "worker@mail", "worker@deliver", "flower", "admin"], self.clock
        )
        self.supervisor.started = self._begins_to_work
        self.pulse = MemoryPulse()
        self.queue = MemoryQueue()
        self.audit = MemoryAudit()
        self.idle: set[str] = set()
        self.syncs = 0
        self.sync_fails: ConcordError | None = None
        self.while_waiting: Callable[[], None] = lambda: None
        ports = ManagerPorts(
            supervisor=lambda: self.supervisor,
            pulse=lambda: self.pulse,
            queue=lambda: self.queue,
            audit=lambda: audit or self.audit,
            workers=self.workers,
            sync=self._sync,
            clock=self.clock,
        )
        self.manager = Manager(ports, self.settings, host=HOST, pause=self.pause)

    def clock(self) -> datetime:
        return self.time

    def pause(self, seconds: float) -> None:
        """Time passes, and what runs shows it."""
        self.time += timedelta(seconds=seconds)
        self._tick()
        self.while_waiting()

    @property
    def written(self) -> AuditEntry:
        """The newest row of the audit."""
        return self.audit.entries()[0]

    def speak(
        self,
        instance: str,
        *,
        consumed_ago: float | None = 5,
        tasks: int = 0,
        host: str = HOST,
        limits: WorkerLimits | None = None,
    ) -> None:
        """A worker's pulse; None: no canary ever came back to it."""
        consumed = None if consumed_ago is None else self.time - timedelta(seconds=consumed_ago)
        pulse = WorkerPulse(
            instance=instance,
            node=f"{instance}@{host}",
            at=self.time,
            started_at=self.time - timedelta(hours=1),
            tasks=tasks,
            memory=84_000_000,
            consumed_at=consumed,
            limits=limits,
        )
        self.pulse.speak(pulse)

    def _begins_to_work(self, name: str) -> None:
        instance = instance_of(name)
        if instance in _QUEUES and name not in self.idle:
            self.pulse.consume(_QUEUES[instance], f"{instance}@{HOST}")
        self._tick()

    def _tick(self) -> None:
        if self.supervisor.daemons[BEAT].pid and BEAT not in self.idle:
            self.pulse.ticked_at = self.time

    def _sync(self) -> SyncStats:
        self.syncs += 1
        if self.sync_fails:
            raise self.sync_fails
        return SyncStats(added=1, removed=0, updated=0, total=1)


def write_worker(host: MemoryHost, name: str, text: str) -> Path:
    """A worker's file, as an operator puts it there."""
    path = host.workers.path(name)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
