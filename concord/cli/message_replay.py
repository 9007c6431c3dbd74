"""`concord message replay`: messages run again from the archive, to all handlers or to some (P18)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from concord.cli.border import problem
from concord.cli.find import message_ids
from concord.cli.identity import caller
from concord.cli.options import Json, OfAccount, Since, Until, window
from concord.cli.output import amount, emit, say, shown, table
from concord.cli.progress import watched
from concord.cli.session import here
from concord.errors import UsageError
from concord.model.listing import MessagesWanted
from concord.services import messages as service
from concord.services.retrying import numbered
from concord.wording import english

if TYPE_CHECKING:
    from collections.abc import Sequence

    from concord.errors import ConcordError
    from concord.pipeline.replay import Replayed


def replay(
    messages: Annotated[list[str] | None, typer.Argument(metavar="ID…", help="Numbers or Message-IDs.")] = None,
    account: OfAccount = None,
    since: Since = None,
    until: Until = None,
    handler: Annotated[
        list[str] | None, typer.Option("--handler", help="Only to this handler; may be repeated.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what the rules would do now.")] = False,
    json: Json = False,
) -> None:
    """Send messages to their handlers again: given ones, or an account's, or those of a time."""
    ids = _chosen(messages or [], account, since, until)
    handlers = tuple(handler or ())
    service.refuse_unknown(here(), handlers)
    bar = watched(ids, "Replaying")
    if dry_run:
        report = service.preview(here(), bar, handlers)
    elif ids:
        report = service.replay(here(), bar, handlers, subject=numbered(ids, "message"), by=caller())
    else:
        report = service.ReplayReport(done=())
    done, failed = report.done, report.failed
    if json:
        emit([*map(_document, done), *({"message": one, "error": problem(error)} for one, error in failed)])
    else:
        _tell(done, failed, dry_run=dry_run)
    if failed:
        raise typer.Exit(1)


def _chosen(messages: Sequence[str], account: str | None, since: str | None, until: str | None) -> list[int]:
    narrowed = account or since or until
    if bool(messages) is bool(narrowed):
        raise UsageError("replay_messages")
    if messages:
        return [one.id for one in message_ids(messages)]
    begin, end = window(since, until)
    return service.processed(here(), MessagesWanted(account=account, since=begin, until=end))


def _document(one: Replayed) -> dict[str, object]:
    return {
        "message": one.message.id,
        "matched": one.matched,
        "handlers": one.handlers,
        "deliveries": one.deliveries,
        "reprocessed": one.reprocessed,
    }


def _tell(done: Sequence[Replayed], failed: Sequence[tuple[int, ConcordError]], *, dry_run: bool) -> None:
    if not done and not failed:
        say("No processed message is like that. See them with 'concord message list'")
    if done and dry_run:
        rows = [(one.message.id, one.message.subject, one.matched, one.handlers) for one in done]
        table(("Message", "Subject", "Rules that match", "Handlers"), rows)
        say("Nothing was sent: this was a dry run.")
    elif done:
        sent = sum(len(one.deliveries) for one in done)
        again = sum(one.reprocessed for one in done)
        say(f"{amount(len(done), 'message')} replayed: {amount(sent, 'new delivery')} on the way.")
        if again:
            say(f"{amount(again, 'message')} had no event yet, and will be processed like new mail.")
    for message_id, error in failed:
        typer.echo(f"Message {shown(message_id)}: {shown(english.explain(error))}", err=True)
