"""`concord message trace`: the whole life of a mail on one page (P19)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from concord.cli.find import find_messages
from concord.cli.options import Json
from concord.cli.output import emit, local, plain, say, shown, table
from concord.cli.session import here
from concord.model.fault import in_english

if TYPE_CHECKING:
    from concord.model.delivery import Delivery
    from concord.model.message import Message, Step
    from concord.model.workflow import WorkflowRun

_SENTENCES: Final = {
    "message.archived": "Its bytes are safe in the archive",
    "message.unfetched": "The server listed it and did not hand it over",
    "message.skipped": "Skipped on purpose",
    "message.processed": "Read, judged by the rules, made an event",
    "message.postponed": "Could not be processed yet",
    "message.waiting": "Waits for our own database, Redis or archive",
    "message.quarantined": "Set aside: it cannot be processed as things stand",
    "message.lost": "The archive lacks its bytes; the server is asked for them again",
    "message.restored": "The archive has its bytes again",
    "message.retried": "Goes back to be processed",
    "message.copied": "Moved or copied from another folder: the same mail, so no second event",
    "message.remapped": "Found again after the server renumbered its folder",
    "message.replayed": "Sent again to handlers",
    "message.after": "The account's after-action on the server",
    "delivery.delivered": "A handler took it",
    "delivery.retry": "A handler did not take it yet",
    "delivery.dead": "A handler will not get it any more",
    "delivery.retried": "A handler is offered it again",
    "workflow.step": "A workflow step is done",
    "workflow.succeeded": "A workflow is done",
    "workflow.retry": "A workflow step must be tried again",
    "workflow.failed": "A workflow failed",
    "workflow.retried": "A workflow goes on at the step that failed",
}


def trace(
    message: Annotated[str, typer.Argument(metavar="ID|MESSAGE-ID", help="Its number, or its Message-ID header.")],
    json: Json = False,
) -> None:
    """Show every step, decision, retry and delivery of a mail, in order of time."""
    found = find_messages(message)
    if json:
        emit([_document(one) for one in found])
        return
    for number, one in enumerate(found):
        if number:
            print()
        _tell(one)


def _document(message: Message) -> dict[str, Any]:
    deliveries, runs = _followed(message)
    return {
        "message": plain(message),
        "steps": plain(here().ledger.trail(message.id)),
        "deliveries": plain(deliveries),
        "runs": plain(runs),
    }


def _followed(message: Message) -> tuple[list[Delivery], list[WorkflowRun]]:
    outbox = here().outbox
    deliveries = outbox.deliveries(event_id=message.event_id, limit=1000)
    return deliveries[::-1], outbox.runs(event_id=message.event_id, limit=1000)[::-1]


def _tell(message: Message) -> None:
    say(f"Message {message.id}: {message.subject or '(no subject)'}")
    say(f"{message.account}, {message.folder}, UID {message.uid}; it is {message.state.value}.")
    print()
    for step in here().ledger.trail(message.id):
        _tell_step(step)
    deliveries, runs = _followed(message)
    if deliveries:
        print()
        rows = [(one.id, one.handler, one.run, one.state, one.attempts, _last(one)) for one in deliveries]
        table(("Delivery", "Handler", "Round", "State", "Tries", "Last"), rows)
    if runs:
        print()
        told = [(one.id, one.workflow, one.state, _standing(one), in_english(one.error)) for one in runs]
        table(("Run", "Workflow", "State", "Step", "Error"), told)


def _tell_step(step: Step) -> None:
    say(f"{local(step.at)}  {_SENTENCES.get(step.what, step.what)} [{step.what}]")
    for line in _lines({name: in_english(one) if isinstance(one, str) else one for name, one in step.detail.items()}):
        print(f"{'':21}{shown(line)}")


def _lines(detail: Mapping[str, object]) -> Sequence[str]:
    return [f"{name.replace('_', ' ')}: {shown(_told(value))}" for name, value in detail.items() if _says(value)]


def _says(value: object) -> bool:
    return value not in (None, "", [], {})


def _told(value: object) -> object:
    return ", ".join(f"{key}={inner}" for key, inner in value.items()) if isinstance(value, Mapping) else value


def _last(delivery: Delivery) -> object:
    if delivery.delivered_at:
        return delivery.delivered_at
    if delivery.held:
        return f"held: {in_english(delivery.error)}"
    return in_english(delivery.error) or f"due {local(delivery.due_at)}"


def _standing(run: WorkflowRun) -> str:
    if run.position >= len(run.specs):
        return f"all {len(run.specs)} done"
    return f"{run.position + 1} of {len(run.specs)}: {run.specs[run.position].name}"
