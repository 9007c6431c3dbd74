"""All that follows from processed messages, written with them: the outbox. A crash leaves all of it or none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, insert, select, update

from concord.adapters.sql.message_rows import moment, peek_values
from concord.adapters.sql.outbox_tables import deliveries, events, workflow_runs, workflow_steps
from concord.adapters.sql.tables import messages
from concord.adapters.sql.trail import add_steps
from concord.adapters.sql.upsert import insert_for
from concord.adapters.sql.work import UNCLAIMED
from concord.model.delivery import DeliveryState, OutboxRef
from concord.model.fault import Fault
from concord.model.message import MessageState
from concord.model.rule import WorkflowSpec
from concord.model.workflow import RunState
from concord.ports import Processed, Queued


@dataclass(frozen=True, slots=True, kw_only=True)
class Finishing:
    """One transaction's worth of results."""

    connection: Connection
    now: datetime

    def finish(self, results: Sequence[Processed]) -> Queued:
        """Write those whose claim holds; what is now to be queued."""
        for result in results:
            # One event for one message: another's name here would hand this message's deliveries to that one's event.
            if result.event.id != result.claim.message.event_id:
                raise ValueError("the event is not named after its message")
        held = self._held(results)
        if not held:
            return Queued()
        self._write_messages(held)
        self._write_events(held)
        queued = Queued(deliveries=self._write_deliveries(held), runs=self._write_runs(held))
        add_steps(self.connection, [_step(result) for result in held], self.now)
        return queued

    def _held(self, results: Sequence[Processed]) -> list[Processed]:
        """Those that are still in our hands, locked until the end of the transaction."""
        ids = [result.claim.message.id for result in results]
        ours = (
            select(messages.c.id, messages.c.attempts)
            .where(messages.c.id.in_(ids), messages.c.state == MessageState.PROCESSING.value)
            .order_by(messages.c.id)
            .with_for_update()
        )
        attempts = {row.id: row.attempts for row in self.connection.execute(ours)}
        return [result for result in results if attempts.get(result.claim.message.id) == result.claim.attempt]

    def _write_messages(self, held: Sequence[Processed]) -> None:
        rows = [_message_values(result, self.now) for result in held]
        names = [name for name in rows[0] if name != "b_id"]
        self.connection.execute(
            update(messages)
            .where(messages.c.id == bindparam("b_id"))
            .values({name.removeprefix("b_"): bindparam(name) for name in names}),
            rows,
        )

    def _write_events(self, held: Sequence[Processed]) -> None:
        put = insert_for(self.connection, events)
        # A message that is processed anew keeps its event, which then is what the present rules and parser make of it.
        anew = {name: put.excluded[name] for name in ("subject", "sender", "archive_key", "time")}
        rows = [_event_values(result, self.now) for result in held]
        self.connection.execute(put.on_conflict_do_update(index_elements=["id"], set_=anew), rows)

    def _write_deliveries(self, held: Sequence[Processed]) -> tuple[OutboxRef, ...]:
        rows = [
            _outcome(result, self.now) | {"handler": handler, "run": 0, "state": DeliveryState.PENDING.value}
            for result in held
            for handler in dict.fromkeys(result.handlers)
        ]
        if not rows:
            return ()
        put = insert_for(self.connection, deliveries).on_conflict_do_nothing()
        made = self.connection.execute(
            put.returning(deliveries.c.id, deliveries.c.event_id, deliveries.c.handler.label("lane")), rows
        ).all()
        return _refs(made, held)

    def _write_runs(self, held: Sequence[Processed]) -> tuple[OutboxRef, ...]:
        specs = {(result.event.id, spec.name): spec for result in held for spec in result.workflows}
        rows = [
            _outcome(result, self.now) | {"workflow": name, "state": _begins(specs[result.event.id, name]).value}
            for result in held
            for name in dict.fromkeys(spec.name for spec in result.workflows)
        ]
        if not rows:
            return ()
        put = insert_for(self.connection, workflow_runs).on_conflict_do_nothing()
        made = self.connection.execute(
            put.returning(workflow_runs.c.id, workflow_runs.c.event_id, workflow_runs.c.workflow.label("lane")), rows
        ).all()
        steps = [step for run in made for step in _step_values(run.id, specs[run.event_id, run.lane])]
        if steps:
            self.connection.execute(insert(workflow_steps), steps)
        return _refs([run for run in made if specs[run.event_id, run.lane].steps], held)


def _refs(rows: Iterable[Any], held: Sequence[Processed]) -> tuple[OutboxRef, ...]:
    of = {result.event.id: result for result in held}
    refs = [
        OutboxRef(
            id=row.id,
            lane=row.lane,
            account=of[row.event_id].claim.message.account,
            priority=of[row.event_id].urgency,
        )
        for row in rows
    ]
    return tuple(sorted(refs, key=lambda ref: ref.id))


def _message_values(result: Processed, now: datetime) -> dict[str, Any]:
    values = peek_values(result.peek) | {
        "state": (MessageState.SKIPPED if result.skipped else MessageState.PROCESSED).value,
        "priority": result.priority,
        "after": result.after.value,
        "processed_at": now,
        **UNCLAIMED,
        "suspect": False,
        "due_at": None,
        "error_code": "rule" if result.skipped else None,
        "error": Fault("rule").dump() if result.skipped else None,
    }
    return {f"b_{name}": value for name, value in values.items()} | {"b_id": result.claim.message.id}


def _event_values(result: Processed, now: datetime) -> dict[str, Any]:
    return {
        "id": result.event.id,
        "message_id": result.claim.message.id,
        "account": result.claim.message.account,
        "type": result.event.type,
        "time": moment(result.event.time) or now,
        "subject": result.peek.subject or "",
        "sender": result.peek.sender or "",
        "archive_key": result.record_key,
        "created_at": now,
    }


def _outcome(result: Processed, now: datetime) -> dict[str, Any]:
    """What a delivery and a run have in common: due and queued from the first."""
    return {
        "event_id": result.event.id,
        "message_id": result.claim.message.id,
        "priority": result.urgency,
        "due_at": now,
        "queued_at": now,
        "created_at": now,
    }


def _begins(spec: WorkflowSpec) -> RunState:
    """A workflow without steps is done before it begins."""
    return RunState.PENDING if spec.steps else RunState.SUCCEEDED


def _step_values(run_id: int, spec: WorkflowSpec) -> list[dict[str, Any]]:
    return [
        {
            "run_id": run_id,
            "position": position,
            "name": step.name,
            "kind": step.kind,
            "options": step.options,
            "state": RunState.PENDING.value,
            "output": {},
        }
        for position, step in enumerate(spec.steps)
    ]


def _step(result: Processed) -> tuple[int, str, dict[str, object]]:
    detail: dict[str, object] = {
        "event": str(result.event.id),
        "priority": result.priority.value,
        "matched": result.matched,
        "handlers": result.handlers,
        "workflows": [spec.name for spec in result.workflows],
        "defects": result.defects,
    }
    return result.claim.message.id, "message.processed", detail | ({"skipped": True} if result.skipped else {})
