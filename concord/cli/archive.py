"""`concord archive`: whether the archive is the one that this database uses, and using another one on purpose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from concord.cli.identity import caller
from concord.cli.options import Json
from concord.cli.output import emit, say
from concord.cli.session import here

if TYPE_CHECKING:
    from concord.services.archive import ArchiveFacts

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Where the bytes of every message are kept.")


@app.command()
def check(json: Json = False) -> None:
    """Say whether the archive is this database's own, and takes and gives back what it is given."""
    from concord.services import archive

    facts = archive.check(here())
    _tell(facts, json=json)


@app.command()
def adopt(
    even_lacking: Annotated[
        bool,
        typer.Option(
            "--even-lacking", help="Also where nothing of what the database knows is there: the former one is lost."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Use the archive at the configured place from now on: after a move, a restore, or the loss of the former one."""
    from concord.services import archive

    _tell(archive.adopt(here(), even_lacking=even_lacking, by=caller()), json=json)


def _tell(facts: ArchiveFacts, *, json: bool) -> None:
    if json:
        emit(facts)
        return
    say(f"The archive at {facts.place} is this database's own (id {facts.marker}).")
    if facts.sampled:
        say(f"Of {facts.sampled} messages that were looked for, {facts.found} are there.")
