"""`concord user`: who may sign in to the admin site."""

from __future__ import annotations

from typing import Annotated

import typer

from concord.cli import password
from concord.cli.identity import caller
from concord.cli.options import Json
from concord.cli.output import emit, plain, say, shown, table
from concord.cli.session import here, is_watched
from concord.model.user import Role

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Users of the admin site.")

_Name = Annotated[str, typer.Argument(metavar="NAME", help="The user.")]
_PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input; at a terminal it is asked for.")
]


@app.command("list")
def list_users(json: Json = False) -> None:
    """Show who may sign in, and as what."""
    users = here().users.all()
    if json:
        emit([{name: value for name, value in plain(user).items() if name != "password"} for user in users])
    elif not users:
        say("No users yet. Add the first: concord user add NAME --role admin")
    else:
        rows = [(one.name, one.role, one.enabled, one.last_login_at, one.password_at) for one in users]
        table(("Name", "Role", "On", "Last signed in", "Password of"), rows)


@app.command()
def add(
    name: _Name,
    role: Annotated[Role, typer.Option("--role", help="viewer sees; operator also acts; admin also manages users.")],
    password_stdin: _PasswordStdin = False,
) -> None:
    """Let somebody sign in to the admin site. The password is asked for, or read with --password-stdin."""
    from concord.services.identity import Identity

    secret = password.take("password", name, from_stdin=password_stdin)
    Identity(here()).add_user(name, role, secret, by=caller())
    settings = here().settings.admin
    place = settings.base_url or f"http://localhost:{settings.port}"
    say(f"User '{name}' may sign in: {place}/admin")


@app.command("password")
def set_password(name: _Name, password_stdin: _PasswordStdin = False) -> None:
    """Give a user a new password; every session and API token of that user ends."""
    from concord.services.identity import Identity

    here().users.get(name)
    secret = password.take("password", name, from_stdin=password_stdin)
    Identity(here()).set_password(name, secret, by=caller())
    say(f"User '{name}' has a new password; every browser is signed out, every API token revoked.")


@app.command("role")
def set_role(name: _Name, role: Annotated[Role, typer.Argument(help="viewer, operator or admin.")]) -> None:
    """Change what a user may do, at once."""
    from concord.services.identity import Identity

    Identity(here()).change_user(name, role=role, by=caller())
    say(f"User '{name}' is {role} now.")


@app.command()
def enable(name: _Name) -> None:
    """Let a user sign in again."""
    _switch(name, enabled=True)


@app.command()
def disable(name: _Name) -> None:
    """Keep a user out: no session, no token works until enabled again."""
    _switch(name, enabled=False)


@app.command()
def remove(
    name: _Name,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask; without a terminal nothing is asked.")] = False,
) -> None:
    """Remove a user, with all sessions and tokens. What the audit has stays."""
    from concord.services.identity import Identity

    here().users.get(name)
    if not yes and is_watched():
        typer.confirm(f"Remove the user '{shown(name)}' and all tokens?", abort=True, err=True)
    Identity(here()).remove_user(name, by=caller())
    say(f"User '{name}' is removed.")


def _switch(name: str, *, enabled: bool) -> None:
    from concord.services.identity import Identity

    Identity(here()).change_user(name, enabled=enabled, by=caller())
    say(f"User '{name}' {'may sign in' if enabled else 'may not sign in any more'}.")
