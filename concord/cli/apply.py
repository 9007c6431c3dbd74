"""`concord apply`: accounts, handlers, workflows and rules as a file says (A8)."""

from __future__ import annotations

import json as jsons
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from concord.cli.files import as_caller
from concord.cli.identity import caller
from concord.cli.options import Json
from concord.cli.output import amount, emit, plain, say, shown, warn
from concord.cli.session import here
from concord.cli.sync import tell_trouble
from concord.model.account import Tls

if TYPE_CHECKING:
    from concord.pipeline.apply import Change, Difference
    from concord.pipeline.wanted import Wanted

_SIGNS: Final = {"add": "+", "change": "~", "remove": "-"}


def apply(
    file: Annotated[Path, typer.Argument(help="TOML with [[accounts]], [[handlers]], [[workflows]], [[rules]].")],
    plan: Annotated[
        bool, typer.Option("--plan", help="Only show what would change; exit code 0 all the same.")
    ] = False,
    prune: Annotated[
        bool, typer.Option("--prune", help="Also remove what the file leaves out, in the sections it has.")
    ] = False,
    json: Json = False,
) -> None:
    """Make accounts, handlers, workflows and rules what a file says. Doing it twice changes nothing.

    Passwords and secrets stay outside the file: password_file or secret_file name a file (relative to this one),
    password_env or secret_env a variable of the environment.
    """
    from concord.pipeline.wanted import read_wanted
    from concord.services import applying

    with as_caller():
        wanted = read_wanted(file, os.environ)
    changes = applying.plan(here(), wanted, prune=prune)
    if not plan:
        tell_trouble(applying.apply(here(), changes, by=caller()))
    if json:
        emit({"changes": plain(changes), "applied": not plan})
        return
    _warn_of_plain(wanted)
    for change in changes:
        tell_change(change)
    _summarise(changes, plan=plan)


def tell_change(change: Change) -> None:
    """One line, and below it what differs."""
    colour = {"add": "green", "change": "yellow", "remove": "red"}[change.verb.value]
    sign = typer.style(_SIGNS[change.verb.value], fg=colour)
    typer.echo(f"{sign} {change.noun} '{shown(change.name)}'")
    for difference in change.differences:
        typer.echo(f"    {shown(_told(difference))}")


def _told(difference: Difference) -> str:
    if difference.field in ("password", "secret"):
        return f"{difference.field}: another one"
    before, after = (jsons.dumps(value, ensure_ascii=False) for value in (difference.before, difference.after))
    return f"{difference.field}: {before} → {after}"


def _summarise(changes: Sequence[Change], *, plan: bool) -> None:
    if not changes:
        say("Nothing to change.")
    elif plan:
        say(f"{amount(len(changes), 'change')} planned; nothing was done. Without --plan they are carried out.")
    else:
        say(f"{amount(len(changes), 'change')} made.")


def _warn_of_plain(wanted: Wanted) -> None:
    for entry in wanted.accounts:
        if entry.account.tls is Tls.NONE:
            warn(f"'{entry.account.name}' is polled without TLS: its password and mail cross the network in clear.")
