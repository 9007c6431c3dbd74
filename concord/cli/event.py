"""`concord event`: what mails became."""

from __future__ import annotations

from typing import Annotated

import typer

from concord.auditing import audited
from concord.cli.find import event_id
from concord.cli.identity import caller
from concord.cli.options import Json, Limit, OfAccount, Since, Until, window
from concord.cli.output import emit, facts, say, table
from concord.cli.session import here

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The events that mails became.")


@app.command("list")
def list_events(
    account: OfAccount = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    before: Annotated[
        str | None, typer.Option("--before", metavar="ID", help="Only older ones than this event: the last of a page.")
    ] = None,
    json: Json = False,
) -> None:
    """Show events, the newest first."""
    begin, end = window(since, until)
    last = here().outbox.event(event_id(before)) if before else None
    found = here().outbox.events(
        account=account, since=begin, until=end, limit=limit, before=(last.created_at, last.id) if last else None
    )
    if json:
        emit(found)
    elif not found:
        say("No events here. Mails become events once they are processed: concord message list")
    else:
        rows = [(one.id, one.time, one.account, one.subject) for one in found]
        table(("ID", "Time", "Account", "Subject"), rows)
        if len(found) == limit:
            say(f"There may be older ones: --before {found[-1].id}")


@app.command()
def show(
    event: Annotated[str, typer.Argument(metavar="ID", help="The event's id, as 'concord event list' shows it.")],
    json: Json = False,
) -> None:
    """Show an event; with --json the very document that handlers get."""
    from concord.pipeline.event import from_document

    row = here().outbox.event(event_id(event))
    document = from_document(here().documents.read(row.id, row.message_id, row.archive_key))
    if json:
        # The whole mail is in it; the list of facts below is what every list shows.
        with audited(here().audit, caller(), "event.read", str(row.id)):
            emit(document)
        return
    data = document.get("data", {})
    facts(
        {
            "ID": row.id,
            "Time": row.time,
            "Account": row.account,
            "Place": document.get("subject"),
            "From": _people(data.get("from")),
            "To": _people(data.get("to")),
            "Cc": _people(data.get("cc")),
            "Subject": data.get("subject"),
            "Priority": data.get("priority"),
            "Attachments": [f"{one.get('name')} ({one.get('size')} octets)" for one in data.get("attachments", [])],
            "Defects": data.get("defects"),
            "Document": row.archive_key,
        }
    )
    say(f"Every step of it: concord message trace {row.message_id}")


def _people(people: object) -> list[str]:
    return [f"{one['name']} <{one['address']}>".strip() for one in people] if isinstance(people, list) else []
