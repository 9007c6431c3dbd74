"""The accounts' entries in RedBeat's store, made equal to the accounts in one round of pipelined commands."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

import redis
from celery import Celery
from redbeat.schedulers import ensure_conf
from redis.exceptions import LockError

from concord.adapters.redbeat_entry import POLL_PREFIX, AnchoredEntry
from concord.adapters.redis import translated
from concord.errors import QueueDownError
from concord.ports import ScheduledPoll, SyncStats

LOCK_SECONDS = 60


@dataclass(slots=True)
class _Changes:
    added: list[AnchoredEntry] = field(default_factory=list)
    updated: list[AnchoredEntry] = field(default_factory=list)
    misplaced: list[AnchoredEntry] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)


class RedBeatSchedule:
    """Keeps `ports.Schedule`. A disabled account has no entry at all: RedBeat re-reads disabled ones at every tick."""

    def __init__(self, app: Celery) -> None:
        conf = ensure_conf(app)
        self._app = app
        self._client: redis.Redis = app.redbeat_redis
        self._schedule_key: str = conf.schedule_key
        self._prefix = f"{conf.key_prefix}{POLL_PREFIX}"
        self._lock_key = f"{conf.key_prefix}sync"
        self.clock: Callable[[], float] = app.seconds

    def replace(self, polls: Sequence[ScheduledPoll]) -> SyncStats:
        """Make the schedule equal to these; two at once wait for each other, so that none counts the other's work."""
        wanted = {poll.account_id: poll for poll in polls}
        with translated(), self._alone():
            changes = self._compare([AnchoredEntry.for_poll(poll, self._app) for poll in wanted.values()])
            self._write(changes)
        return SyncStats(
            added=len(changes.added), removed=len(changes.removed), updated=len(changes.updated), total=len(wanted)
        )

    def _compare(self, entries: Sequence[AnchoredEntry]) -> _Changes:
        stored = self._stored()
        latest = self.clock()
        changes = _Changes()
        for entry in entries:
            found = stored.pop(entry.key, None)
            if found is None:
                changes.added.append(entry)
                continue
            score, definition, meta = found
            entry.last_run_at = entry.decode_meta(meta).get("last_run_at")
            if definition != entry.definition():
                changes.updated.append(entry)
            elif score > latest + entry.interval:
                changes.misplaced.append(entry)  # the clock was set back since
        changes.removed = list(stored)
        return changes

    def _stored(self) -> dict[str, tuple[float, str | None, str | None]]:
        placed = cast("list[tuple[str, float]]", self._client.zrange(self._schedule_key, 0, -1, withscores=True))
        ours = {key: float(score) for key, score in placed if key.startswith(self._prefix)}
        with self._client.pipeline(transaction=False) as pipe:
            for key in ours:
                pipe.hmget(key, "definition", "meta")
            facts = pipe.execute()
        return {key: (score, *both) for (key, score), both in zip(ours.items(), facts, strict=True)}

    def _write(self, changes: _Changes) -> None:
        now = self.clock()
        with self._client.pipeline(transaction=False) as pipe:
            for entry in (*changes.added, *changes.updated, *changes.misplaced):
                pipe.hset(entry.key, mapping={"definition": entry.definition(), "meta": entry.meta()})
                pipe.zadd(self._schedule_key, {entry.key: entry.due_timestamp(now)})
            if changes.removed:
                pipe.zrem(self._schedule_key, *changes.removed)
                pipe.delete(*changes.removed)
            pipe.execute()

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        lock = self._client.lock(self._lock_key, timeout=LOCK_SECONDS, sleep=0.05, blocking_timeout=LOCK_SECONDS)
        if not lock.acquire():
            raise QueueDownError("sync_stuck", waited=LOCK_SECONDS)
        try:
            yield
        finally:
            # Lapsed, or flushed away: there is nothing to give back.
            with contextlib.suppress(LockError):
                lock.release()
