"""Long actions of the admin service: each runs in a thread of its own, whoever looks on, and says what it does.

They are of this process and outlive nothing: what one did is in the audit, and how the daemons do now can be asked.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

import structlog

from concord.auditing import DONE, FAILED
from concord.errors import ConcordError, ConflictError, NotFoundError
from concord.model.audit import AuditEntry
from concord.model.caller import Caller
from concord.model.progress import Told
from concord.ports import Audit, Clock

log = structlog.get_logger(__name__)

_MOST: Final = 100
_KEPT: Final = timedelta(days=1)
_LINES: Final = 200


class JobState(StrEnum):
    """How it stands."""

    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Line:
    """What a job said once: a sentence of the catalogue, and its values."""

    at: datetime
    sentence: str
    values: dict[str, object]


@dataclass(slots=True, kw_only=True)
class Job:
    """One action. `error` is None for a failure that is no error of Concord's: the log has it."""

    id: str
    action: str  # service.start, as in the audit
    subject: str  # all, worker@mail; empty where there is none
    by: Caller
    started_at: datetime
    ended_at: datetime | None = None
    state: JobState = JobState.RUNNING
    lines: list[Line] = field(default_factory=list)
    result: object = None
    error: ConcordError | None = None


Work = Callable[[Told], object]


class Jobs:
    """Those of one process: the newest hundred, for a day. Any thread may ask."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._jobs: dict[str, Job] = {}
        self._news = threading.Condition()

    def start(self, action: str, subject: str, work: Work, *, by: Caller) -> Job:
        """Begin. `work` returns the result or raises. Raises ConflictError while such a one runs already."""
        group = action.partition(".")[0]
        with self._news:
            for job in self._jobs.values():
                if job.state is JobState.RUNNING and job.action.partition(".")[0] == group:
                    raise _busy(job)
            self._forget()
            made = Job(id=secrets.token_urlsafe(9), action=action, subject=subject, by=by, started_at=self._clock())
            self._jobs[made.id] = made
        threading.Thread(target=self._run, args=(made, work), name=f"job {action}", daemon=True).start()
        return made

    def get(self, name: str) -> Job:
        """Raises NotFoundError."""
        found = self._jobs.get(name)
        if found is None:
            raise NotFoundError("action")
        return found

    def recent(self) -> list[Job]:
        """The newest first."""
        with self._news:
            return list(self._jobs.values())[::-1]

    def running(self) -> list[Job]:
        """Those under way."""
        return [job for job in self.recent() if job.state is JobState.RUNNING]

    def wait(self, job: Job, *, timeout: float) -> bool:
        """Until it has ended, so many seconds at most; whether it has."""
        with self._news:
            return self._news.wait_for(lambda: job.state is not JobState.RUNNING, timeout)

    def abandon(self, audit: Audit) -> None:
        """The process ends: what is under way is written down, since nobody will see its end."""
        for job in self.running():
            # Who stops or restarts the admin service itself sees it go.
            went = job.subject == "admin"
            entry = AuditEntry(
                at=self._clock(),
                actor=job.by.actor,
                via=job.by.via,
                address=job.by.address,
                action=job.action,
                subject=job.subject,
                outcome=DONE if went else FAILED,
                detail="the admin service ends" if went else "the admin service ended before this did",
            )
            try:
                audit.add(entry)
            except ConcordError as error:
                log.warning("audit.unwritten", error=error, actor=entry.actor, action=entry.action)

    def _run(self, job: Job, work: Work) -> None:
        def told(sentence: str, /, **values: object) -> None:
            self._say(job, sentence, values)

        try:
            job.result = work(told)
        except ConcordError as error:
            job.error, state = error, JobState.FAILED
        except Exception:
            # The thread's edge: nobody else would see it.
            log.exception("job.failed", action=job.action, subject=job.subject)
            state = JobState.FAILED
        else:
            state = JobState.DONE
        with self._news:
            job.ended_at, job.state = self._clock(), state
            self._news.notify_all()

    def _say(self, job: Job, sentence: str, values: dict[str, object]) -> None:
        """Once, however often it is said in a row; the first lines go where there are too many."""
        with self._news:
            last = job.lines[-1] if job.lines else None
            if last and (last.sentence, last.values) == (sentence, values):
                return
            job.lines.append(Line(self._clock(), sentence, values))
            del job.lines[:-_LINES]
            self._news.notify_all()

    def _forget(self) -> None:
        ended = [job for job in self._jobs.values() if job.ended_at]
        old = [job for job in ended if job.ended_at and self._clock() - job.ended_at > _KEPT]
        too_many = ended[: max(0, len(self._jobs) + 1 - _MOST)]
        for job in {one.id for one in (*old, *too_many)}:
            self._jobs.pop(job, None)


def _busy(job: Job) -> ConflictError:
    return ConflictError(
        "action_running",
        what=f"{job.action} {job.subject}".rstrip(),
        by=job.by.actor,
        since=f"{job.started_at:%H:%M:%S} UTC",
        job=job.id,
    )
