"""Workflow runs: taken in hand, moved from step to step, each step's end written before the next begins (P9)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Select, and_, select, update

from concord.adapters.sql.event_rows import accounts_of, run_of, run_query
from concord.adapters.sql.outbox_tables import RUNS_WAITING, events, workflow_runs, workflow_steps
from concord.adapters.sql.trail import add_steps, add_waits, reason
from concord.adapters.sql.work import Claiming, Spans, Work
from concord.model.delivery import OutboxRef
from concord.model.workflow import RunState, WorkflowRun

RUNS: Final = Work(
    table=workflow_runs,
    idle=RunState.PENDING.value,
    taken=RunState.RUNNING.value,
    waiting=RUNS_WAITING,
    order=(workflow_runs.c.priority, workflow_runs.c.due_at, workflow_runs.c.id),
)
# A run goes through many steps under one claim: with each new step the lease is good for at least this again.
STEP_LEASE: Final = timedelta(minutes=2)


def load(connection: Connection, wanted: Select[Any]) -> list[WorkflowRun]:
    """Runs of a `run_query`, with their steps."""
    rows = connection.execute(wanted).all()
    if not rows:
        return []
    steps: dict[int, list[Any]] = defaultdict(list)
    theirs = select(workflow_steps).where(workflow_steps.c.run_id.in_([row.id for row in rows]))
    for step in connection.execute(theirs.order_by(workflow_steps.c.run_id, workflow_steps.c.position)):
        steps[step.run_id].append(step)
    return [run_of(row, steps[row.id]) for row in rows]


def get(connection: Connection, run_id: int) -> WorkflowRun | None:
    """One by id."""
    return next(iter(load(connection, run_query().where(workflow_runs.c.id == run_id))), None)


def claim(connection: Connection, run_id: int, claiming: Claiming) -> WorkflowRun | None:
    """Take it where it stands."""
    if not RUNS.take(connection, [run_id], claiming):
        return None
    _begin_step(connection, run_id)
    return get(connection, run_id)


def waiting(connection: Connection, ids: Sequence[int], *, now: datetime, spans: Spans) -> list[OutboxRef]:
    """What is due of these: of which workflow each is, and whose mail it is about."""
    wanted = (
        select(workflow_runs, events.c.account)
        .join(events, workflow_runs.c.event_id == events.c.id)
        .where(workflow_runs.c.id.in_(ids), RUNS.due(now, spans))
        .order_by(workflow_runs.c.priority, workflow_runs.c.id)
    )
    return [_ref(row, row.account) for row in connection.execute(wanted)]


def refs_of(connection: Connection, rows: Sequence[Any]) -> list[OutboxRef]:
    """References to rows that the sweep found, in its order."""
    accounts = accounts_of(connection, rows)
    return [_ref(row, accounts[row.event_id]) for row in rows]


def _ref(row: Any, account: str) -> OutboxRef:
    is_lapsed = row.state == RunState.RUNNING.value
    return OutboxRef(
        id=row.id, lane=row.workflow, account=account, priority=row.priority, suspect=row.suspect or is_lapsed
    )


def give_back(connection: Connection, given: Sequence[WorkflowRun], due_at: datetime, error: Exception | None) -> None:
    """Let claims go uncounted, each at the step where it stood."""
    claims = [(run.id, run.attempts) for run in given]
    why = {"error": reason(error)} if error else {}
    back = RUNS.give_back(connection, claims, {"due_at": due_at, "queued_at": None} | why)
    steps = update(workflow_steps).where(
        workflow_steps.c.run_id.in_([run_id for run_id, _ in back]), workflow_steps.c.state == RunState.RUNNING.value
    )
    connection.execute(steps.values(why | {"state": RunState.PENDING.value}))


def enter(connection: Connection, run: WorkflowRun, stage: str | None) -> bool:
    """Write down where the worker is with a run whose claim lapsed before."""
    return RUNS.enter(connection, _held(run), stage)


def step_done(
    connection: Connection, run: WorkflowRun, output: Mapping[str, object], now: datetime
) -> WorkflowRun | None:
    """Keep the step's output and stand at the next, still claimed; or end. None where the claim lapsed."""
    last = run.position + 1 == len(run.specs)
    if not (_end if last else _stand_at_next)(connection, run, now):
        return None
    done = {"state": RunState.SUCCEEDED.value, "output": output, "error": None, "finished_at": now}
    connection.execute(update(workflow_steps).where(_step(run)).values(done))
    add_steps(connection, [(run.message_id, "workflow.step", _about(run) | {"output": output})], now)
    if last:
        add_steps(connection, [(run.message_id, "workflow.succeeded", _about(run, step=False))], now)
    else:
        _begin_step(connection, run.id)
    return get(connection, run.id)


def _stand_at_next(connection: Connection, run: WorkflowRun, now: datetime) -> bool:
    until = max(run.leased_until or now, now + STEP_LEASE)
    # The next step is other code: nothing that the last one did speaks against it.
    begins = {"position": run.position + 1, "failures": 0, "error": None, "suspect": False, "stage": None}
    return RUNS.change(connection, _held(run), begins | {"leased_until": until})


def _end(connection: Connection, run: WorkflowRun, now: datetime) -> bool:
    ended = {"state": RunState.SUCCEEDED.value, "error": None, "finished_at": now}
    return RUNS.settle(connection, _held(run), ended)


def step_retry(
    connection: Connection, run: WorkflowRun, error: Exception, waits: tuple[datetime, bool], now: datetime
) -> None:
    """The same step again when due; `waits` says when that is, and whether the attempt counts."""
    due_at, counts = waits
    values = {
        "state": RunState.PENDING.value,
        "due_at": due_at,
        "queued_at": None,
        "failures": workflow_runs.c.failures + int(counts),
    }
    detail = {"due_at": due_at.isoformat(), "counts": counts}
    _settle(connection, run, error, values, ("workflow.retry", detail, now))


def failed(connection: Connection, run: WorkflowRun, error: Exception, now: datetime) -> None:
    """The run ends here, unless a person says otherwise."""
    values = {"state": RunState.FAILED.value, "finished_at": now, "failures": workflow_runs.c.failures + 1}
    _settle(connection, run, error, values, ("workflow.failed", {}, now))


def _settle(
    connection: Connection,
    run: WorkflowRun,
    error: Exception,
    values: dict[str, Any],
    step: tuple[str, dict[str, object], datetime],
) -> None:
    what, detail, now = step
    why = {"error": reason(error)}
    if RUNS.settle(connection, _held(run), values | why):
        connection.execute(update(workflow_steps).where(_step(run)).values(why | {"state": values["state"]}))
        write = add_waits if detail.get("counts") is False else add_steps
        write(connection, [(run.message_id, what, {**_about(run), **why, **detail})], now)


def revive(connection: Connection, ids: Sequence[int], now: datetime) -> list[int]:
    """Failed ones are due now, at the step where they failed."""
    standing = workflow_runs.c.state == RunState.FAILED.value
    free = select(workflow_runs.c.id).where(workflow_runs.c.id.in_(ids), standing)
    anew = (
        update(workflow_runs)
        .where(workflow_runs.c.id.in_(free.order_by(workflow_runs.c.id).with_for_update()), standing)
        .values(state=RunState.PENDING.value, due_at=now, queued_at=now, failures=0, error=None, finished_at=None)
        .returning(workflow_runs.c.id, workflow_runs.c.message_id, workflow_runs.c.workflow)
    )
    rows = sorted(connection.execute(anew), key=lambda row: row.id)
    again = [row.id for row in rows]
    failed_steps = and_(workflow_steps.c.run_id.in_(again), workflow_steps.c.state == RunState.FAILED.value)
    connection.execute(update(workflow_steps).where(failed_steps).values(state=RunState.PENDING.value))
    steps = [(row.message_id, "workflow.retried", {"run": row.id, "workflow": row.workflow}) for row in rows]
    add_steps(connection, steps, now)
    return again


def _begin_step(connection: Connection, run_id: int) -> None:
    here = select(workflow_runs.c.position).where(workflow_runs.c.id == run_id).scalar_subquery()
    connection.execute(
        update(workflow_steps)
        .where(workflow_steps.c.run_id == run_id, workflow_steps.c.position == here)
        .values(state=RunState.RUNNING.value, attempts=workflow_steps.c.attempts + 1)
    )


def _held(run: WorkflowRun) -> ColumnElement[bool]:
    # The position too: a step that is told done twice must not finish the next one.
    return and_(RUNS.held(run.id, run.attempts), workflow_runs.c.position == run.position)


def _step(run: WorkflowRun) -> ColumnElement[bool]:
    return and_(workflow_steps.c.run_id == run.id, workflow_steps.c.position == run.position)


def _about(run: WorkflowRun, *, step: bool = True) -> dict[str, object]:
    about: dict[str, object] = {"run": run.id, "workflow": run.workflow}
    return about | ({"step": run.specs[run.position].name, "attempt": run.attempts} if step else {})
