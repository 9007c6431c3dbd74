"""Who signed in, by the provider's signed word (OpenID Connect Core 1.0, section 3.1.3.7)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from joserfc import jwt
from joserfc.errors import ExpiredTokenError, InvalidClaimError, JoseError
from joserfc.jwk import KeySet

from concord.adapters.oauth.endpoints import Endpoints
from concord.adapters.oauth.http import ProviderHttp
from concord.errors import ConsentFailedError
from concord.model.oauth import OAuthClient, OAuthProvider

# Signatures that only the provider can make; never "none", nor a shared secret.
_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
_LEEWAY: Final = 120
_NAMES: Final = ("email", "preferred_username", "upn", "sub")
_TIMES: Final = ("exp", "iat", "nbf")


def signed_in(
    token: str, client: OAuthClient, endpoints: Endpoints, http: ProviderHttp, *, nonce: str, now: datetime
) -> str:
    """The mail address or name. `now` is by the provider's clock. Raises ConsentFailedError, ProviderDownError."""
    answer = http.get(endpoints.keys)
    try:
        keys = KeySet.import_key_set(answer.json())
    except (JoseError, ValueError, TypeError, KeyError):
        raise answer.nonsense() from None
    try:
        claims: dict[str, Any] = jwt.decode(token, keys, algorithms=_ALGORITHMS).claims
        _check(claims, client, endpoints, nonce=nonce, now=now)
    except (InvalidClaimError, ExpiredTokenError) as error:
        raise _wrong(str(getattr(error, "claim", "exp")), client) from error
    except (JoseError, ValueError) as error:
        raise _refused(client, "the provider's signature is not good") from error
    return next((str(claims[name]) for name in _NAMES if claims.get(name)), "")


def _check(claims: Mapping[str, Any], client: OAuthClient, endpoints: Endpoints, *, nonce: str, now: datetime) -> None:
    tenant = str(claims.get("tid", ""))
    issuer = endpoints.issuer.replace("{tenantid}", tenant)
    registry = jwt.JWTClaimsRegistry(
        now=int(now.timestamp()),
        leeway=_LEEWAY,
        iss={"essential": True, "value": issuer},
        aud={"essential": True, "value": client.client_id},
        exp={"essential": True},
        iat={"essential": True},
        nonce={"essential": True, "value": nonce},
    )
    registry.validate(dict(claims))
    if client.provider is OAuthProvider.MICROSOFT and _is_id(client.tenant) and tenant != client.tenant:
        raise InvalidClaimError("tid", "another tenant")


def _is_id(tenant: str | None) -> bool:
    """A directory's number, in place of one of its names."""
    return tenant is not None and len(tenant) == 36 and tenant.count("-") == 4  # noqa: PLR2004 - a UUID's shape


def _wrong(claim: str, client: OAuthClient) -> ConsentFailedError:
    if claim in _TIMES:
        return _refused(client, "the provider's clock contradicts itself", "untrusted.clock")
    if claim == "tid":
        return _refused(
            client,
            "the account is of another tenant than the OAuth2 client",
            "untrusted.tenant",
        )
    if claim == "nonce":
        return _refused(client, "the answer belongs to another sign-in")
    return _refused(client, f"the provider's word is not for this application ({claim})")


def _refused(client: OAuthClient, cause: str, detail: str = "untrusted") -> ConsentFailedError:
    return ConsentFailedError(detail, oauth_client=client.name, cause=cause)
