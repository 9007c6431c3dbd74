"""`concord message`: every mail that was seen, and what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from concord.cli import message_parse, message_replay, message_retry, message_trace
from concord.cli.find import find_message
from concord.cli.options import Before, Json, Limit, OfAccount, Since, Until, window
from concord.cli.output import emit, facts, say, table
from concord.cli.session import here
from concord.model.fault import in_english
from concord.model.listing import MessagesWanted
from concord.model.message import Message, MessageState
from concord.ports import MessageFilter
from concord.services import messages as service

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Every mail that was seen, and what became of it.")


@app.command("list")
def list_messages(
    account: OfAccount = None,
    folder: Annotated[str | None, typer.Option("--folder", help="Only of this folder.")] = None,
    state: Annotated[MessageState | None, typer.Option("--state", help="Only those that stand here.")] = None,
    search: Annotated[str | None, typer.Option("--search", help="Text in subject or sender.")] = None,
    message_id: Annotated[str | None, typer.Option("--message-id", help="With this Message-ID.")] = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    before: Before = None,
    json: Json = False,
) -> None:
    """Show messages, the newest first."""
    if account:
        _refuse_unknown(account)
    begin, end = window(since, until)
    wanted = MessagesWanted(account=account, folder=folder, state=state, search=search, since=begin, until=end)
    if message_id:
        found = here().ledger.search(MessageFilter(message_id=message_id, account=account, state=state, limit=limit))
    else:
        found = service.first(here(), wanted, limit=limit, before=before)
    if json:
        emit(found)
    elif not found:
        say(_nothing(is_narrowed=bool(message_id or before or wanted != MessagesWanted())))
    else:
        _overview(found, limit)


@app.command()
def show(
    message: Annotated[str, typer.Argument(metavar="ID|MESSAGE-ID", help="Its number, or its Message-ID header.")],
    json: Json = False,
) -> None:
    """Show one message: where it was, where its bytes are, where it stands."""
    found = find_message(message)
    if json:
        emit(found)
        return
    facts(
        {
            "ID": found.id,
            "Subject": found.subject,
            "From": found.sender,
            "Sent": found.sent_at,
            "Message-ID": found.message_id,
            "Account": found.account,
            "Place": f"{found.folder}, UIDVALIDITY {found.uidvalidity}, UID {found.uid}",
            "State": found.state,
            "Reason": in_english(found.error),
            "Failures": found.failures,
            "Next try": found.due_at,
            "Priority": found.priority,
            "Octets": found.size,
            "SHA-256": found.sha256,
            "In the archive": found.archive_key,
            "Event": found.event_id,
            "Seen": found.seen_at,
            "Processed": found.processed_at,
            "On the server": found.after,
        }
    )
    say(f"Every step of it: concord message trace {found.id}")


app.command("trace")(message_trace.trace)
app.command("retry")(message_retry.retry)
app.command("replay")(message_replay.replay)
app.command("parse")(message_parse.parse)


def _overview(found: Sequence[Message], limit: int) -> None:
    rows = [(one.id, one.seen_at, one.account, one.state, one.sender, one.subject) for one in found]
    table(("ID", "Seen", "Account", "State", "From", "Subject"), rows)
    if len(found) == limit:
        say(f"There may be older ones: --before {found[-1].id}")


def _refuse_unknown(account: str) -> None:
    """Of a removed account the messages stay, so only a name that nothing has is a mistake."""
    from concord.errors import NotFoundError, nearest

    known = {one.name for one in here().accounts.all()} | set(here().ledger.counts())
    if account not in known:
        raise NotFoundError("account", account=account, near=nearest(account, known))


def _nothing(*, is_narrowed: bool) -> str:
    if is_narrowed:
        return "No message is like that. Fewer options find more: concord message list"
    return "No messages yet. They come with the next poll of an account: concord account list"
