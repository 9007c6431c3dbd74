"""`concord handler test`: one sample event, sent now, and what the receiver said."""

from __future__ import annotations

from typing import Annotated

import typer

from concord.cli.border import problem, told_lines
from concord.cli.identity import caller
from concord.cli.options import Json
from concord.cli.output import emit, facts, say
from concord.cli.session import here


def test(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The handler.")],
    json: Json = False,
) -> None:
    """Send the handler a sample event now, in this process, and show what came of it."""
    from concord.services import handlers

    trial = handlers.try_out(here(), name, by=caller())
    if trial.error:
        if json:
            emit({"delivered": False, "error": problem(trial.error)})
        typer.echo("\n".join(told_lines(trial.error)), err=True)
        raise typer.Exit(1)
    if json:
        emit({"delivered": True, "facts": trial.facts})
        return
    say(f"Handler '{name}' took the sample event.")
    if trial.facts:
        facts(trial.facts)
