"""Applications registered with OAuth2 providers. Their secrets are sealed here and shown nowhere."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from concord.auditing import audited
from concord.errors import ExistsError, Mistake, MistakesError, NotFoundError, SecretKeyError, UsageError
from concord.model.binding import of_client
from concord.model.caller import Caller
from concord.model.oauth import OAuthClient
from concord.pipeline.oauth_check import client_mistakes
from concord.services.differences import differing

if TYPE_CHECKING:
    from concord.bootstrap import Concord

CALLBACK = "/admin/oauth/callback"


def redirect_uri(parts: Concord) -> str:
    """What must be registered with the provider, letter by letter."""
    settings = parts.settings.admin
    return f"{settings.base_url or f'http://localhost:{settings.port}'}{CALLBACK}"


def save(parts: Concord, client: OAuthClient, *, secret: str | None, replacing: bool, by: Caller) -> OAuthClient:
    """Add one, or change the one of that name; without a secret the former one stays.

    Raises MistakesError, ExistsError, NotFoundError, SecretKeyError.
    """
    before = _find(parts, client.name)
    _refuse_mistakes(before, client, secret)
    if before and not replacing:
        raise ExistsError("oauth_client", oauth_client=client.name)
    if replacing and not before:
        raise NotFoundError("oauth_client", oauth_client=client.name)
    told = differing(document(before) if before else {}, document(client), *(("secret",) if secret else ()))
    verb = "edit" if before else "add"
    with audited(parts.audit, by, f"oauth_client.{verb}", client.name, detail=told or "nothing changed"):
        kept = before.secret if before else b""
        sealed = parts.sealing().seal(secret, of_client(client)) if secret else _bound(parts, client, kept)
        return parts.oauth_clients.save(replace(client, secret=sealed))


def remove(parts: Concord, name: str, *, by: Caller) -> None:
    """Raises NotFoundError; ConflictError where an account logs in with it."""
    with audited(parts.audit, by, "oauth_client.remove", name):
        parts.oauth_clients.remove(name)


def document(client: OAuthClient) -> dict[str, Any]:
    """The written form; its secret is never in it."""
    return {
        "name": client.name,
        "provider": client.provider.value,
        "client_id": client.client_id,
        "tenant": client.tenant,
        "issuer": client.issuer,
        "scopes": list(client.scopes),
    }


def _refuse_mistakes(before: OAuthClient | None, client: OAuthClient, secret: str | None) -> None:
    mistakes = list(client_mistakes(client, secret))
    if before and before.secret and not secret and _elsewhere(before, client):
        error = UsageError("secret_elsewhere")
        mistakes.append(Mistake(("secret",), error))
    if mistakes:
        raise MistakesError("oauth_client", mistakes=tuple(mistakes), oauth_client=client.name)


def _bound(parts: Concord, client: OAuthClient, kept: bytes) -> bytes:
    """The kept secret, bound to its provider where an older version sealed it; unchanged where it does not open."""
    with suppress(SecretKeyError):
        return parts.vault.reseal(kept, of_client(client)) if kept else kept
    return kept


def _elsewhere(before: OAuthClient, after: OAuthClient) -> bool:
    """Whether the secret would be sent to another provider: changing a client must not reveal its secret."""
    return of_client(before) != of_client(after)


def _find(parts: Concord, name: str) -> OAuthClient | None:
    return next((one for one in parts.oauth_clients.all() if one.name == name), None)
