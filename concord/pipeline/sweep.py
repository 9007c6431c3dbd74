"""The sweep: what stands still in the ledger or the outbox is queued again; without Redis, mail is only late (P5)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from concord.pipeline.dispatch import serving_handlers
from concord.ports import DELIVER_QUEUE, MAIL_QUEUE, Clock, Ledger, Outbox, Queue, Rulebook
from concord.settings import UpkeepSettings

log = structlog.get_logger(__name__)

MOST: Final = 2000
# Where nothing waits in Redis, what was queued longer ago than this was lost; or a worker has it and has not begun,
# and is told twice, which is harmless.
SETTLED: Final = timedelta(seconds=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What was queued again."""

    messages: int
    deliveries: int
    runs: int


NOTHING: Final = Swept(messages=0, deliveries=0, runs=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweeper:
    """Finds lost and lapsed work. Queueing what is already queued is harmless: the claim decides."""

    ledger: Ledger
    outbox: Outbox
    rulebook: Rulebook
    queue: Queue
    settings: UpkeepSettings
    version: str
    clock: Clock

    def sweep(self) -> Swept:
        """Queue again what stands still; what another version gave up gets one more chance."""
        waiting = self.queue.depth()
        upgraded = self.ledger.retry_upgraded(self.version)
        stale = self.ledger.stale(queued_before=self._before(waiting[MAIL_QUEUE]), limit=MOST)
        self._unhold()
        outbox = self.outbox.stale(queued_before=self._before(waiting[DELIVER_QUEUE]), limit=MOST)
        self.queue.process([*upgraded, *stale])
        self.queue.deliver(outbox.deliveries)
        self.queue.advance(outbox.runs)
        swept = Swept(messages=len(upgraded) + len(stale), deliveries=len(outbox.deliveries), runs=len(outbox.runs))
        if swept != NOTHING:
            log.info("sweep.queued", messages=swept.messages, deliveries=swept.deliveries, runs=swept.runs)
        return swept

    def _unhold(self) -> None:
        """What was held goes on where its handler is there and enabled again, whatever way that came about."""
        held = self.outbox.held_for()
        if ready := held & serving_handlers(self.rulebook):
            going = self.outbox.unhold(ready, limit=MOST)
            self.queue.deliver(going)
            log.info("delivery.unheld", handlers=sorted(ready), count=len(going))

    def _before(self, waiting: int) -> datetime:
        """What was queued before then is lost. A busy queue may simply be long; an empty one has forgotten."""
        patience = timedelta(seconds=self.settings.requeue_after) if waiting else SETTLED
        return self.clock() - min(patience, timedelta(seconds=self.settings.requeue_after))
