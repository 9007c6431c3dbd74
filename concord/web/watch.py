"""How the daemons do, for all who look on: one look at a time, and not more often than every second or so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fastapi import Request
from starlette.concurrency import run_in_threadpool

from concord.bootstrap import Concord
from concord.manager.status import DaemonRow, Status, Verdict
from concord.model.daemon import ADMIN, BEAT, FLOWER, Activity, instance_of
from concord.model.worker import BUILT_IN, WorkerType
from concord.ports import DELIVER_QUEUE, POLL_QUEUE
from concord.web.i18n import N_
from concord.web.visitor import concord_of

_FRESH_SECONDS: Final = 1.0

VERDICTS: Final[Mapping[Verdict, str]] = {
    Verdict.WORKING: N_("All daemons work."),
    Verdict.DEGRADED: N_("Not all of the mail service works."),
    Verdict.STOPPED: N_("The mail service is stopped. Mail stays in the mailboxes until it is started."),
    Verdict.UNKNOWN: N_("How the daemons do could not be asked."),
}
_TITLES: Final[Mapping[str, str]] = {
    BEAT: N_("Scheduler"),
    FLOWER: N_("Task monitor"),
    ADMIN: N_("Admin site"),
    WorkerType.POLL.value: N_("Worker: polls mailboxes"),
    WorkerType.MAIL.value: N_("Worker: processes mail"),
    WorkerType.DELIVER.value: N_("Worker: brings events to handlers"),
}
_TYPES: Final = {POLL_QUEUE: WorkerType.POLL, DELIVER_QUEUE: WorkerType.DELIVER}
_MOVING: Final = (Activity.STARTING, Activity.STOPPING)
_UP: Final = (Activity.RUNNING, *_MOVING)


class Watch:
    """Looks when somebody asks."""

    def __init__(self, concord: Concord) -> None:
        self._concord = concord
        self._last: tuple[float, Status] | None = None
        self._looking = asyncio.Lock()

    async def look(self, *, anew: bool = False) -> Status:
        """The present state, at most a second old; `anew`: whoever did something just now wants to see it."""
        async with self._looking:
            if anew or self._last is None or time.monotonic() - self._last[0] > _FRESH_SECONDS:
                status = await run_in_threadpool(self._concord.manager.status)
                self._last = (time.monotonic(), status)
            return self._last[1]


def watch_of(request: Request) -> Watch:
    """The one of this process."""
    state = request.app.state
    if not hasattr(state, "watch"):
        state.watch = Watch(concord_of(request))
    watch: Watch = state.watch
    return watch


async def look_anew(request: Request) -> Status:
    """For a page or an answer of the API: never what was so before the last action."""
    return await watch_of(request).look(anew=True)


@dataclass(frozen=True, slots=True)
class Shown:
    """A daemon as a page shows it."""

    row: DaemonRow

    @property
    def id(self) -> str:
        """For HTML, where '@' means something to some."""
        return self.row.name.replace("@", "-")

    @property
    def title(self) -> str:
        """What it does, to be translated."""
        if instance_of(self.row.name) is None:
            return _TITLES[self.row.name]
        return _TITLES[_TYPES.get(self.row.queue or "", WorkerType.MAIL)]

    @property
    def instance(self) -> str | None:
        """Of a worker."""
        return instance_of(self.row.name)

    @property
    def is_built_in(self) -> bool:
        """Whether it can be changed, but not taken away."""
        return self.instance in BUILT_IN

    @property
    def can_start(self) -> bool:
        """Whether to offer it: what runs already is not asked to."""
        return self.row.name != ADMIN and self.row.activity not in _UP

    @property
    def can_stop(self) -> bool:
        """Whoever stops the admin service from here could not start it again."""
        return self.row.name != ADMIN and self.row.activity in (*_UP, None)

    @property
    def can_restart(self) -> bool:
        """What is stopped is started instead."""
        return self.row.activity in (*_UP, None)

    @property
    def is_silent(self) -> bool:
        """It runs, and proves no work."""
        return self.row.activity is Activity.RUNNING and self.row.works is False


def shown(status: Status) -> list[Shown]:
    """All of this host."""
    return [Shown(row) for row in status.daemons]


def of_set(status: Status, *activities: Activity) -> list[str]:
    """The names of those daemons of the set that are in one of these states."""
    return [row.name for row in status.daemons if row.name != ADMIN and row.activity in activities]
