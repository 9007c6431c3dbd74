"""All commands, hung on one root."""

from __future__ import annotations

from typing import Annotated

import typer

from concord.cli import (
    account,
    apply,
    config,
    daemon,
    db,
    delivery,
    event,
    handler,
    message,
    rule,
    secrets,
    sync,
    version,
    workflow,
)
from concord.cli.border import Border
from concord.cli.session import session

app = typer.Typer(
    name="concord",
    cls=Border,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Concord turns mail into events.",
    epilog="Exit codes: 0 done, 1 it did not work, 2 it was asked for in a way that cannot work.",
)

for noun, commands in (
    ("account", account.app),
    ("message", message.app),
    ("event", event.app),
    ("delivery", delivery.app),
    ("workflow", workflow.app),
    ("rule", rule.app),
    ("handler", handler.app),
    ("db", db.app),
    ("secrets", secrets.app),
    ("config", config.app),
    ("worker", daemon.worker),
    ("beat", daemon.beat),
    ("flower", daemon.flower),
):
    app.add_typer(commands, name=noun, no_args_is_help=True)

app.command("apply")(apply.apply)
app.command("sync-email-tasks")(sync.sync_email_tasks)
app.command("poll")(sync.poll)
app.command("version")(version.version)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of what nobody expected.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what the library logs.")] = False,
) -> None:
    """Concord turns mail into events."""
    session().debug = debug
    session().verbose = verbose
