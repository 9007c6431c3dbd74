"""Events, deliveries and workflow runs, between values and rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, Select, select

from concord.adapters.sql.outbox_tables import deliveries, events, workflow_runs
from concord.model.delivery import Delivery, DeliveryState
from concord.model.event import EventRow
from concord.model.rule import WorkflowStepSpec
from concord.model.workflow import RunState, StepRun, WorkflowRun

_Row = Row[*tuple[Any, ...]]


def accounts_of(connection: Connection, rows: Sequence[Any]) -> dict[UUID, str]:
    """The account's name by event id, for rows of deliveries or runs."""
    if not rows:
        return {}
    named = select(events.c.id, events.c.account).where(events.c.id.in_({row.event_id for row in rows}))
    return {row.id: row.account for row in connection.execute(named)}


def event_of(row: _Row) -> EventRow:
    """The event a row says."""
    return EventRow(
        id=row.id,
        message_id=row.message_id,
        account=row.account,
        type=row.type,
        time=row.time,
        subject=row.subject,
        sender=row.sender,
        archive_key=row.archive_key,
        created_at=row.created_at,
    )


def delivery_query() -> Select[Any]:
    """Deliveries with where their event's document lies."""
    return select(deliveries, events.c.archive_key).join(events, deliveries.c.event_id == events.c.id)


def delivery_of(row: _Row) -> Delivery:
    """The delivery a row of `delivery_query` says."""
    return Delivery(
        id=row.id,
        event_id=row.event_id,
        message_id=row.message_id,
        handler=row.handler,
        run=row.run,
        state=DeliveryState(row.state),
        attempts=row.attempts,
        failures=row.failures,
        due_at=row.due_at,
        leased_until=row.leased_until,
        error=row.error,
        error_code=row.error_code,
        held=row.held,
        created_at=row.created_at,
        delivered_at=row.delivered_at,
        archive_key=row.archive_key,
        priority=row.priority,
        suspect=row.suspect,
    )


def run_query() -> Select[Any]:
    """Workflow runs with where their event's document lies."""
    return select(workflow_runs, events.c.archive_key).join(events, workflow_runs.c.event_id == events.c.id)


def run_of(row: _Row, steps: Sequence[_Row]) -> WorkflowRun:
    """The run that a row of `run_query` and its steps' rows say."""
    return WorkflowRun(
        id=row.id,
        event_id=row.event_id,
        message_id=row.message_id,
        workflow=row.workflow,
        state=RunState(row.state),
        position=row.position,
        attempts=row.attempts,
        failures=row.failures,
        due_at=row.due_at,
        leased_until=row.leased_until,
        error=row.error,
        specs=tuple(WorkflowStepSpec(name=step.name, kind=step.kind, options=step.options) for step in steps),
        steps=tuple(_step_of(step) for step in steps),
        archive_key=row.archive_key,
        created_at=row.created_at,
        finished_at=row.finished_at,
        suspect=row.suspect,
        priority=row.priority,
    )


def _step_of(row: _Row) -> StepRun:
    return StepRun(
        position=row.position,
        name=row.name,
        kind=row.kind,
        state=RunState(row.state),
        attempts=row.attempts,
        output=row.output,
        error=row.error,
        finished_at=row.finished_at,
    )
