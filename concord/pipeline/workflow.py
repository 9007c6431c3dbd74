"""Taking a workflow run through its steps: each step's end is committed before the next begins (P9)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any
from uuid import uuid5

import structlog
from structlog.contextvars import bound_contextvars

from concord.errors import HandlerRefusedError
from concord.model.delivery import OutboxRef
from concord.model.workflow import RunState, WorkflowRun
from concord.pipeline.documents import Documents
from concord.pipeline.foreign import Alone, LingersError
from concord.pipeline.retry import bug, next_try
from concord.pipeline.serving import Serving
from concord.ports import Clock, Outbox, Steps
from concord.settings import DispatchSettings

log = structlog.get_logger(__name__)

Output = Mapping[str, object]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowRunner:
    """Takes runs to their next end: success, failure, or a step that must be tried again later."""

    outbox: Outbox
    documents: Documents
    steps: Steps
    serving: Serving
    settings: DispatchSettings
    clock: Clock

    def advance(self, run_ids: Sequence[int]) -> None:
        """Go on with these runs where they stand, and with what else waits; what another worker holds is left to it."""
        if self.documents.is_away():
            return
        refs = [ref for ref in self.outbox.waiting_runs(run_ids) if not self.serving.hands.has(WorkflowRun, ref.id)]
        self.serving.runs.serve(refs, self._take_on)

    def _take_on(self, refs: list[OutboxRef]) -> int:
        """One by one, each as far as it comes within this turn. What was not settled is given back."""
        hands, began = self.serving.hands, self.clock()
        for place, ref in enumerate(refs):
            if place and self.serving.runs.is_over(began):
                self.serving.runs.lanes.add(refs[place:])
                break
            hands.record_remembered()
            run = self.outbox.claim_run(ref.id, until=hands.until)
            if run is None:
                continue
            hands.hold([run])
            try:
                with bound_contextvars(message=run.message_id, run=run.id, workflow=run.workflow):
                    self._advance(run)
            finally:
                if hands.give_back_unsettled([run]):
                    self.serving.runs.lanes.add([ref])
        return 0

    def _advance(self, run: WorkflowRun) -> None:
        here: WorkflowRun | None = run
        began = self.clock()
        while here is not None and here.state is RunState.RUNNING:
            if here is not run:
                self.serving.hands.hold([here])
                if self.serving.runs.is_over(began):
                    return
            here = self._step(here)
        if here is not None:
            log.info("workflow.ended", state=here.state.value)

    def _step(self, run: WorkflowRun) -> WorkflowRun | None:
        """The border of one step: a step may be foreign code, and whatever it raises is its own trouble."""
        spec = run.specs[run.position]
        try:
            self._refuse_killer(run)
            event: Mapping[str, Any] = json.loads(self.documents.read(run.event_id, run.message_id, run.archive_key))
            outputs = {step.name: step.output for step in run.steps if step.state is RunState.SUCCEEDED}
            stable = str(uuid5(run.event_id, f"{run.workflow}\n{run.position}"))
            handler = self.steps.get(spec.kind)
            output = self._call(run, lambda: handler.run(event, outputs, spec.options, key=stable))
        except LingersError as lingers:
            self._settle(run, lingers.error)
            raise
        except Exception as error:  # noqa: BLE001 - foreign code; the family of the error decides below
            self._settle(run, error)
            return None
        log.info("workflow.step", step=spec.name)
        return self._record(run, output)

    def _call(self, run: WorkflowRun, work: Callable[[], Output]) -> Output:
        enter = partial(self.outbox.enter_run, run)
        alone = Alone(enter=partial(enter, "step"), leave=partial(enter, None))
        at_end = partial(self.serving.runs.lanes.leave, run.workflow)
        return self.serving.calls.run(work, at_end=at_end, alone=alone if run.suspect else None)

    def _record(self, run: WorkflowRun, output: Output) -> WorkflowRun | None:
        """Write the step's end down, now or once the database answers. Then somebody else goes on with the run."""
        is_late = False

        def record() -> WorkflowRun | None:
            here = self.outbox.step_done(run, output)
            if is_late and here is not None and here.state is RunState.RUNNING:
                self.outbox.give_back([here], due_at=self.clock())
            return here

        here = self.serving.hands.settle(run, record)
        is_late = True
        return here

    def _refuse_killer(self, run: WorkflowRun) -> None:
        """What is over the limit already has been the end of worker after worker, in its step and alone."""
        if run.failures >= self.settings.max_attempts:
            raise HandlerRefusedError("step_kills")

    def _settle(self, run: WorkflowRun, error: Exception) -> None:
        step = run.specs[run.position].name
        hands = self.serving.hands
        again = next_try(error, failures=run.failures + 1, settings=self.settings, now=self.clock())
        if again is None:
            log.error("workflow.failed", error=error, step=step, exc_info=bug(error))
            hands.settle(run, lambda: self.outbox.run_failed(run, error))
            return
        log.warning("workflow.postponed", error=error, step=step, exc_info=bug(error))
        if again.counts:
            hands.settle(run, lambda: self.outbox.step_retry(run, error, due_at=again.due_at))
        else:
            hands.give_back([run], due_at=again.due_at, error=error)
