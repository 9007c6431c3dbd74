"""`concord audit`: who asked for what."""

from __future__ import annotations

from typing import Annotated

import typer

from concord.cli.identity import caller
from concord.cli.options import Before, Json, Limit, Since, Until, window
from concord.cli.output import amount, emit, pour, say, table
from concord.cli.session import here
from concord.model.audit import AuditFilter
from concord.model.fault import in_english
from concord.services import audit as service

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Who asked for what, and what became of it.")

_Actor = Annotated[str | None, typer.Option("--actor", metavar="NAME", help="Only what this person asked for.")]
_Action = Annotated[
    str | None,
    typer.Option("--action", metavar="NOUN[.VERB]", help="Only this: account.add, or account for all of it."),
]
_Subject = Annotated[str | None, typer.Option("--subject", metavar="NAME", help="Only what was done to this.")]
_Outcome = Annotated[str | None, typer.Option("--outcome", metavar="done|refused|failed", help="Only what ended so.")]
_Via = Annotated[str | None, typer.Option("--via", metavar="cli|admin|api", help="Only what came this way.")]


@app.command("list")
def list_entries(
    actor: _Actor = None,
    action: _Action = None,
    subject: _Subject = None,
    outcome: _Outcome = None,
    via: _Via = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 50,
    before: Before = None,
    json: Json = False,
) -> None:
    """List who asked for what, and what became of it, the newest first."""
    begin, end = window(since, until)
    narrowed = AuditFilter(
        actor=actor, action=action, subject=subject, outcome=outcome, via=via, since=begin, until=end,
        before=before, limit=limit,
    )  # fmt: skip
    entries = here().audit.entries(narrowed)
    if json:
        emit(entries)
    elif not entries:
        nobody = narrowed == AuditFilter(limit=limit)
        say("Nobody has asked for anything yet." if nobody else "Nothing is like that. Fewer options find more.")
    else:
        rows = [
            (one.id, one.at, one.actor, one.via, one.action, one.subject, one.outcome, in_english(one.detail))
            for one in entries
        ]
        table(("ID", "When", "Who", "Via", "Action", "Subject", "Outcome", "Detail"), rows)
        if len(entries) == limit:
            say(f"There may be older ones: --before {entries[-1].id}")


@app.command()
def verify(
    noted: Annotated[
        str | None,
        typer.Option("--noted", metavar="ROW:HASH", help="What an earlier verify showed, to be found again."),
    ] = None,
    json: Json = False,
) -> None:
    """Say whether every row is as it was written, and none was added, changed or taken away.

    Whoever may write to the database can make the whole audit anew. So note the newest row's hash somewhere else, and
    give it with --noted later.
    """
    verdict = service.verify(here(), noted=service.read_mark(noted) if noted else None)
    mark = f"{verdict.newest.id}:{verdict.newest.hash}"
    if json:
        emit({"rows": verdict.rows, "newest": mark if verdict.rows else None})
    elif not verdict.rows:
        say("Nobody has asked for anything yet.")
    else:
        say(f"{amount(verdict.rows, 'row')}, as they were written. The newest is {mark}")


@app.command()
def export(
    form: Annotated[
        service.Form, typer.Option("--format", help="jsonl is exact; csv is for spreadsheets.")
    ] = service.Form.JSONL,
    actor: _Actor = None,
    action: _Action = None,
    subject: _Subject = None,
    outcome: _Outcome = None,
    via: _Via = None,
    since: Since = None,
    until: Until = None,
) -> None:
    """Write all of it, or what the options leave, to standard output, the oldest first."""
    begin, end = window(since, until)
    narrowed = AuditFilter(
        actor=actor, action=action, subject=subject, outcome=outcome, via=via, since=begin, until=end
    )
    for piece in service.export(here(), narrowed, form=form, by=caller()):
        pour(piece)
