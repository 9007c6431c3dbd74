"""`concord handler test`: one sample event, sent now, and what the receiver said."""

from __future__ import annotations

from typing import Annotated

import typer

from concord.cli.border import problem, told_lines
from concord.cli.identity import caller
from concord.cli.options import Json
from concord.cli.output import emit, facts, say
from concord.cli.session import here
from concord.errors import ConcordError


def test(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The handler.")],
    json: Json = False,
) -> None:
    """Send the handler a sample event now, in this process, and show what came of it."""
    from concord.services import handlers

    handlers.find(here(), name)
    try:
        told = handlers.test(here(), name, by=caller())
    except ConcordError as error:
        if json:
            emit({"delivered": False, "error": problem(error)})
        typer.echo("\n".join(told_lines(error)), err=True)
        raise typer.Exit(1) from None
    if json:
        emit({"delivered": True, "facts": told})
        return
    say(f"Handler '{name}' took the sample event.")
    if told:
        facts(told)
