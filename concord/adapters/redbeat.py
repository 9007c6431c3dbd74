"""The scheduler that Beat runs: RedBeat's storage, with anchored entries, a lease taken anew at every tick, and repair.

A tick does what it can and returns; nothing here waits for Redis. So Beat stays alive through any outage, and one that
finds the lease or the schedule gone (FLUSHALL, a failover that lost both) begins anew at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, cast
from uuid import uuid4

import redis
import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from redbeat import RedBeatScheduler
from redis.exceptions import RedisError

from concord.adapters import notify
from concord.adapters.queued_once import QueuedOnce
from concord.adapters.redbeat_entry import AnchoredEntry
from concord.adapters.redbeat_schedule import RedBeatSchedule
from concord.adapters.task_names import SYNC_EMAIL_TASKS

__all__ = ["ConcordScheduler", "RedBeatSchedule"]

log = structlog.get_logger(__name__)

BATCH = 200
SHORTEST_WAIT = 0.1  # gathers entries that lie closer together than anyone could tell
RESEND_WAIT = 1.0
AWAY, HELD, BEGIN = 0, 1, 2
_STATUS = {
    "beat.standby": "standby: another Beat leads",
    "beat.redis_down": "Redis is down",
    "beat.send_failed": "leading, but Redis takes no tasks",
    "beat.lease_lost": "another Beat took over",
}

# Take or keep the lease. BEGIN: it is newly ours, or the schedule is gone.
HOLD = """
local holder = redis.call('get', KEYS[1])
if holder and holder ~= ARGV[1] then return 0 end
redis.call('set', KEYS[1], ARGV[1], 'PX', ARGV[2])
if holder and redis.call('exists', KEYS[2]) == 1 then return 1 end
return 2
"""
# Move entries to their next due time, if the lease is still ours; an entry that a sync removed stays removed.
CLAIM = """
if redis.call('get', KEYS[1]) ~= ARGV[1] then return 0 end
for at = 2, #ARGV, 3 do
  if redis.call('zscore', KEYS[2], ARGV[at]) then
    redis.call('zadd', KEYS[2], ARGV[at + 1], ARGV[at])
    redis.call('hset', ARGV[at], 'meta', ARGV[at + 2])
  end
end
return 1
"""
RELEASE = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) end return 0"


class LeaseLostError(Exception):
    """Another scheduler took over between two steps of a tick."""


class ConcordScheduler(RedBeatScheduler):  # type: ignore[misc]  # redbeat ships no types
    """Fires each entry once for each point of its grid, from one process of the cluster."""

    Entry = AnchoredEntry

    def __init__(self, app: Celery, **kwargs: Any) -> None:
        super().__init__(app, **kwargs)
        conf = app.redbeat_conf
        self._lease_key: str = conf.lock_key
        # RedBeat's own lock waits in beat_init for as long as another leads or Redis is down.
        self.lock_key = None
        self._schedule_key: str = conf.schedule_key
        self._statics_key: str = conf.statics_key
        self._tick_key = f"{conf.key_prefix}tick"
        self._sent_key = f"{conf.key_prefix}sent"
        self._client: redis.Redis = app.redbeat_redis
        self._once: QueuedOnce = app.queued_once
        self._token = uuid4().hex
        self._owed: dict[str, AnchoredEntry] = {}
        self._trouble: str | None = None
        self._last_tick = 0.0
        self._incomplete = False
        self.clock: Callable[[], float] = app.seconds
        self._trouble_since = 0.0
        self._scheduled = 0
        self._pinger = notify.Pinger()
        notify.ready("up; looking for the lease")

    def setup_schedule(self) -> None:
        """Nothing yet: the first tick does it, when Redis answers and the lease is ours."""

    def tick(self, *_: Any, **__: Any) -> float:
        """Fire what is due. The seconds until there is something to do."""
        wait = float(self.max_interval)
        try:
            wait = self._tick(self.clock())
        except LeaseLostError:
            self._tell("beat.lease_lost")
        except (RedisError, OSError) as error:
            self._tell("beat.redis_down", cause=str(error), remedy="Check that Redis runs; Beat resumes automatically")
        # Ticking is the proof, leading or not: a tick ends within Redis' time-outs, and one that sends much pings on.
        self._pinger.ping(self._status(wait))
        return wait

    def close(self) -> None:
        """Give the lease back, so that the next Beat need not wait for it to lapse."""
        notify.stopping()
        try:
            self._client.eval(RELEASE, 1, self._lease_key, self._token)
        except (RedisError, OSError) as error:
            log.warning("beat.lease_kept", cause=str(error))
        super().close()

    def _tick(self, now: float) -> float:
        held = self._hold()
        if held == AWAY:
            self._owed.clear()
            self._tell("beat.standby")
            return float(self.max_interval)
        # A clock set back leaves every due time in the future.
        if held == BEGIN or self._incomplete or now < self._last_tick - self.max_interval:
            self._begin(now)
            self._incomplete = False
        self._last_tick = now
        self._send_owed()
        self._fire_due(now)
        wait = self._wait(now)
        if self._owed:
            return RESEND_WAIT
        self._tell(None)
        return wait

    def _hold(self) -> int:
        return int(
            self._client.eval(
                HOLD, 2, self._lease_key, self._schedule_key, self._token, str(int(self.lock_timeout * 1000))
            )
        )

    def _begin(self, now: float) -> None:
        """Install the static entries, drop those of an earlier version, and ask for a sync of the others."""
        entries = [self.Entry(name=name, app=self.app, **facts) for name, facts in self.app.conf.beat_schedule.items()]
        gone = self._client.smembers(self._statics_key) - {entry.name for entry in entries}
        with self._client.pipeline() as pipe:
            for name in gone:
                key = self.Entry.generate_key(self.app, name)
                pipe.zrem(self._schedule_key, key)
                pipe.delete(key)
                pipe.srem(self._statics_key, name)
            for entry in entries:
                self._recall(entry)
                pipe.hset(entry.key, mapping={"definition": entry.definition(), "meta": entry.meta()})
                pipe.zadd(self._schedule_key, {entry.key: entry.due_timestamp(now)})
                pipe.sadd(self._statics_key, entry.name)
            pipe.execute()
        self._owe([entry for entry in entries if entry.task == SYNC_EMAIL_TASKS])
        log.info("beat.leading", entries=self._client.zcard(self._schedule_key))

    def _recall(self, entry: AnchoredEntry) -> None:
        meta = self.Entry.decode_meta(self._client.hget(entry.key, "meta"))
        entry.last_run_at = meta.get("last_run_at")
        entry.total_run_count = meta.get("total_run_count") or 0

    def _fire_due(self, now: float) -> None:
        while keys := self._due(now):
            entries = self._load(keys)
            for entry in entries:
                entry.ran(now)
            self._claim(entries, now)
            self._owe(entries)
            self._send_owed()
            if self._owed or self._hold() != HELD:
                return

    def _due(self, now: float) -> list[str]:
        found = self._client.zrange(self._schedule_key, "-inf", now, byscore=True, offset=0, num=BATCH)
        return cast("list[str]", found)

    def _load(self, keys: Sequence[str]) -> list[AnchoredEntry]:
        with self._client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.hmget(key, "definition", "meta")
            stored = dict(zip(keys, pipe.execute(), strict=True))
        lost = [key for key, (definition, _) in stored.items() if not definition]
        if lost:
            # Half a flush: begin anew at the next tick, which puts back what should be there.
            log.warning("beat.entries_lost", keys=lost[:5], count=len(lost))
            self._client.zrem(self._schedule_key, *lost)
            self._incomplete = True
        return [self.Entry.stored(definition, meta, self.app) for definition, meta in stored.values() if definition]

    def _claim(self, entries: Sequence[AnchoredEntry], now: float) -> None:
        """Before sending, not after: a Beat that dies in between loses a poll, which the next one makes good."""
        moves: list[str] = []
        for entry in entries:
            moves += [entry.key, repr(entry.due_timestamp(now)), entry.meta()]
        if not self._client.eval(CLAIM, 2, self._lease_key, self._schedule_key, self._token, *moves):
            raise LeaseLostError

    def _owe(self, entries: Sequence[AnchoredEntry]) -> None:
        """Note what is to be sent, the longest due first, but for what waits in its queue already."""
        tickets = {entry.name: entry.ticket for entry in entries}
        fresh = self._once.mark(filter(None, tickets.values()))
        for entry in entries:
            ticket = tickets[entry.name]
            if ticket is None or ticket in fresh:
                self._owed[entry.name] = entry

    def _send_owed(self) -> None:
        for name, entry in list(self._owed.items()):
            try:
                self.app.send_task(entry.task, entry.args, entry.kwargs, retry=False, **entry.options)
            except (OperationalError, RedisError, OSError) as error:
                self._tell("beat.send_failed", cause=str(error), owed=len(self._owed))
                return
            del self._owed[name]
            self._pinger.ping(f"leading: {len(self._owed)} tasks to send")
            log.debug("beat.sent", entry=name, task=entry.task)

    def _wait(self, now: float) -> float:
        with self._client.pipeline(transaction=False) as pipe:
            pipe.set(self._tick_key, repr(now))
            if not self._owed:
                pipe.set(self._sent_key, repr(now))
            pipe.zrange(self._schedule_key, 0, 0, withscores=True)
            pipe.zcard(self._schedule_key)
            *_, first, self._scheduled = pipe.execute()
        due = float(first[0][1]) - self.clock() if first else self.max_interval
        return float(min(max(due, SHORTEST_WAIT), self.max_interval))

    def _status(self, wait: float) -> str:
        if self._trouble is None:
            return f"leading: {self._scheduled:,} entries, next due in {wait:.0f} s"
        since = datetime.fromtimestamp(self._trouble_since, UTC)
        return f"{_STATUS[self._trouble]}, since {since:%Y-%m-%d %H:%M:%S} UTC"

    def _tell(self, event: str | None, **facts: object) -> None:
        """Log a change of fortune once, not at every tick."""
        if event == self._trouble:
            return
        if event is None:
            log.info("beat.resumed", after=self._trouble)
        elif event == "beat.standby":
            log.info(event, lease=self._lease_key)
        else:
            log.warning(event, **facts)
        self._trouble = event
        self._trouble_since = self.clock()
