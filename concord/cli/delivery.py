"""`concord delivery`: events on their way to handlers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from concord.cli.find import MOST_ID, event_id
from concord.cli.identity import caller
from concord.cli.options import Before, Json, Limit
from concord.cli.output import amount, emit, local, say, table, warn
from concord.cli.session import here
from concord.errors import UsageError
from concord.model.delivery import DeliveryState
from concord.model.fault import in_english
from concord.services import deliveries as service

if TYPE_CHECKING:
    from concord.model.delivery import Delivery

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Events on their way to handlers.")

_OfHandler = Annotated[str | None, typer.Option("--handler", metavar="NAME", help="Only to this handler.")]


@app.command("list")
def list_deliveries(
    state: Annotated[DeliveryState | None, typer.Option("--state", help="Only those that stand here.")] = None,
    handler: _OfHandler = None,
    event: Annotated[str | None, typer.Option("--event", metavar="ID", help="Only of this event.")] = None,
    limit: Limit = 50,
    before: Before = None,
    json: Json = False,
) -> None:
    """Show deliveries, the newest first."""
    wanted = event_id(event) if event else None
    found = here().outbox.deliveries(state=state, handler=handler, event_id=wanted, before_id=before, limit=limit)
    if json:
        emit(found)
    elif not found:
        say("No deliveries here. They are made when mails become events: concord event list")
    else:
        rows = [(one.id, one.message_id, one.handler, one.state, one.attempts, _last(one)) for one in found]
        table(("ID", "Message", "Handler", "State", "Tries", "Last"), rows)
        if len(found) == limit:
            say(f"There may be older ones: --before {found[-1].id}")


@app.command()
def retry(
    deliveries: Annotated[list[int] | None, typer.Argument(metavar="ID…", min=1, max=MOST_ID)] = None,
    all_dead: Annotated[bool, typer.Option("--all-dead", help="Every one that was given up.")] = False,
    handler: _OfHandler = None,
    json: Json = False,
) -> None:
    """Offer dead or waiting deliveries again now, their tries counted anew."""
    if bool(deliveries) is all_dead:
        raise UsageError("retry_deliveries")
    ids = list(dict.fromkeys(deliveries or service.dead(here(), handler)))
    done = service.retry(here(), ids, by=caller())
    if done.trouble:
        warn(f"{done.trouble}: the deliveries wait for the sweep, which queues them once it does.")
    if json:
        emit({"retried": done.changed, "unchanged": done.unchanged})
    else:
        say(f"{amount(len(done.changed), 'delivery')} will be tried again." if ids else "No delivery is dead.")
        for one in done.unchanged:
            warn(f"Delivery {one} is none, or is under way or delivered; see 'concord delivery list'.")
    if done.unchanged:
        raise typer.Exit(1)


def _last(delivery: Delivery) -> object:
    if delivery.delivered_at:
        return delivery.delivered_at
    if delivery.held:
        return f"held: {in_english(delivery.error)}"
    return in_english(delivery.error) or f"due {local(delivery.due_at)}"
