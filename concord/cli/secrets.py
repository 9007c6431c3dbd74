"""`concord secrets`: the key that opens stored passwords, and changing it while everything runs (A3)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from concord.cli.identity import caller
from concord.cli.options import Json
from concord.cli.output import amount, aside, emit, facts, say, shown, table, warn
from concord.cli.session import here, is_watched
from concord.cli.sync import tell_trouble
from concord.errors import UsageError
from concord.model.fault import in_english

if TYPE_CHECKING:
    from concord.services.rotation import Rotated

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
        bool, typer.Option("--keep-old", help="Leave the old keys in the file, to open backups made before.")
    ] = False,
    wait: Annotated[
        float, typer.Option("--wait", min=0, metavar="SECONDS", help="How long to wait for daemons to get the new key.")
    ] = 120.0,
    json: Json = False,
) -> None:
    """Change the key while everything runs: no daemon has to be restarted.

    First every daemon on every host gets the new key and reports that it can open secrets with it. Then the new key
    seals: all secrets are sealed with it, and the old key is taken out of the file. Where a daemon cannot open secrets
    with the new key, nothing is sealed with it, and the command names the daemon. Killed at any point, run it again: it
    goes on where it stopped. 'concord secrets status' shows how far it is.
    """
    from concord.services import rotation

    rotated = rotation.rotate(here(), keep_old=keep_old, patience=wait, by=caller(), tell=aside)
    _tell(rotated, json=json)


@app.command()
def status(json: Json = False) -> None:
    """Show which key seals, how far a rotation is, and which keys each daemon can open secrets with."""
    from concord.services import rotation

    found = rotation.status(here())
    if json:
        emit(found)
        return
    facts(
        {
            "key that seals": found.sealing,
            "keys of the file": found.file,
            "rotation": f"to {found.new}: {found.phase}" if found.phase else "none so far",
            "sealed with an older key": found.older_secrets,
            "the old key still opens": found.old_key_opens,
            "unbound secrets": "open until 'concord secrets rotate'" if found.unbound_open else "refused",
        }
    )
    rows = [
        (one.daemon, one.running, one.opens, one.restarted, in_english(one.trouble), one.seen_at)
        for one in found.daemons
    ]
    if rows:
        table(("DAEMON", "RUNS", "OPENS", "OWN FILE HAS IT", "TROUBLE", "SEEN"), rows)


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


@app.command("protect-redis")
def protect_redis(
    shared: Annotated[
        bool, typer.Option("--shared", help="Also where others keep keys in this Redis; they need the password then.")
    ] = False,
    json: Json = False,
) -> None:
    """Give the Redis of this machine a password, and write its address with the password to the credential file.

    Without one, every user and program of this machine can read and change Concord's tasks. Redis writes the password
    to its own configuration file. Restart the daemons afterwards: what they send meanwhile waits. Killed at any point,
    run it again.
    """
    from concord.services import redis_password

    file = redis_password.protect(here(), shared=shared, by=caller())
    if json:
        emit({"file": str(file)})
        return
    say(f"Redis asks for a password now; {file} has it. Now restart what connects without it:")
    say("  systemctl restart concord-celery.target concord-admin")


def _nothing(_names: list[str]) -> None:
    """It is agreed already."""


def _ask_to_forget(names: list[str]) -> None:
    if not is_watched():
        raise UsageError("forget_unconfirmed", of=", ".join(names))
    typer.confirm(f"Drop the secrets of {shown(names)} for good?", abort=True, err=True)


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
                "fingerprint": rotated.fingerprint,
                "restarting": rotated.restarting,
            }
        )
    else:
        resealed = f"{amount(done.accounts, 'account')} and {amount(done.handlers, 'handler')}"
        if done.clients or done.tokens:
            resealed = f"{resealed}, {amount(done.clients, 'OAuth2 client')} and {amount(done.tokens, 'token')}"
        say(f"{resealed} are sealed with the new key {rotated.fingerprint} in {rotated.file}.")
        say("The old keys are still there." if kept else "The old keys are gone. Make a new copy of the key file.")
        if rotated.restarting:
            say(
                f"Until {', '.join(rotated.restarting)} have the new key in their own file or credential, the database "
                "also opens with the old key. A restart does that, when it suits you; on another host, copy the key "
                "file there first."
            )
    if done.unopened:
        names = ", ".join(done.unopened)
        warn(f"No key opens the secrets of {names}; give them again: concord account edit NAME --password-stdin")
        raise typer.Exit(1)
