"""Where a provider's parts are: known for Google and Microsoft, asked of any other (OpenID Connect Discovery 1.0)."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from concord.adapters.oauth.http import ProviderHttp
from concord.errors import ProviderDownError
from concord.model.oauth import OAuthClient, OAuthProvider

DOCUMENT: Final = "/.well-known/openid-configuration"
# Microsoft's word for "any organisation's directory"; its other one, "common", adds personal accounts.
ANY_TENANT: Final = "organizations"
_KEPT_SECONDS: Final = 3600
_MICROSOFT: Final = "https://login.microsoftonline.com"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """URLs, and how the client says who it is: post, basic or none. `{tenantid}` in the issuer is the user's."""

    issuer: str
    authorize: str
    token: str
    keys: str
    auth_method: str = "client_secret_post"


GOOGLE: Final = Endpoints(
    issuer="https://accounts.google.com",
    authorize="https://accounts.google.com/o/oauth2/v2/auth",
    token="https://oauth2.googleapis.com/token",  # noqa: S106 - an address
    keys="https://www.googleapis.com/oauth2/v3/certs",
)


class EndpointBook:
    """Looks them up, and remembers for an hour what a provider said."""

    def __init__(self, http: ProviderHttp) -> None:
        self._http = http
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, Endpoints]] = {}

    def of(self, client: OAuthClient) -> Endpoints:
        """Raises ProviderDownError, MailboxForbiddenError."""
        if client.issuer:
            return self._discovered(client.issuer.rstrip("/"))
        if client.provider is OAuthProvider.GOOGLE:
            return GOOGLE
        if client.provider is OAuthProvider.MICROSOFT:
            return microsoft(client.tenant or ANY_TENANT)
        raise ProviderDownError("no_issuer", oauth_client=client.name)

    def _discovered(self, issuer: str) -> Endpoints:
        with self._lock:
            until, known = self._known.get(issuer, (0.0, None))
        if known and time.monotonic() < until:
            return known
        answer = self._http.get(issuer + DOCUMENT)
        document = answer.json()
        if not isinstance(document, dict):
            raise answer.nonsense()
        found = _read(document, issuer)
        with self._lock:
            self._known[issuer] = (time.monotonic() + _KEPT_SECONDS, found)
        return found


def microsoft(tenant: str) -> Endpoints:
    """Of one directory, or of any."""
    base = f"{_MICROSOFT}/{tenant}"
    return Endpoints(
        issuer=f"{_MICROSOFT}/{{tenantid}}/v2.0",
        authorize=f"{base}/oauth2/v2.0/authorize",
        token=f"{base}/oauth2/v2.0/token",
        keys=f"{base}/discovery/v2.0/keys",
    )


def _read(document: Mapping[str, Any], issuer: str) -> Endpoints:
    """A document that names another issuer is another's (section 4.3)."""
    named = document.get("issuer")
    if not isinstance(named, str) or named.rstrip("/") != issuer:
        raise ProviderDownError("other_issuer", issuer=issuer, named=named)
    places = [document.get(key) for key in ("authorization_endpoint", "token_endpoint", "jwks_uri")]
    if not all(isinstance(place, str) and urlsplit(place).scheme == "https" for place in places):
        raise ProviderDownError("endpoint_missing", issuer=issuer)
    authorize, token, keys = map(str, places)
    offered = document.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
    method = "client_secret_post" if "client_secret_post" in offered else "client_secret_basic"
    return Endpoints(issuer=named, authorize=authorize, token=token, keys=keys, auth_method=method)
