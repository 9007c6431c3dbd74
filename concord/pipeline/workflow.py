"""Taking a workflow run through its steps: each step's end is committed before the next begins (P9)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final
from uuid import uuid5

import structlog
from structlog.contextvars import bound_contextvars

from concord.errors import HandlerRefusedError
from concord.model.workflow import RunState, WorkflowRun
from concord.pipeline.retry import bug, next_try
from concord.ports import Archive, Clock, Outbox, Steps
from concord.settings import DispatchSettings

log = structlog.get_logger(__name__)

CLAIM: Final = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowRunner:
    """Takes runs to their next end: success, failure, or a step that must be tried again later."""

    outbox: Outbox
    archive: Archive
    steps: Steps
    settings: DispatchSettings
    clock: Clock

    def advance(self, run_ids: Sequence[int]) -> None:
        """Go on with these runs where they stand; what another worker holds is left to it."""
        for run_id in run_ids:
            run = self.outbox.claim_run(run_id, until=self.clock() + CLAIM)
            if run is not None:
                with bound_contextvars(message=run.message_id, run=run.id, workflow=run.workflow):
                    self._advance(run)

    def _advance(self, run: WorkflowRun) -> None:
        here: WorkflowRun | None = run
        while here is not None and here.state is RunState.RUNNING:
            here = self._step(here)
        if here is not None:
            log.info("workflow.ended", state=here.state.value)

    def _step(self, run: WorkflowRun) -> WorkflowRun | None:
        """The border of one step: a step may be foreign code, and whatever it raises is its own trouble."""
        spec = run.specs[run.position]
        try:
            self._refuse_killer(run)
            event: Mapping[str, Any] = json.loads(self.archive.read(run.archive_key))
            outputs = {step.name: step.output for step in run.steps if step.state is RunState.SUCCEEDED}
            stable = str(uuid5(run.event_id, f"{run.workflow}\n{run.position}"))
            handler = self.steps.get(spec.kind)
            if run.suspect:
                self.outbox.enter_run(run, "step")
            output = handler.run(event, outputs, spec.options, key=stable)
        except Exception as error:  # noqa: BLE001 - foreign code; the family of the error decides below
            self._settle(run, error)
            return None
        log.info("workflow.step", step=spec.name)
        return self.outbox.step_done(run, output)

    def _refuse_killer(self, run: WorkflowRun) -> None:
        """What is over the limit already has been the end of worker after worker, in its step and alone."""
        if run.failures >= self.settings.max_attempts:
            raise HandlerRefusedError(
                "The worker died each time it took this step",
                remedy="See the workers' log for what killed them, then 'concord workflow retry ID'",
            )

    def _settle(self, run: WorkflowRun, error: Exception) -> None:
        step = run.specs[run.position].name
        again = next_try(error, failures=run.failures + 1, settings=self.settings, now=self.clock())
        if again is None:
            log.error("workflow.failed", error=error, step=step, exc_info=bug(error))
            self.outbox.run_failed(run, error)
            return
        log.warning("workflow.postponed", error=error, step=step, exc_info=bug(error))
        self.outbox.step_retry(run, error, due_at=again.due_at, counts=again.counts)
