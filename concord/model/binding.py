"""What a stored secret is bound to: whoever writes the database without the key must not move it to another place.

The words are associated data of the seal. A secret opens only where each of them is as it was when it was sealed, so
that a password goes to no other server than the one it was given for.
"""

from __future__ import annotations

import json
from typing import Final

from concord.model.account import Account
from concord.model.oauth import OAuthClient
from concord.model.rule import HandlerSpec

Binding = bytes

_VERSION: Final = 1


def bind(purpose: str, row: str | int, *facts: str | int | None) -> Binding:
    """The associated data of one secret. Unambiguous, since JSON quotes each word."""
    return json.dumps([_VERSION, purpose, row, *facts], ensure_ascii=True, separators=(",", ":")).encode()


def bound_to(binding: Binding) -> str:
    """What a person calls the place: "password of 'office'"."""
    _, purpose, row, *_facts = json.loads(binding)
    return f"{purpose} of '{row}'" if row else str(purpose)


def of_password(account: Account) -> Binding:
    """A mailbox's password: its server, and how that proves itself."""
    return bind("password", account.name, *_server(account))


def of_handler(handler: HandlerSpec) -> Binding:
    """A handler's secret: the kind that reads it, and where it goes."""
    url = handler.options.get("url")
    return bind("handler secret", handler.name, handler.kind, url if isinstance(url, str) else None)


def of_client(client: OAuthClient) -> Binding:
    """An OAuth2 client's secret: the provider that it is sent to."""
    return bind("OAuth2 client secret", client.name, *_provider(client))


def of_refresh_token(account: Account, client: OAuthClient) -> Binding:
    """It is sent to the provider; what that answers, to the mailbox's server."""
    return bind("refresh token", account.name, *_server(account), *_provider(client))


def of_access_token(account: Account, client: OAuthClient) -> Binding:
    """It is sent to the mailbox's server."""
    return bind("access token", account.name, *_server(account), *_provider(client))


def _server(account: Account) -> tuple[str | int | None, ...]:
    return account.host.lower().rstrip("."), account.port, account.tls.value, account.ca_file


def _provider(client: OAuthClient) -> tuple[str | None, ...]:
    return client.provider.value, client.issuer, client.client_id


# The value by which a database knows its key. Where it is bound, every secret of the database is.
CHECK: Final = bind("check value", "")
