"""`concord oauth`: signing in to mailboxes at Google, Microsoft and others, and the apps for it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import parse_qs, urlsplit

import typer

from concord.cli import password
from concord.cli.identity import caller
from concord.cli.options import AccountName, Json
from concord.cli.output import emit, say, table, warn
from concord.cli.session import here
from concord.cli.sync import tell_trouble
from concord.errors import MistakesError, UsageError
from concord.model.oauth import OAuthClient, OAuthProvider

if TYPE_CHECKING:
    from concord.services.oauth import SignedIn

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="OAuth2: mailboxes that a provider opens without a password."
)
clients = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Apps that you registered with Google, Microsoft or another."
)
app.add_typer(clients, name="client")

_Name = Annotated[str, typer.Argument(metavar="NAME", help="The OAuth2 client.")]


@clients.command("list")
def list_clients(json: Json = False) -> None:
    """Show all apps, and the redirect URI to register with their providers."""
    from concord.services import oauth_clients

    found, place = here().oauth_clients.all(), oauth_clients.redirect_uri(here())
    if json:
        emit({"redirect_uri": place, "clients": [_document(one) for one in found]})
        return
    say(f"Redirect URI to register with the provider: {place}")
    if not found:
        say("No OAuth2 clients yet. Add one: concord oauth client add NAME --provider google --client-id ID")
        return
    rows = [(one.name, one.provider, one.client_id, bool(one.secret), one.tenant or one.issuer) for one in found]
    table(("Name", "Provider", "Client id", "Secret", "Tenant or issuer"), rows)


@clients.command("add")
def add_client(
    name: _Name,
    provider: Annotated[OAuthProvider, typer.Option("--provider", help="other: any with OpenID discovery.")],
    client_id: Annotated[str, typer.Option("--client-id", help="As the provider shows it.")],
    secret_stdin: Annotated[
        bool, typer.Option("--secret-stdin", help="Read its secret from standard input, or ask at a terminal.")
    ] = False,
    tenant: Annotated[
        str | None, typer.Option("--tenant", help="Microsoft's directory; else any organisation's.")
    ] = None,
    issuer: Annotated[str | None, typer.Option("--issuer", metavar="URL", help="Needed for --provider other.")] = None,
    scope: Annotated[list[str] | None, typer.Option("--scope", help="In place of the usual ones; repeatable.")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Change the client of that name; its secret stays.")
    ] = False,
) -> None:
    """Add an app that you registered with its provider. Without a secret it is a public one."""
    from concord.services import oauth_clients

    client = OAuthClient(
        name=name, provider=provider, client_id=client_id, tenant=tenant, issuer=issuer, scopes=tuple(scope or ())
    )
    here().sealing()
    secret = password.take("secret", name, from_stdin=True) if secret_stdin else None
    try:
        oauth_clients.save(here(), client, secret=secret or None, replacing=replace, by=caller())
    except MistakesError as error:
        raise error.mistakes[0].error from None
    say(f"OAuth2 client '{name}' is kept. Register this redirect URI: {oauth_clients.redirect_uri(here())}")
    say(f"Then sign in: concord oauth login ACCOUNT --client {name}")


@clients.command("remove")
def remove_client(name: _Name) -> None:
    """Forget an app that no account logs in with. At the provider it stays registered."""
    from concord.services import oauth_clients

    oauth_clients.remove(here(), name, by=caller())
    say(f"OAuth2 client '{name}' is removed.")


@app.command()
def login(
    name: AccountName,
    client: Annotated[str | None, typer.Option("--client", help="The OAuth2 client; else the account's own.")] = None,
    app_only: Annotated[
        bool, typer.Option("--app-only", help="By the client's own secret; nobody has to sign in.")
    ] = False,
) -> None:
    """Sign in for a mailbox: open the address shown in a browser, then paste the address that it ends at."""
    from concord.services import oauth

    if app_only:
        _tell(oauth.app_only(here(), name, client, by=caller()))
        return
    begun = oauth.begin(here(), name, client, by=caller())
    say(f"Open this address in a browser, and sign in as {here().accounts.get(name).user}:")
    say(begun.url)
    said = _pasted()
    if "error" in said:
        raise oauth.declined(
            here(), said.get("state", ""), said["error"], said.get("error_description", ""), by=caller()
        )
    _tell(oauth.finish(here(), said["state"], said["code"], by=caller()))


def _pasted() -> dict[str, str]:
    """From a terminal or a pipe: the browser's last address, which may show an error page of Concord's or none."""
    if sys.stdin.isatty():
        text = str(typer.prompt("The address that the browser ends at", hide_input=True))
    else:
        text = sys.stdin.readline()
    said = {key: values[0] for key, values in parse_qs(urlsplit(text.strip()).query).items()}
    if not said.get("error") and not (said.get("code") and said.get("state")):
        raise UsageError("callback_address")
    return said


def _tell(done: SignedIn) -> None:
    tell_trouble(done.schedule)
    account = done.account
    if done.is_somebody_else:
        warn(f"Signed in as {done.who}, while the account logs in as {account.user}: right for a shared mailbox only.")
    say(f"Account '{account.name}' logs in with the OAuth2 client '{account.oauth_client}'.")
    say(f"Try it: concord account test {account.name}")


def _document(client: OAuthClient) -> dict[str, Any]:
    from concord.services import oauth_clients

    return oauth_clients.document(client) | {"secret": "set" if client.secret else "missing"}
