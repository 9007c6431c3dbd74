"""The sweep: what stands still in the ledger or the outbox is queued again; without Redis, mail is only late (P5)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import structlog

from concord.ports import Clock, Ledger, Outbox, Queue
from concord.settings import UpkeepSettings

log = structlog.get_logger(__name__)

MOST: Final = 2000
# Where nothing at all waits in Redis, what was queued longer ago than this is not under way: it was lost.
SETTLED: Final = timedelta(seconds=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What was queued again."""

    messages: int
    deliveries: int
    runs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweeper:
    """Finds lost and lapsed work. Queueing what is already queued is harmless: the claim decides."""

    ledger: Ledger
    outbox: Outbox
    queue: Queue
    settings: UpkeepSettings
    version: str
    clock: Clock

    def sweep(self) -> Swept:
        """Queue again what stands still; what another version gave up gets one more chance."""
        queued_before = self.clock() - self._patience()
        messages = self.ledger.retry_upgraded(self.version) + self.ledger.stale(queued_before=queued_before, limit=MOST)
        outbox = self.outbox.stale(queued_before=queued_before, limit=MOST)
        self.queue.process(messages)
        self.queue.deliver(outbox.deliveries)
        self.queue.advance(outbox.runs)
        swept = Swept(messages=len(messages), deliveries=len(outbox.deliveries), runs=len(outbox.runs))
        if swept != Swept(messages=0, deliveries=0, runs=0):
            log.info("sweep.queued", messages=swept.messages, deliveries=swept.deliveries, runs=swept.runs)
        return swept

    def _patience(self) -> timedelta:
        """A busy queue may simply be long; an empty one has forgotten what is not in it."""
        if sum(self.queue.depth().values()) == 0:
            return SETTLED
        return timedelta(seconds=self.settings.requeue_after)
