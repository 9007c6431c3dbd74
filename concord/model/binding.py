"""What a stored secret is bound to, so that nobody who can write the database moves it to another place.

A binding is the associated data (AEAD) of a seal. A secret opens only where each fact is as it was when it was sealed:
a password goes to no other server than the one it was given for.
"""

from __future__ import annotations

import json
from hashlib import sha256
from typing import Final

from concord.model.account import Account
from concord.model.oauth import OAuthClient
from concord.model.rule import HandlerSpec

Binding = bytes

_VERSION: Final = 1


def bind(purpose: str, row: str | int, *facts: str | int | None) -> Binding:
    """Return the associated data of one secret. JSON quotes each fact, so that no two lists look alike."""
    return json.dumps([_VERSION, purpose, row, *facts], ensure_ascii=True, separators=(",", ":")).encode()


def bound_to(binding: Binding) -> str:
    """Return what a person calls the place: "password of 'office'"."""
    _, purpose, row, *_facts = json.loads(binding)
    return f"{purpose} of '{row}'" if row else str(purpose)


def of_password(account: Account) -> Binding:
    """A mailbox's password: its server, and how that proves itself."""
    return bind("password", account.name, *_server(account))


def of_handler(handler: HandlerSpec) -> Binding:
    """A handler's secret: the kind that reads it, and all options, since a plug-in names its address as it likes."""
    options = json.dumps(handler.options, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return bind("handler secret", handler.name, handler.kind, sha256(options.encode()).hexdigest())


def of_client(client: OAuthClient) -> Binding:
    """An OAuth2 client's secret: the provider that it is sent to."""
    return bind("OAuth2 client secret", client.name, *_provider(client))


def of_refresh_token(account: Account, client: OAuthClient) -> Binding:
    """A refresh token: the provider that it is sent to, and the server that gets what it is good for."""
    return bind("refresh token", account.name, *_server(account), *_provider(client))


def of_access_token(account: Account, client: OAuthClient) -> Binding:
    """An access token: the server that it is sent to, and the provider that made it."""
    return bind("access token", account.name, *_server(account), *_provider(client))


def of_verifier(state: bytes, client: OAuthClient) -> Binding:
    """PKCE's verifier of one sign-in: the provider that it is sent to."""
    return bind("PKCE verifier", state.hex(), *_provider(client))


def of_answer(owner: str, key: str, fingerprint: str) -> Binding:
    """An answer of the API, kept for one caller, one Idempotency-Key and one call."""
    return bind("kept answer", owner, key, fingerprint)


def of_ring_key(fingerprint: str, wrapped_by: str) -> Binding:
    """A key of the ring: nothing else opens with it, and it opens as nothing else."""
    return bind("ring key", fingerprint, wrapped_by)


def of_list(user_id: int) -> Binding:
    """A list of mailboxes that one person sent to be imported."""
    return bind("account list", user_id)


def _server(account: Account) -> tuple[str | int | None, ...]:
    pasted = (sha256(account.ca_pem.encode()).hexdigest(),) if account.ca_pem else ()
    return account.host.lower().rstrip("."), account.port, account.tls.value, account.ca_file, *pasted


def _provider(client: OAuthClient) -> tuple[str | None, ...]:
    return client.provider.value, client.issuer, client.client_id


# The value by which a database knows its key. Where it is bound, every secret of the database is.
CHECK: Final = bind("check value", "")
