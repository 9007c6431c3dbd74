"""The queue and the schedule in memory: they record what they are told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from concord.errors import QueueDownError
from concord.model.delivery import OutboxRef
from concord.model.message import MessageRef
from concord.ports import RedisMemory, ScheduledPoll, SyncStats


class MemoryQueue:
    """Records what was queued; `down = True` makes it raise as a stopped Redis does."""

    def __init__(self) -> None:
        self.polls: list[int] = []
        self.forced: list[int] = []  # which of the polls whatever the back-off says
        self.backfills: list[int] = []
        self.reconciliations: list[int] = []
        self.messages: list[MessageRef] = []
        self.deliveries: list[int] = []
        self.runs: list[int] = []
        self.down = False

    def poll(self, account_id: int, *, forced: bool = False) -> None:
        self._refuse_when_down()
        self.polls.append(account_id)
        if forced:
            self.forced.append(account_id)

    def backfill(self, account_id: int) -> None:
        self._refuse_when_down()
        self.backfills.append(account_id)

    def reconcile(self, account_id: int) -> None:
        self._refuse_when_down()
        self.reconciliations.append(account_id)

    def process(self, messages: Iterable[MessageRef]) -> None:
        self._refuse_when_down()
        self.messages.extend(messages)

    def deliver(self, deliveries: Iterable[OutboxRef]) -> None:
        self._refuse_when_down()
        self.deliveries.extend(ref.id for ref in deliveries)

    def advance(self, runs: Iterable[OutboxRef]) -> None:
        self._refuse_when_down()
        self.runs.extend(ref.id for ref in runs)

    def depth(self) -> dict[str, int]:
        self._refuse_when_down()
        return {
            "email-poll": len(self.polls) + len(self.backfills) + len(self.reconciliations),
            "email-deliver": len(self.deliveries) + len(self.runs),
            "email": len(self.messages),
        }

    def memory(self) -> RedisMemory:
        self._refuse_when_down()
        return RedisMemory(used=1_000_000, limit=0)

    def clear(self) -> None:
        """As if workers had taken everything, or FLUSHALL."""
        for waiting in (self.polls, self.backfills, self.reconciliations, self.messages, self.deliveries, self.runs):
            waiting.clear()

    def _refuse_when_down(self) -> None:
        if self.down:
            raise QueueDownError("no_answer")


class MemorySchedule:
    """The schedule as a dictionary of account id to interval."""

    def __init__(self) -> None:
        self.intervals: dict[int, int] = {}
        self.down = False

    def replace(self, polls: Sequence[ScheduledPoll]) -> SyncStats:
        if self.down:
            raise QueueDownError("no_answer")
        wanted = {poll.account_id: poll.interval for poll in polls}
        before, self.intervals = self.intervals, wanted
        kept = wanted.keys() & before.keys()
        return SyncStats(
            added=len(wanted.keys() - before.keys()),
            removed=len(before.keys() - wanted.keys()),
            updated=sum(wanted[account] != before[account] for account in kept),
            total=len(wanted),
        )
