"""Bringing events to handlers: each delivery is a row with its own retries, and ends `delivered` or `dead` (P8)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final
from uuid import uuid5

import structlog
from structlog.contextvars import bound_contextvars

from concord.errors import (
    ConcordError,
    HandlerDisabledError,
    HandlerMissingError,
    HandlerRefusedError,
)
from concord.model.delivery import Delivery, OutboxRef
from concord.model.rule import HandlerSpec
from concord.pipeline.documents import Documents
from concord.pipeline.foreign import Alone, LingersError
from concord.pipeline.retry import bug, next_try
from concord.pipeline.serving import Serving
from concord.ports import Clock, Consignment, Handler, Outbox, Rulebook
from concord.settings import DispatchSettings

log = structlog.get_logger(__name__)

# `log` needs no configuration, so it is always there.
BUILT_IN: Final = {"log": HandlerSpec(name="log", kind="log")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatcher:
    """Takes deliveries to their handlers. One failing handler stops no other, and a slow one has its share only."""

    outbox: Outbox
    documents: Documents
    rulebook: Rulebook
    serving: Serving
    handler: Callable[[HandlerSpec], Handler]
    settings: DispatchSettings
    clock: Clock

    def deliver(self, ids: Sequence[int]) -> int:
        """Deliver those of these that are due, and what else waits for their handlers; how many arrived."""
        if self.documents.is_away():
            return 0
        refs = self.outbox.waiting_deliveries(ids)
        return self.serving.deliveries.serve(self._served(refs, self._specs()), self._deliver)

    def _served(self, refs: Sequence[OutboxRef], specs: Mapping[str, HandlerSpec]) -> list[OutboxRef]:
        """Those whose handler may have them, and that this process does not have already. The others are held."""
        held: dict[str, list[int]] = {}
        served = []
        for ref in refs:
            if self.serving.hands.has(Delivery, ref.id):
                continue
            if reason := _held_because(ref.lane, specs):
                held.setdefault(ref.lane, []).append(ref.id)
            else:
                served.append(ref)
        for lane, waiting in held.items():
            reason = _held_because(lane, specs)
            if reason:
                count = self.outbox.hold(waiting, reason)
                log.info("delivery.held", handler=lane, count=count, reason=reason.code)
        return served

    def _specs(self) -> Mapping[str, HandlerSpec]:
        return BUILT_IN | {spec.name: spec for spec in self.rulebook.handlers()}

    def _deliver(self, refs: list[OutboxRef]) -> int:
        """One batch of one handler. Whatever way this is left, what was not settled is given back."""
        specs = self._specs()
        served = self._served(refs, specs)
        hands = self.serving.hands
        hands.record_remembered()
        claims = self.outbox.claim_deliveries([ref.id for ref in served], until=hands.until)
        hands.hold(claims)
        began, arrived = self.clock(), 0
        try:
            for delivery in claims:
                arrived += self._attempt(delivery, specs[delivery.handler])
                if self.serving.deliveries.is_over(began):
                    break
        finally:
            left = hands.give_back_unsettled(claims)
            self.serving.deliveries.lanes.add(ref for ref in served if ref.id in left)
        return arrived

    def _attempt(self, delivery: Delivery, spec: HandlerSpec) -> bool:
        """The border of one delivery: a handler may be foreign code, and whatever it raises is its own trouble."""
        with bound_contextvars(message=delivery.message_id, delivery=delivery.id, handler=delivery.handler):
            try:
                self._refuse_killer(delivery)
                handler, consignment = self.handler(spec), self._consignment(delivery)
                facts = self._call(delivery, lambda: handler.deliver(consignment))
            except LingersError as lingers:
                self._settle(delivery, lingers.error)
                raise
            except Exception as error:  # noqa: BLE001 - foreign code; the family of the error decides below
                self._settle(delivery, error)
                return False
            log.info("delivery.delivered", attempts=delivery.attempts)
            return bool(self.serving.hands.settle(delivery, lambda: self.outbox.delivered(delivery, facts)))

    def _call(self, delivery: Delivery, work: Callable[[], Mapping[str, object]]) -> Mapping[str, object]:
        enter = partial(self.outbox.enter_delivery, delivery)
        alone = Alone(enter=partial(enter, "handler"), leave=partial(enter, None))
        lanes = self.serving.deliveries.lanes
        at_end = partial(lanes.leave, delivery.handler)
        return self.serving.calls.run(work, at_end=at_end, alone=alone if delivery.suspect else None)

    def _refuse_killer(self, delivery: Delivery) -> None:
        """What is over the limit already has been the end of worker after worker, in its handler and alone."""
        if delivery.failures >= self.settings.max_attempts:
            raise HandlerRefusedError("delivery_kills")

    def _consignment(self, delivery: Delivery) -> Consignment:
        document = self.documents.read(delivery.event_id, delivery.message_id, delivery.archive_key)
        # The same at every try, so that a receiver can tell a repetition; a replay is meant to be taken anew.
        stable = uuid5(delivery.event_id, f"{delivery.handler}\n{delivery.run}")
        return Consignment(id=str(stable), event=json.loads(document), document=document, attempt=delivery.attempts)

    def _settle(self, delivery: Delivery, error: Exception) -> None:
        failures = delivery.failures + 1
        again = next_try(error, failures=failures, settings=self.settings, now=self.clock())
        hands = self.serving.hands
        if again is None:
            log.error("delivery.dead", error=error, failures=failures, exc_info=bug(error))
            hands.settle(delivery, lambda: self.outbox.delivery_dead(delivery, error))
            return
        log.warning("delivery.postponed", error=error, due_at=again.due_at.isoformat(), exc_info=bug(error))
        if again.counts:
            hands.settle(delivery, lambda: self.outbox.delivery_retry(delivery, error, due_at=again.due_at))
        else:
            hands.give_back([delivery], due_at=again.due_at, error=error)


def serving_handlers(rulebook: Rulebook) -> set[str]:
    """The handlers that take deliveries now."""
    specs = BUILT_IN | {spec.name: spec for spec in rulebook.handlers()}
    return {spec.name for spec in specs.values() if spec.enabled}


def _held_because(handler: str, specs: Mapping[str, HandlerSpec]) -> ConcordError | None:
    """Why deliveries to this handler have to wait; None where they have not."""
    spec = specs.get(handler)
    if spec is None:
        return HandlerMissingError(handler=handler)
    return None if spec.enabled else HandlerDisabledError(handler=handler)
