"""`concord audit`: who asked for what."""

from __future__ import annotations

import typer

from concord.cli.options import Before, Json, Limit
from concord.cli.output import emit, say, table
from concord.cli.session import here
from concord.model.audit import AuditFilter

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Who started and stopped what.")


@app.callback()
def audit_commands() -> None:
    """Who started and stopped what."""


@app.command("list")
def list_entries(limit: Limit = 50, before: Before = None, json: Json = False) -> None:
    """List who asked for what, and what became of it, the newest first."""
    entries = here().audit.entries(AuditFilter(limit=limit, before=before))
    if json:
        emit(entries)
    elif not entries:
        say("Nobody has asked for anything yet.")
    else:
        rows = [
            (one.id, one.at, one.actor, one.via, one.action, one.subject, one.outcome, one.detail) for one in entries
        ]
        table(("ID", "When", "Who", "Via", "Action", "Subject", "Outcome", "Detail"), rows)
