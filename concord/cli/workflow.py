"""`concord workflow`: runs, each an event going through named steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from concord.cli.find import MOST_ID, event_id
from concord.cli.identity import caller
from concord.cli.options import Before, Json, Limit
from concord.cli.output import amount, emit, facts, say, table, warn
from concord.cli.session import here
from concord.model.fault import in_english
from concord.model.workflow import RunState

if TYPE_CHECKING:
    from concord.model.workflow import WorkflowRun

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Workflow runs: events going through named steps.")


@app.command("list")
def list_runs(
    state: Annotated[RunState | None, typer.Option("--state", help="Only those that stand here.")] = None,
    workflow: Annotated[str | None, typer.Option("--workflow", metavar="NAME", help="Only of this workflow.")] = None,
    event: Annotated[str | None, typer.Option("--event", metavar="ID", help="Only of this event.")] = None,
    limit: Limit = 50,
    before: Before = None,
    json: Json = False,
) -> None:
    """Show runs, the newest first."""
    wanted = event_id(event) if event else None
    found = here().outbox.runs(state=state, workflow=workflow, event_id=wanted, before_id=before, limit=limit)
    if json:
        emit(found)
    elif not found:
        say("No workflow runs here. A rule starts them; 'concord apply FILE' brings rules and workflows.")
    else:
        rows = [(one.id, one.workflow, one.message_id, one.state, standing(one), one.created_at) for one in found]
        table(("ID", "Workflow", "Message", "State", "Step", "Begun"), rows)
        if len(found) == limit:
            say(f"There may be older ones: --before {found[-1].id}")


@app.command()
def show(
    run: Annotated[int, typer.Argument(metavar="ID", min=1, max=MOST_ID, help="The run's number.")],
    json: Json = False,
) -> None:
    """Show one run and what came of each step."""
    found = here().outbox.run(run)
    if json:
        emit(found)
        return
    facts(
        {
            "ID": found.id,
            "Workflow": found.workflow,
            "Message": found.message_id,
            "Event": found.event_id,
            "State": found.state,
            "Step": standing(found),
            "Error": in_english(found.error),
            "Begun": found.created_at,
            "Ended": found.finished_at,
        }
    )
    print()
    done = {step.position: step for step in found.steps}
    rows = []
    for position, spec in enumerate(found.specs):
        step = done.get(position)
        rows.append(
            (
                spec.name,
                spec.kind,
                *((step.state, step.attempts, in_english(step.error)) if step else ("waiting", 0, None)),
            )
        )
    table(("Step", "Kind", "State", "Tries", "Error"), rows)


@app.command()
def retry(
    runs: Annotated[list[int], typer.Argument(metavar="ID…", min=1, max=MOST_ID)],
    json: Json = False,
) -> None:
    """Go on with failed runs at the step that failed."""
    from concord.services import workflows

    done = workflows.retry_runs(here(), runs, by=caller())
    if done.trouble:
        warn(f"{done.trouble}: the runs wait for the sweep, which queues them once it does.")
    if json:
        emit({"retried": done.changed, "unchanged": done.unchanged})
    else:
        say(f"{amount(len(done.changed), 'run')} will go on.")
        for one in done.unchanged:
            warn(f"Run {one} is none, or has not failed; see 'concord workflow list --state failed'.")
    if done.unchanged:
        raise typer.Exit(1)


def standing(run: WorkflowRun) -> str:
    """How far it is."""
    if run.state is RunState.SUCCEEDED or run.position >= len(run.specs):
        return f"all {len(run.specs)} done"
    return f"{run.position + 1} of {len(run.specs)}: {run.specs[run.position].name}"
