"""Refusing OAuth2 clients that cannot work, before they are kept: each mistake with its place in the form."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Final
from urllib.parse import urlsplit

from concord.errors import Mistake, UsageError
from concord.model.oauth import OAuthClient, OAuthProvider

_NAME: Final = re.compile(r"[\w][\w .@+-]{0,63}")
# RFC 6749 appendix A: visible ASCII, which leaves out spaces and line ends.
_VISIBLE: Final = re.compile(r"[\x21-\x7e]+")
_SCOPE: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,500}")
_TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,253}")
_LONGEST: Final = 500
_LONGEST_SECRET: Final = 2000
_MOST_SCOPES: Final = 20


def client_mistakes(client: OAuthClient, secret: str | None) -> Iterator[Mistake]:
    """All that is wrong with it; the secret is never shown."""
    checks: tuple[tuple[str, Callable[[], None]], ...] = (
        ("name", lambda: _check_name(client)),
        ("client_id", lambda: _check_id(client)),
        ("secret", lambda: _check_secret(secret)),
        ("tenant", lambda: _check_tenant(client)),
        ("issuer", lambda: _check_issuer(client)),
        ("scopes", lambda: _check_scopes(client)),
    )
    for key, check in checks:
        try:
            check()
        except UsageError as error:
            yield Mistake((key,), error)


def _check_name(client: OAuthClient) -> None:
    if not _NAME.fullmatch(client.name):
        raise UsageError("oauth_client_name", oauth_client=client.name)


def _check_id(client: OAuthClient) -> None:
    if not _VISIBLE.fullmatch(client.client_id) or len(client.client_id) > _LONGEST:
        raise UsageError("client_id")


def _check_secret(secret: str | None) -> None:
    if secret and (not _VISIBLE.fullmatch(secret) or len(secret) > _LONGEST_SECRET):
        raise UsageError("client_secret")


def _check_tenant(client: OAuthClient) -> None:
    if client.tenant is not None and not _TENANT.fullmatch(client.tenant):
        raise UsageError("tenant", tenant=client.tenant)


def _check_issuer(client: OAuthClient) -> None:
    if client.issuer is None:
        if client.provider is OAuthProvider.OTHER:
            raise UsageError("issuer_missing")
        return
    try:
        place = urlsplit(client.issuer)
        fits = place.scheme == "https" and place.hostname and place.port != 0
    except ValueError:
        fits = False
        place = urlsplit("")
    if not fits or place.query or place.fragment or place.username or not _VISIBLE.fullmatch(client.issuer):
        raise UsageError("issuer")


def _check_scopes(client: OAuthClient) -> None:
    if len(client.scopes) > _MOST_SCOPES or not all(_SCOPE.fullmatch(scope) for scope in client.scopes):
        raise UsageError("scopes")
