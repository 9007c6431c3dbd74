"""Workflows: durable step by step, resumed where they stood (P9)."""

from __future__ import annotations

import pytest

from concord.errors import HandlerError, HandlerRefusedError
from concord.model.rule import Match, Rule, WorkflowSpec, WorkflowStepSpec
from concord.model.workflow import RunState, WorkflowRun
from tests.factories import mail
from tests.fakes.handlers import MemoryStep
from tests.fakes.world import World


@pytest.fixture
def ready(world: World) -> World:
    """One mail with one run of two steps."""
    specs = tuple(WorkflowStepSpec(name=name, kind=name) for name in ("first", "second"))
    world.steps = {"first": MemoryStep({"ticket": 42}), "second": MemoryStep()}
    world.rulebook.save_workflow(WorkflowSpec(name="onboard", steps=specs))
    world.rulebook.save_rule(Rule(name="all", match=Match(account=("*",)), workflows=("onboard",)))
    world.deliver(mail())
    world.poll()
    world.process()
    return world


def step(world: World, name: str) -> MemoryStep:
    found = world.steps[name]
    assert isinstance(found, MemoryStep)
    return found


def run_of(world: World) -> WorkflowRun:
    [run] = world.outbox.runs()
    return run


def advance(world: World) -> None:
    world.workflows.advance([run_of(world).id])


def test_steps_run_in_order_and_see_earlier_outputs(ready: World) -> None:
    advance(ready)

    assert run_of(ready).state is RunState.SUCCEEDED
    [(_, outputs)] = step(ready, "second").calls
    assert outputs == {"first": {"ticket": 42}}


def test_failed_step_is_tried_again_and_earlier_ones_are_not(ready: World) -> None:
    step(ready, "second").failures = [HandlerError("not_accepted")]
    advance(ready)
    assert run_of(ready).state is RunState.PENDING
    ready.wait(days=1)

    ready.sweeper.sweep()
    ready.workflows.advance(ready.queue.runs)

    assert run_of(ready).state is RunState.SUCCEEDED
    assert len(step(ready, "first").calls) == 1
    keys = [key for key, _ in step(ready, "second").calls]
    assert keys == [keys[0]] * 2


def test_refused_step_fails_the_run_and_a_retry_goes_on_there(ready: World) -> None:
    step(ready, "second").failures = [HandlerRefusedError("gone")]
    advance(ready)
    assert run_of(ready).state is RunState.FAILED

    assert ready.outbox.retry_runs([run_of(ready).id]) == [run_of(ready).id]
    advance(ready)

    assert run_of(ready).state is RunState.SUCCEEDED
    assert len(step(ready, "first").calls) == 1


def test_crash_between_steps_resumes_at_the_next(ready: World) -> None:
    """The first step's end is committed; the worker dies; the claim lapses; the run goes on at the second."""
    claimed = ready.outbox.claim_run(run_of(ready).id, until=ready.time)
    assert claimed is not None
    assert ready.outbox.step_done(claimed, {"ticket": 7}) is not None
    ready.wait(hours=1)

    ready.sweeper.sweep()
    ready.workflows.advance(ready.queue.runs)

    assert run_of(ready).state is RunState.SUCCEEDED
    assert step(ready, "first").calls == []
    [(_, outputs)] = step(ready, "second").calls
    assert outputs == {"first": {"ticket": 7}}


def test_editing_the_workflow_does_not_change_a_run_under_way(ready: World) -> None:
    ready.rulebook.save_workflow(WorkflowSpec(name="onboard", steps=(WorkflowStepSpec(name="new", kind="new"),)))

    advance(ready)

    assert run_of(ready).state is RunState.SUCCEEDED
    assert len(step(ready, "second").calls) == 1


def test_step_that_kills_each_worker_fails_the_run(ready: World) -> None:
    for _ in range(6):
        run = ready.outbox.claim_run(run_of(ready).id, until=ready.time)
        assert run is not None
        ready.outbox.enter_run(run, "step")
        ready.wait(hours=1)

    advance(ready)

    assert run_of(ready).state is RunState.FAILED
    assert step(ready, "first").calls == []


def test_run_whose_claims_lapse_outside_its_steps_is_not_blamed(ready: World) -> None:
    for _ in range(10):
        assert ready.outbox.claim_run(run_of(ready).id, until=ready.time)
        ready.wait(hours=1)

    advance(ready)

    assert run_of(ready).state is RunState.SUCCEEDED


def test_unknown_kind_of_step_is_the_runs_own_trouble(ready: World) -> None:
    del ready.steps["first"]

    advance(ready)

    assert run_of(ready).state is RunState.PENDING
    assert run_of(ready).failures == 1
