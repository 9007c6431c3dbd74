"""At most one message of a task waits in its queue: the sender marks it in Redis, the worker that begins it unmarks it.

So messages need no expiry, which one host's clock makes and another's judges, and Redis does not grow while no worker
takes them. A mark is a hint: losing all of them queues a task twice, and every task may run twice. A mark whose message
was lost is void once the queue is empty or a message that was queued after it has begun. Redis' own clock measures all
of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

import redis
import structlog
from celery import signals
from redis.exceptions import RedisError

from concord.adapters.redis import connect, impatient
from concord.adapters.task_names import (
    BACKFILL_EMAIL_ACCOUNT,
    POLL_EMAIL_ACCOUNT,
    RECONCILE,
    RECONCILE_ACCOUNT,
    RECORD_NUMBERS,
    RENEW_TOKENS,
    SWEEP,
    SYNC_EMAIL_TASKS,
    step_key,
)
from concord.settings import Settings

log = structlog.get_logger(__name__)

# Running one of these twice in a row is of no use.
SINGLE: Final = frozenset(
    (
        POLL_EMAIL_ACCOUNT,
        BACKFILL_EMAIL_ACCOUNT,
        RECONCILE_ACCOUNT,
        RECONCILE,
        RECORD_NUMBERS,
        RENEW_TOKENS,
        SWEEP,
        SYNC_EMAIL_TASKS,
    )
)
# A message may wait in a worker's hands before it begins, so that one queued after it begins first.
HANDS_SECONDS: Final = 60
# No mark outlives this, whatever happened: those of removed accounts go too.
LONGEST_SECONDS: Final = 86_400

# KEYS: marks, the newest mark that began, the queue's list. ARGV: patience, longest, members. The members to send.
MARK = """
local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local patience, longest = tonumber(ARGV[1]), tonumber(ARGV[2])
local begun = tonumber(redis.call('GET', KEYS[2]) or '0')
if begun > now then begun = 0 end
local empty = redis.call('LLEN', KEYS[3]) == 0
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - longest)
local fresh = {}
for at = 3, #ARGV do
  local mark = redis.call('ZSCORE', KEYS[1], ARGV[at])
  local since = tonumber(mark or '0')
  local lost = since > now or (since + patience < now and (empty or since + patience < begun))
  if lost or not mark then
    redis.call('ZADD', KEYS[1], string.format('%.6f', now), ARGV[at])
    fresh[#fresh + 1] = ARGV[at]
  end
end
return fresh
"""
# KEYS: marks, the newest mark that began. ARGV: longest, member. A full Redis refuses SET, not ZREM.
BEGIN = """
local since = redis.call('ZSCORE', KEYS[1], ARGV[2])
if not since then return 0 end
redis.call('ZREM', KEYS[1], ARGV[2])
if tonumber(since) > tonumber(redis.call('GET', KEYS[2]) or '0') then
  redis.pcall('SET', KEYS[2], since, 'EX', ARGV[1])
end
return 1
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """One message: the list that it waits in, and what it would do."""

    queue: str
    step: int
    task: str
    argument: str

    @classmethod
    def of(cls, task: str, args: Sequence[object], *, queue: str, step: int) -> Ticket | None:
        """The message's ticket; None where several of the kind may wait."""
        if task not in SINGLE:
            return None
        return cls(queue=queue, step=step, task=task, argument=str(args[0]) if args else "")

    @property
    def member(self) -> str:
        """What it is called in Redis."""
        return f"{self.task}:{self.argument}"


class QueuedOnce:
    """The marks of all queues. Raises redis-py's errors."""

    def __init__(self, client: redis.Redis, settings: Settings) -> None:
        self._client = client
        self._prefix = settings.redis.key_prefix
        self._patience = settings.poll.budget + HANDS_SECONDS

    def mark(self, tickets: Iterable[Ticket]) -> set[Ticket]:
        """Mark these as queued; those that were not, and that the caller must send now."""
        waiting: dict[tuple[str, int], dict[str, Ticket]] = {}
        for ticket in tickets:
            waiting.setdefault((ticket.queue, ticket.step), {})[ticket.member] = ticket
        fresh: set[Ticket] = set()
        for (queue, step), by_member in waiting.items():
            keys = [*self._keys(queue, step), self._prefix + step_key(queue, step)]
            answer = self._client.eval(MARK, len(keys), *keys, str(self._patience), str(LONGEST_SECONDS), *by_member)
            fresh.update(by_member[member] for member in cast("list[str]", answer))
        return fresh

    def begin(self, ticket: Ticket) -> None:
        """It is in a worker's hands, or could not be sent: another may be queued."""
        keys = self._keys(ticket.queue, ticket.step)
        self._client.eval(BEGIN, len(keys), *keys, str(LONGEST_SECONDS), ticket.member)

    def _keys(self, queue: str, step: int) -> tuple[str, str]:
        return f"{self._prefix}once:{queue}:{step}", f"{self._prefix}begun:{queue}:{step}"


def connect_queued_once(settings: Settings) -> None:
    """Have every worker of this process unmark what it begins."""
    made: list[QueuedOnce] = []

    def unmark(task: Any, args: Sequence[object], **_: object) -> None:
        place = task.request.delivery_info or {}
        queue, step = place.get("routing_key"), place.get("priority")
        ticket = Ticket.of(task.name, args, queue=queue, step=step) if queue and isinstance(step, int) else None
        if ticket is None:
            return
        if not made:
            made.append(QueuedOnce(connect(impatient(settings.redis)), settings))
        try:
            made[0].begin(ticket)
        except (RedisError, OSError) as error:
            log.warning("queue.mark_kept", task=task.name, cause=str(error), remedy="Nothing to do: the mark lapses")

    uid = "concord.queued_once"
    signals.task_prerun.disconnect(dispatch_uid=uid)
    signals.task_prerun.connect(unmark, weak=False, dispatch_uid=uid)
