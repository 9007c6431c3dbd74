"""`concord secrets`: the key that opens stored passwords, and changing it while everything runs (A3)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from concord.cli.identity import caller
from concord.cli.options import Json
from concord.cli.output import amount, emit, say, warn
from concord.cli.session import here, is_watched
from concord.cli.sync import tell_trouble
from concord.errors import UsageError

if TYPE_CHECKING:
    from concord.services.secrets import Rotated

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The key that opens stored passwords.")


@app.command()
def init(
    file: Annotated[
        Path | None, typer.Option("--file", help="Where; else secret_key_file, or the credentials directory.")
    ] = None,
) -> None:
    """Make a key file, readable by its owner only. An existing one is never touched."""
    from concord.adapters.vault import new_key
    from concord.services import key_file

    path = file or key_file.place()
    key_file.create(path, new_key())
    say(f"A new key is in {path}. Keep a copy apart from the database's backups: without it no password opens.")


@app.command()
def check(json: Json = False) -> None:
    """Say whether the key is this database's and opens every stored secret."""
    from concord.services import secrets

    opened = secrets.check(here())
    if json:
        emit({"secrets": opened})
    else:
        say(f"The key opens {amount(opened, 'stored secret')}.")


@app.command()
def rotate(
    keep_old: Annotated[
        bool, typer.Option("--keep-old", help="Leave the old keys in the file, for daemons that read theirs at start.")
    ] = False,
    json: Json = False,
) -> None:
    """Make a new key, seal every secret anew under it, then take the old keys away.

    Everything may run meanwhile. Killed at any point, run it again.
    """
    from concord.services import secrets

    _tell(secrets.rotate(here(), keep_old=keep_old, by=caller()), json=json)


@app.command()
def forget(
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Drop every stored secret that no key opens, where the key that sealed them is lost for good.

    Their accounts and handlers are disabled until they are given their passwords and secrets again.
    """
    from concord.services import secrets

    gone, schedule = secrets.forget(here(), agreed=_nothing if yes else _ask_to_forget, by=caller())
    tell_trouble(schedule)
    if json:
        emit(gone)
        return
    say(f"{amount(len(gone.accounts), 'account')} and {amount(len(gone.handlers), 'handler')} lost their secret.")
    for name in gone.accounts:
        say(f"  concord account edit {name} --password-stdin && concord account enable {name}")
    for name in gone.signed_in:
        say(f"  account {name}: sign in again at /admin/settings, or with 'concord oauth login {name}'")
    for name in gone.clients:
        say(f"  OAuth2 client {name}: give it its secret again at /admin/settings/oauth")
    for name in gone.handlers:
        say(f"  handler {name}: give it its secret and enable it again (concord apply FILE)")


def _nothing(_names: list[str]) -> None:
    """It is agreed already."""


def _ask_to_forget(names: list[str]) -> None:
    if not is_watched():
        raise UsageError(
            "Secrets would be dropped for good", of=", ".join(names), remedy="Say --yes, or run this at a terminal"
        )
    typer.confirm(f"Drop the secrets of {', '.join(names)} for good?", abort=True, err=True)


def _tell(rotated: Rotated, *, json: bool) -> None:
    done, kept = rotated.done, rotated.old_keys_kept
    if json:
        emit(
            {
                "accounts": done.accounts,
                "handlers": done.handlers,
                "oauth_clients": done.clients,
                "tokens": done.tokens,
                "unopened": done.unopened,
                "old_keys_kept": kept,
            }
        )
    else:
        resealed = f"{amount(done.accounts, 'account')} and {amount(done.handlers, 'handler')}"
        if done.clients or done.tokens:
            resealed = f"{resealed}, {amount(done.clients, 'OAuth2 client')} and {amount(done.tokens, 'token')}"
        say(f"{resealed} are sealed under a new key in {rotated.file}.")
        say("The old keys are still there." if kept else "The old keys are gone. Make a new copy of the key file.")
    if done.unopened:
        names = ", ".join(done.unopened)
        warn(f"No key opens the secrets of {names}; give them again: concord account edit NAME --password-stdin")
        raise typer.Exit(1)
