"""Events, deliveries and workflow runs. Each method is one transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Engine, Select, and_, func, or_, select, update

from concord.adapters.sql import deliveries, runs
from concord.adapters.sql.engine import reading, transaction
from concord.adapters.sql.event_rows import delivery_of, delivery_query, event_of, run_query
from concord.adapters.sql.lists import narrow
from concord.adapters.sql.outbox_tables import DELIVERIES_WAITING, events, workflow_runs
from concord.adapters.sql.outbox_tables import deliveries as delivery_table
from concord.adapters.sql.paging import Order
from concord.adapters.sql.unanswered import claiming_transaction
from concord.adapters.sql.work import LONGEST, Claiming, Spans
from concord.errors import NotFoundError
from concord.model.delivery import Delivery, DeliveryState, OutboxRef
from concord.model.event import EventRow
from concord.model.worker import FindWorker, holder, no_worker
from concord.model.workflow import RunState, WorkflowRun
from concord.ports import Clock, Queued

DELIVERIES: Final = Order(table=delivery_table, at=delivery_table.c.created_at, id=delivery_table.c.id)
RUNS: Final = Order(table=workflow_runs, at=workflow_runs.c.created_at, id=workflow_runs.c.id)


class SqlOutbox:
    """The outbox in the database."""

    def __init__(self, engine: Engine, clock: Clock, *, worker: FindWorker = no_worker, spans: Spans = LONGEST) -> None:
        self._engine = engine
        self._clock = clock
        self._worker = worker
        self._spans = spans

    # Events.

    def event(self, event_id: UUID) -> EventRow:
        """By id."""
        found = self._events(select(events).where(events.c.id == event_id))
        if not found:
            raise _no_event(event_id)
        return found[0]

    def event_of(self, message_id: int) -> EventRow | None:
        """What became of a message, if it came so far."""
        return next(iter(self._events(select(events).where(events.c.message_id == message_id))), None)

    def events(
        self,
        *,
        account: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        before: tuple[datetime, UUID] | None = None,
        limit: int = 50,
    ) -> list[EventRow]:
        """Newest first; `since` and `until` speak of when the event was made."""
        wanted = narrow(
            select(events),
            (events.c.account.__eq__, account),
            (events.c.created_at.__ge__, since),
            (events.c.created_at.__lt__, until),
        )
        if before is not None:
            wanted = wanted.where(_older(*before))
        return self._events(wanted.order_by(events.c.created_at.desc(), events.c.id.desc()).limit(limit))

    def _events(self, wanted: Select[Any]) -> list[EventRow]:
        with reading(self._engine) as connection:
            return [event_of(row) for row in connection.execute(wanted)]

    # Deliveries.

    def keep_document(self, event_id: UUID, archive_key: str) -> None:
        """Where the event's document lies."""
        with transaction(self._engine) as connection:
            here = update(events).where(events.c.id == event_id)
            connection.execute(here.values(archive_key=archive_key))

    def claim_deliveries(self, ids: Sequence[int], *, until: datetime) -> list[Delivery]:
        """Take those that are due."""
        if not ids:
            return []
        claiming = self._claiming(until)
        with claiming_transaction(self._engine, deliveries.DELIVERIES, ids, claiming) as connection:
            return deliveries.claim(connection, ids, claiming)

    def enter_delivery(self, delivery: Delivery, stage: str | None) -> bool:
        """Write down where the worker is with a delivery that travels alone."""
        with transaction(self._engine) as connection:
            return deliveries.enter(connection, delivery, stage)

    def waiting_deliveries(self, ids: Sequence[int]) -> list[OutboxRef]:
        """Those of these that are due, and held for no handler."""
        if not ids:
            return []
        with reading(self._engine) as connection:
            return deliveries.waiting(connection, ids, now=self._clock(), spans=self._spans)

    def waiting_runs(self, ids: Sequence[int]) -> list[OutboxRef]:
        """Those of these that are due."""
        if not ids:
            return []
        with reading(self._engine) as connection:
            return runs.waiting(connection, ids, now=self._clock(), spans=self._spans)

    def give_back(
        self, claims: Sequence[Delivery | WorkflowRun], *, due_at: datetime, error: Exception | None = None
    ) -> None:
        """Let claims go uncounted."""
        ours = [one for one in claims if isinstance(one, Delivery)]
        others = [one for one in claims if isinstance(one, WorkflowRun)]
        with transaction(self._engine) as connection:
            if ours:
                deliveries.give_back(connection, ours, due_at, error)
            if others:
                runs.give_back(connection, others, due_at, error)

    def renew(self, claims: Sequence[Delivery | WorkflowRun], *, until: datetime) -> None:
        """Hold claims longer."""
        with transaction(self._engine) as connection:
            for work, kind in ((deliveries.DELIVERIES, Delivery), (runs.RUNS, WorkflowRun)):
                if ours := [(one.id, one.attempts) for one in claims if isinstance(one, kind)]:
                    work.renew(connection, ours, until)

    def hold(self, ids: Sequence[int], error: Exception) -> int:
        """Let those of these that wait go on waiting, for their handler."""
        if not ids:
            return 0
        with transaction(self._engine) as connection:
            return deliveries.hold(connection, ids, error, self._clock())

    def held_for(self) -> set[str]:
        """The handlers that deliveries are held for."""
        with reading(self._engine) as connection:
            return deliveries.held_for(connection)

    def unhold(self, handlers: Iterable[str], *, limit: int) -> list[OutboxRef]:
        """So many of the deliveries that are held for these handlers go on."""
        with transaction(self._engine) as connection:
            return deliveries.unhold(connection, handlers, self._clock(), limit=limit)

    def waiting_for(self, handler: str) -> int:
        """How many deliveries wait for it, held or not."""
        wanted = select(func.count()).select_from(delivery_table)
        with reading(self._engine) as connection:
            return connection.execute(
                wanted.where(delivery_table.c.handler == handler, DELIVERIES_WAITING)
            ).scalar_one()

    def delivered(self, delivery: Delivery, detail: Mapping[str, object]) -> bool:
        """It arrived; False where the claim lapsed."""
        with transaction(self._engine) as connection:
            return deliveries.delivered(connection, delivery, detail, self._clock())

    def delivery_retry(self, delivery: Delivery, error: Exception, *, due_at: datetime, counts: bool = True) -> None:
        """Again when due."""
        with transaction(self._engine) as connection:
            deliveries.retry(connection, delivery, error, (due_at, counts), self._clock())

    def delivery_dead(self, delivery: Delivery, error: Exception) -> None:
        """Never again, unless a person says so."""
        with transaction(self._engine) as connection:
            deliveries.dead(connection, delivery, error, self._clock())

    def deliveries(
        self,
        *,
        state: DeliveryState | None = None,
        handler: str | None = None,
        event_id: UUID | None = None,
        before_id: int | None = None,
        limit: int = 50,
    ) -> list[Delivery]:
        """Newest first."""
        wanted = narrow(
            delivery_query(),
            (delivery_table.c.state.__eq__, state and state.value),
            (delivery_table.c.handler.__eq__, handler),
            (delivery_table.c.event_id.__eq__, event_id),
            (DELIVERIES.below, before_id),
        )
        with reading(self._engine) as connection:
            rows = connection.execute(wanted.order_by(*DELIVERIES.newest_first).limit(limit))
            return [delivery_of(row) for row in rows]

    def delivery(self, delivery_id: int) -> Delivery:
        """By id."""
        with reading(self._engine) as connection:
            row = connection.execute(delivery_query().where(delivery_table.c.id == delivery_id)).one_or_none()
        if row is None:
            raise NotFoundError("delivery", delivery_id=delivery_id)
        return delivery_of(row)

    def retry_deliveries(self, ids: Sequence[int]) -> list[int]:
        """Dead or waiting ones are due now."""
        with transaction(self._engine) as connection:
            return deliveries.revive(connection, ids, self._clock())

    def replay(self, event_id: UUID, handlers: Sequence[str], *, archive_key: str) -> list[int]:
        """A new round of deliveries of an event."""
        with transaction(self._engine) as connection:
            made = deliveries.replay(connection, event_id, handlers, archive_key=archive_key, now=self._clock())
        if made is None:
            raise _no_event(event_id)
        return made

    # Workflow runs.

    def claim_run(self, run_id: int, *, until: datetime) -> WorkflowRun | None:
        """Take it where it stands."""
        claiming = self._claiming(until)
        with claiming_transaction(self._engine, runs.RUNS, [run_id], claiming) as connection:
            return runs.claim(connection, run_id, claiming)

    def enter_run(self, run: WorkflowRun, stage: str | None) -> bool:
        """Write down where the worker is with a run whose claim lapsed before."""
        with transaction(self._engine) as connection:
            return runs.enter(connection, run, stage)

    def step_done(self, run: WorkflowRun, output: Mapping[str, object]) -> WorkflowRun | None:
        """Keep the step's output and stand at the next, still claimed."""
        with transaction(self._engine) as connection:
            return runs.step_done(connection, run, output, self._clock())

    def step_retry(self, run: WorkflowRun, error: Exception, *, due_at: datetime, counts: bool = True) -> None:
        """The same step again when due."""
        with transaction(self._engine) as connection:
            runs.step_retry(connection, run, error, (due_at, counts), self._clock())

    def run_failed(self, run: WorkflowRun, error: Exception) -> None:
        """The run ends here."""
        with transaction(self._engine) as connection:
            runs.failed(connection, run, error, self._clock())

    def runs(
        self,
        *,
        state: RunState | None = None,
        workflow: str | None = None,
        event_id: UUID | None = None,
        before_id: int | None = None,
        limit: int = 50,
    ) -> list[WorkflowRun]:
        """Newest first."""
        wanted = narrow(
            run_query(),
            (workflow_runs.c.state.__eq__, state and state.value),
            (workflow_runs.c.workflow.__eq__, workflow),
            (workflow_runs.c.event_id.__eq__, event_id),
            (RUNS.below, before_id),
        )
        with reading(self._engine) as connection:
            return runs.load(connection, wanted.order_by(*RUNS.newest_first).limit(limit))

    def run(self, run_id: int) -> WorkflowRun:
        """By id."""
        with reading(self._engine) as connection:
            found = runs.get(connection, run_id)
        if found is None:
            raise NotFoundError("workflow_run", run_id=run_id)
        return found

    def retry_runs(self, ids: Sequence[int]) -> list[int]:
        """Failed ones go on where they failed."""
        with transaction(self._engine) as connection:
            return runs.revive(connection, ids, self._clock())

    # The sweep.

    def stale(self, *, queued_before: datetime, limit: int) -> Queued:
        """Due and not queued since; now they are."""
        with transaction(self._engine) as connection:
            waiting = [
                work.forgotten(
                    connection, now=self._clock(), queued_before=queued_before, limit=limit, spans=self._spans
                )
                for work in (deliveries.DELIVERIES, runs.RUNS)
            ]
            due, standing = deliveries.refs_of(connection, waiting[0]), runs.refs_of(connection, waiting[1])
        return Queued(deliveries=tuple(due), runs=tuple(standing))

    def _claiming(self, until: datetime) -> Claiming:
        return Claiming(now=self._clock(), until=until, holder=holder(self._worker), spans=self._spans)


def _older(created_at: datetime, event_id: UUID) -> ColumnElement[bool]:
    same_moment = and_(events.c.created_at == created_at, events.c.id < event_id)
    return or_(events.c.created_at < created_at, same_moment)


def _no_event(event_id: UUID) -> NotFoundError:
    return NotFoundError("event", event_id=event_id)
