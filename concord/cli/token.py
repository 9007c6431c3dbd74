"""`concord token`: a program's way into the API."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from concord.cli.identity import caller
from concord.cli.options import Json
from concord.cli.output import aside, emit, plain, say, table
from concord.cli.session import here
from concord.model.user import Permission

if TYPE_CHECKING:
    from concord.model.user import ApiToken

app = typer.Typer(no_args_is_help=True, add_completion=False, help="API tokens: a program's way in.")


@app.command("list")
def list_tokens(json: Json = False) -> None:
    """Show all tokens, the newest first; none of them is ever shown again."""
    tokens = here().api_tokens.all()
    if json:
        emit([plain(token) | {"scopes": sorted(token.scopes)} for token in tokens])
    elif not tokens:
        say("No tokens yet. Make one: concord token create NAME --user USER --scope read")
    else:
        table(("ID", "Name", "User", "Begins with", "Scopes", "Expires", "Last used"), [_row(one) for one in tokens])


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What it is for.")],
    user: Annotated[str, typer.Option("--user", help="Whose it is: it does no more than that user's role.")],
    scope: Annotated[list[Permission], typer.Option("--scope", help="What it may do; may be repeated.")],
    days: Annotated[int, typer.Option("--days", min=1, help="Days until it expires.")] = 90,
    never: Annotated[bool, typer.Option("--never", help="It does not expire.")] = False,
    json: Json = False,
) -> None:
    """Make a token, and print it: it is shown this once."""
    from concord.services.identity import Identity

    owner = here().users.get(user)
    token, kept = Identity(here()).create_token(owner, name, scope, days=None if never else days, by=caller())
    if json:
        emit(plain(kept) | {"scopes": sorted(kept.scopes), "token": token})
        return
    print(token)
    aside(
        f"Use it as 'Authorization: Bearer …'. It is not shown again; take it back with: concord token revoke {kept.id}"
    )


@app.command()
def revoke(token: Annotated[int, typer.Argument(metavar="ID", min=1, help="The token's number.")]) -> None:
    """Make a token open nothing any more, at once."""
    from concord.services.identity import Identity

    gone = Identity(here()).revoke_token(token, by=caller())
    say(f"Token '{gone.name}' is revoked.")


def _row(token: ApiToken) -> tuple[object, ...]:
    ends = "revoked" if token.revoked_at else token.expires_at or "never"
    return (
        token.id,
        token.name,
        token.user,
        f"{token.hint}…",
        ", ".join(sorted(token.scopes)),
        ends,
        token.last_used_at,
    )
