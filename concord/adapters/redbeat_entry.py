"""A RedBeat entry whose due times lie on a grid. Stored as RedBeat stores its own, so RedBeat's tools read it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from celery import Celery
from redbeat import RedBeatSchedulerEntry
from redbeat.decoder import RedBeatJSONEncoder

from concord.adapters.grid import next_due, offset_of
from concord.adapters.queued_once import Ticket
from concord.adapters.task_names import LEVEL, POLL_EMAIL_ACCOUNT, POLL_QUEUE
from concord.ports import ScheduledPoll

POLL_PREFIX = "poll:"


class AnchoredEntry(RedBeatSchedulerEntry):  # type: ignore[misc]  # redbeat ships no types
    """Due at fixed points of its interval, whenever it really ran."""

    last_run_at: datetime | None

    @classmethod
    def for_poll(cls, poll: ScheduledPoll, app: Celery) -> Self:
        """The entry that polls one account, as if it never ran."""
        entry = cls(
            name=f"{POLL_PREFIX}{poll.account_id}",
            task=POLL_EMAIL_ACCOUNT,
            schedule=float(poll.interval),
            args=[poll.account_id],
            kwargs={},
            # No expiry: two hosts' clocks would have to agree on it. One poll of an account waits, however late it is.
            options={"queue": POLL_QUEUE, "priority": LEVEL},
            app=app,
        )
        entry.last_run_at = None  # the parent's constructor would make "never" into "now"
        return entry

    @classmethod
    def stored(cls, definition: str, meta: str | None, app: Celery) -> Self:
        """The entry as it lies in Redis."""
        facts = cls.decode_definition(definition)
        last = cls.decode_meta(meta).get("last_run_at")
        entry = cls(app=app, **facts)
        entry.last_run_at = last
        return entry

    @property
    def ticket(self) -> Ticket | None:
        """What marks its message in the queue; None where several of its kind may wait."""
        where = {"queue": self.options.get("queue", ""), "step": self.options.get("priority", LEVEL)}
        return Ticket.of(self.task, self.args or (), **where)

    @property
    def interval(self) -> float:
        """Seconds between two runs."""
        return float(self.schedule.run_every.total_seconds())

    def due_timestamp(self, now: float) -> float:
        """When it is due, in epoch seconds."""
        last = self.last_run_at.timestamp() if self.last_run_at else None
        return next_due(now, last, self.interval, offset_of(self.name))

    @property
    def due_at(self) -> datetime:
        return datetime.fromtimestamp(self.due_timestamp(time.time()), UTC)

    @property
    def score(self) -> float:
        """RedBeat cuts this to whole seconds, which would let one grid point fire twice."""
        return self.due_timestamp(time.time())

    def is_due(self) -> tuple[bool, float]:
        """Whether it is due, and the seconds until it is."""
        now = time.time()
        wait = self.due_timestamp(now) - now
        return wait <= 0, max(wait, 0.0)

    def ran(self, now: float) -> None:
        """Note a run. Everything missed before it is covered by it."""
        # A datetime drops fractions of a microsecond; earlier than the point it ran at, it would run there again.
        self.last_run_at = datetime.fromtimestamp(now, UTC) + timedelta(microseconds=1)
        self.total_run_count += 1

    def definition(self) -> str:
        """What it does, as RedBeat writes it."""
        facts: Mapping[str, Any] = {
            "name": self.name,
            "task": self.task,
            "args": self.args,
            "kwargs": self.kwargs,
            "options": self.options,
            "schedule": self.schedule,
            "enabled": self.enabled,
        }
        return json.dumps(facts, cls=RedBeatJSONEncoder)

    def meta(self) -> str:
        """When it last ran, as RedBeat writes it."""
        facts = {"last_run_at": self.last_run_at, "total_run_count": self.total_run_count}
        return json.dumps(facts, cls=RedBeatJSONEncoder)
