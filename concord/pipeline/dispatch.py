"""Bringing events to handlers: each delivery is a row with its own retries, and ends `delivered` or `dead` (P8)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from uuid import uuid5

import structlog
from structlog.contextvars import bound_contextvars

from concord.errors import HandlerError, HandlerRefusedError
from concord.model.delivery import Delivery
from concord.model.rule import HandlerSpec
from concord.pipeline.retry import bug, next_try
from concord.ports import Archive, Clock, Consignment, Handler, Outbox, Queue, Rulebook
from concord.settings import DispatchSettings

log = structlog.get_logger(__name__)

# Handlers have time-outs of their own, well below this.
CLAIM: Final = timedelta(minutes=5)
# How long one task may go on beginning deliveries. Well below a claim, even if the last one runs into its time-out.
TURN: Final = timedelta(minutes=1)
# `log` needs no configuration, so it is always there.
BUILT_IN: Final = {"log": HandlerSpec(name="log", kind="log")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatcher:
    """Takes deliveries to their handlers. One failing handler stops no other."""

    outbox: Outbox
    archive: Archive
    rulebook: Rulebook
    queue: Queue
    handler: Callable[[HandlerSpec], Handler]
    settings: DispatchSettings
    clock: Clock

    def deliver(self, ids: Sequence[int]) -> int:
        """Deliver those of these that are due; how many arrived."""
        deliveries = self.outbox.claim_deliveries(ids, until=self.clock() + CLAIM)
        if not deliveries:
            return 0
        specs = BUILT_IN | {spec.name: spec for spec in self.rulebook.handlers()}
        enough = self.clock() + TURN
        arrived = 0
        for done, delivery in enumerate(deliveries):
            if self.clock() >= enough:
                self._leave(deliveries[done:])
                break
            arrived += self._attempt(delivery, specs.get(delivery.handler))
        return arrived

    def _leave(self, deliveries: Sequence[Delivery]) -> None:
        """Give back what there was no time for: slow receivers must not hold a thread until the claim lapses."""
        for delivery in deliveries:
            error = HandlerError("Slow receivers took this turn's time", remedy="Nothing to do: it has the next turn")
            self.outbox.delivery_retry(delivery, error, due_at=self.clock(), counts=False)
        self.queue.deliver([delivery.id for delivery in deliveries])

    def _attempt(self, delivery: Delivery, spec: HandlerSpec | None) -> bool:
        """The border of one delivery: a handler may be foreign code, and whatever it raises is its own trouble."""
        with bound_contextvars(message=delivery.message_id, delivery=delivery.id, handler=delivery.handler):
            try:
                self._refuse_killer(delivery)
                handler, consignment = self._handler(delivery, spec), self._consignment(delivery)
                if delivery.suspect:
                    self.outbox.enter_delivery(delivery, "handler")
                facts = handler.deliver(consignment)
            except Exception as error:  # noqa: BLE001 - foreign code; the family of the error decides below
                self._settle(delivery, error)
                return False
            log.info("delivery.delivered", attempts=delivery.attempts)
            return self.outbox.delivered(delivery, facts)

    def _refuse_killer(self, delivery: Delivery) -> None:
        """What is over the limit already has been the end of worker after worker, in its handler and alone."""
        if delivery.failures >= self.settings.max_attempts:
            raise HandlerRefusedError(
                "The worker died each time it made this delivery",
                remedy="See the workers' log for what killed them, then 'concord delivery retry ID'",
            )

    def _handler(self, delivery: Delivery, spec: HandlerSpec | None) -> Handler:
        if spec is None:
            raise HandlerRefusedError(
                "No handler of that name is configured",
                handler=delivery.handler,
                remedy="Add it ('concord apply'), then 'concord delivery retry ID'",
            )
        if not spec.enabled:
            raise HandlerRefusedError(
                "The handler is switched off",
                handler=spec.name,
                remedy="Switch it on, then 'concord delivery retry ID'",
            )
        return self.handler(spec)

    def _consignment(self, delivery: Delivery) -> Consignment:
        document = self.archive.read(delivery.archive_key)
        # The same at every try, so that a receiver can tell a repetition; a replay is meant to be taken anew.
        stable = uuid5(delivery.event_id, f"{delivery.handler}\n{delivery.run}")
        return Consignment(id=str(stable), event=json.loads(document), document=document, attempt=delivery.attempts)

    def _settle(self, delivery: Delivery, error: Exception) -> None:
        failures = delivery.failures + 1
        again = next_try(error, failures=failures, settings=self.settings, now=self.clock())
        if again is None:
            log.error("delivery.dead", error=error, failures=failures, exc_info=bug(error))
            self.outbox.delivery_dead(delivery, error)
            return
        log.warning("delivery.postponed", error=error, due_at=again.due_at.isoformat(), exc_info=bug(error))
        self.outbox.delivery_retry(delivery, error, due_at=again.due_at, counts=again.counts)
