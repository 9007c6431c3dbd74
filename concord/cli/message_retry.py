"""`concord message retry`: mails that were set aside get another chance (P16)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from concord.cli.find import message_ids
from concord.cli.identity import caller
from concord.cli.options import Json, OfAccount
from concord.cli.output import amount, emit, say, warn
from concord.cli.session import here
from concord.errors import UsageError
from concord.services import messages as service
from concord.services.retrying import Retried

if TYPE_CHECKING:
    from collections.abc import Sequence

    from concord.model.message import Message


def retry(
    messages: Annotated[list[str] | None, typer.Argument(metavar="ID…", help="Numbers or Message-IDs.")] = None,
    all_quarantined: Annotated[bool, typer.Option("--all-quarantined", help="Every one that was set aside.")] = False,
    account: OfAccount = None,
    json: Json = False,
) -> None:
    """Process quarantined or skipped messages again."""
    if bool(messages) is all_quarantined:
        raise UsageError("retry_messages")
    found = message_ids(messages) if messages else list(service.quarantined(here(), account))
    done = service.retry(here(), found, by=caller()) if found else Retried(changed=())
    if done.trouble:
        warn(f"{done.trouble}: the messages wait for the sweep, which queues them once it does.")
    if json:
        emit({"retried": done.changed, "unchanged": done.unchanged})
    else:
        _tell(done, [one for one in found if one.id in done.unchanged])
    if done.unchanged:
        raise typer.Exit(1)


def _tell(done: Retried, cannot: Sequence[Message]) -> None:
    if done.changed:
        say(f"{amount(len(done.changed), 'message')} will be processed again.")
    elif not cannot:
        say("No message is quarantined.")
    for one in cannot:
        warn(f"Message {one.id} is {one.state.value}; only quarantined and skipped ones can be retried.")
    if cannot:
        typer.echo("What to do: 'concord message replay ID' sends a processed message to its handlers again.", err=True)
