"""The `concord` command in this process: over a Concord in memory, or over whatever the environment says."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from typer.testing import CliRunner

from concord import log
from concord.bootstrap import Concord
from concord.cli.root import app
from concord.cli.session import Session
from concord.settings import Settings, load
from tests.fakes.archive import MemoryArchive
from tests.fakes.database import memory_database
from tests.fakes.discovery import MemoryDiscoverer
from tests.fakes.handlers import SentTasks, make_tools, public
from tests.fakes.mailbox import MemoryMailboxes
from tests.fakes.pulse import MemoryPulse
from tests.fakes.queue import MemoryQueue, MemorySchedule
from tests.fakes.supervisor import MemorySupervisor
from tests.fakes.vault import NullVault


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a command said, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class _KeptSession(Session):
    """Leaves the parts as they are: the database in memory lives on for the next command."""

    def close(self) -> None:
        pass


class Command:
    """Runs command lines."""

    def __init__(self, make: Callable[[], Concord] | None = None) -> None:
        self._make = make  # None: each command reads the environment's settings, as a new process does

    def __call__(self, *arguments: str, stdin: str | bytes = "") -> Answer:
        session = _KeptSession(make=self._make) if self._make else Session(make=lambda: Concord(load()))
        root = logging.getLogger()
        level, handlers = root.level, list(root.handlers)
        try:
            done = CliRunner().invoke(app, list(arguments), input=stdin, obj=session, prog_name="concord")
        finally:
            # What logs from here on must not write to the command's closed streams.
            log.configure("pretty", "warning")
            root.level, root.handlers[:] = level, handlers
        return Answer(code=done.exit_code, out=done.stdout, err=done.stderr)


class MemoryConcord(Concord):
    """A Concord whose adapters are the twins in memory; all else is the real thing."""

    def __init__(self, settings: Settings | None = None) -> None:
        super().__init__(settings or Settings())
        self.memory_archive = MemoryArchive()
        self.memory_queue = MemoryQueue()
        self.memory_schedule = MemorySchedule()
        self.mailboxes = MemoryMailboxes()
        self.sent_tasks = SentTasks()
        self.memory_discoverer = MemoryDiscoverer()
        self.memory_supervisor = MemorySupervisor(
            ["beat", "worker@poll", "worker@mail", "worker@deliver", "flower", "admin"]
        )
        self.memory_pulse = MemoryPulse()
        vars(self).update(
            engine=memory_database(),
            vault=NullVault(),
            archive=self.memory_archive,
            queue=self.memory_queue,
            schedule=self.memory_schedule,
            sources=self.mailboxes,
            supervisor=self.memory_supervisor,
            pulse=self.memory_pulse,
            discoverer=self.memory_discoverer,
            tools=make_tools(send_task=self.sent_tasks, resolve=public),
        )
