"""`concord message replay`: messages run again from the archive, to all handlers or to some (P18)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from concord.cli.border import problem
from concord.cli.find import message_ids
from concord.cli.options import Json, OfAccount, Since, Until, window
from concord.cli.output import amount, emit, say, shown, table
from concord.cli.progress import watched
from concord.cli.session import here
from concord.errors import InfrastructureError, PermanentError, UsageError, did_you_mean
from concord.ports import MessageFilter

if TYPE_CHECKING:
    from concord.pipeline.replay import Replayed

_AT_ONCE = 1000


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
    _refuse_unknown(handlers)
    done: list[Replayed] = []
    failed: list[tuple[int, PermanentError]] = []
    for message_id in watched(ids, "Replaying"):
        try:
            done.append(_one(message_id, handlers, dry_run=dry_run))
        except PermanentError as error:
            failed.append((message_id, error))
        except InfrastructureError as error:
            # Those before it are on their way: begun again, it must not repeat them.
            error.fields |= {"replayed": len(done), "stopped_at_message": message_id}
            raise
    if json:
        emit([*map(_document, done), *({"message": one, "error": problem(error)} for one, error in failed)])
    else:
        _tell(done, failed, dry_run=dry_run)
    if failed:
        raise typer.Exit(1)


def _chosen(messages: Sequence[str], account: str | None, since: str | None, until: str | None) -> list[int]:
    narrowed = account or since or until
    if bool(messages) is bool(narrowed):
        raise UsageError(
            "It is not said which messages to replay",
            remedy="Give their numbers, or --account, --since, --until, not both",
        )
    if messages:
        return [one.id for one in message_ids(messages)]
    begin, end = window(since, until)
    if account:
        here().accounts.get(account)
    # Only what was processed: other messages have their own way to go.
    return list(_processed(MessageFilter(account=account, since=begin, until=end, limit=_AT_ONCE)))[::-1]


def _processed(narrowed: MessageFilter) -> Iterator[int]:
    from dataclasses import replace

    from concord.model.message import MessageState

    narrowed = replace(narrowed, state=MessageState.PROCESSED)
    while page := here().ledger.search(narrowed):
        yield from (one.id for one in page)
        narrowed = replace(narrowed, before_id=page[-1].id)


def _refuse_unknown(handlers: Sequence[str]) -> None:
    from concord.pipeline.dispatch import BUILT_IN

    known = {*BUILT_IN, *(spec.name for spec in here().rulebook.handlers())}
    for name in handlers:
        if name not in known:
            raise UsageError(
                "There is no such handler",
                handler=name,
                remedy=did_you_mean(name, known) or "See them with 'concord handler list'",
            )


def _one(message_id: int, handlers: tuple[str, ...], *, dry_run: bool) -> Replayed:
    message = here().ledger.get(message_id)
    return here().replayer.preview(message, handlers) if dry_run else here().replayer.replay(message, handlers)


def _document(one: Replayed) -> dict[str, object]:
    return {
        "message": one.message.id,
        "matched": one.matched,
        "handlers": one.handlers,
        "deliveries": one.deliveries,
        "reprocessed": one.reprocessed,
    }


def _tell(done: Sequence[Replayed], failed: Sequence[tuple[int, PermanentError]], *, dry_run: bool) -> None:
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
        typer.echo(f"Message {message_id}: {shown(error.explain())}", err=True)
