"""`concord message retry`: mails that were set aside get another chance (P16)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer

from concord.cli.find import message_ids
from concord.cli.options import Json, OfAccount
from concord.cli.output import amount, emit, say, warn
from concord.cli.session import here
from concord.errors import QueueDownError, UsageError
from concord.model.message import MessageState
from concord.ports import MessageFilter

if TYPE_CHECKING:
    from concord.model.message import Message

_AT_ONCE: Final = 500
_CAN_BE_RETRIED: Final = (MessageState.QUARANTINED, MessageState.SKIPPED)


def retry(
    messages: Annotated[list[str] | None, typer.Argument(metavar="ID…", help="Numbers or Message-IDs.")] = None,
    all_quarantined: Annotated[bool, typer.Option("--all-quarantined", help="Every one that was set aside.")] = False,
    account: OfAccount = None,
    json: Json = False,
) -> None:
    """Process quarantined or skipped messages again."""
    if bool(messages) is all_quarantined:
        raise UsageError(
            "It is not said which messages to retry", remedy="Give their numbers, or --all-quarantined, not both"
        )
    found = message_ids(messages) if messages else list(quarantined(account))
    can = [one for one in found if one.state in _CAN_BE_RETRIED]
    cannot = [one for one in found if one not in can]
    _send_back(can)
    if json:
        emit({"retried": [one.id for one in can], "unchanged": [one.id for one in cannot]})
    else:
        _tell(can, cannot)
    if cannot:
        raise typer.Exit(1)


def quarantined(account: str | None) -> Iterator[Message]:
    """All of them, the newest first."""
    before: int | None = None
    if account:
        here().accounts.get(account)
    while page := here().ledger.search(
        MessageFilter(account=account, state=MessageState.QUARANTINED, before_id=before, limit=_AT_ONCE)
    ):
        yield from page
        before = page[-1].id


def _send_back(messages: Sequence[Message]) -> None:
    for start in range(0, len(messages), _AT_ONCE):
        refs = here().ledger.retry([one.id for one in messages[start : start + _AT_ONCE]])
        try:
            here().queue.process(refs)
        except QueueDownError as error:
            warn(f"{error.message}: the messages wait for the sweep, which queues them once it does.")


def _tell(can: Sequence[Message], cannot: Sequence[Message]) -> None:
    if can:
        say(f"{amount(len(can), 'message')} will be processed again.")
    elif not cannot:
        say("No message is quarantined.")
    for one in cannot:
        warn(f"Message {one.id} is {one.state.value}; only quarantined and skipped ones can be retried.")
    if cannot:
        typer.echo("What to do: 'concord message replay ID' sends a processed message to its handlers again.", err=True)
