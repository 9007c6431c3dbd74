"""`concord db`: the schema of the database."""

from __future__ import annotations

import typer

from concord.cli.options import Json
from concord.cli.output import emit, say
from concord.cli.session import here

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The database's schema.")


@app.command()
def upgrade(json: Json = False) -> None:
    """Bring the schema up to this version of Concord. Doing it twice changes nothing."""
    from concord.adapters.sql import schema

    version = schema.upgrade(here().engine)
    if json:
        emit({"version": version})
    else:
        say(f"The database is at version {version}.")


@app.command()
def check(json: Json = False) -> None:
    """Say whether the schema is the one this version of Concord needs."""
    from concord.adapters.sql import schema

    schema.check(here().engine)
    if json:
        emit({"version": schema.newest()})
    else:
        say(f"The database is at version {schema.newest()}, as this Concord needs it.")
