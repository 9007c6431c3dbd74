"""Logging in without a password: applications registered with a provider, and what mailboxes granted them (RFC 6749).

Secrets and tokens are ciphertext here; only the vault can open them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final


class OAuthProvider(StrEnum):
    """Whose sign-in it is."""

    GOOGLE = "google"
    MICROSOFT = "microsoft"
    OTHER = "other"  # any with OpenID discovery


class OAuthFlow(StrEnum):
    """How an account gets its tokens."""

    CODE = "code"  # a person signs in in a browser, with PKCE (RFC 7636)
    APP_ONLY = "app_only"  # the application itself, by its secret (RFC 6749, section 4.4)


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthPreset:
    """What is known of a provider's sign-in. Scopes of `openid` make it tell who signed in."""

    name: str
    scopes: tuple[str, ...]
    app_scopes: tuple[str, ...] = ()  # of app-only access; none: not offered
    parameters: Mapping[str, str] = field(default_factory=dict)  # of the authorisation request
    mail_scope: str = ""  # without it, no mail; people may untick it
    help: str = ""  # where an application is registered, and how


PRESETS: Final[Mapping[OAuthProvider, OAuthPreset]] = {
    OAuthProvider.GOOGLE: OAuthPreset(
        name="Google",
        scopes=("openid", "email", "https://mail.google.com/"),
        # Without both, Google gives a refresh token at the very first consent only.
        parameters={"access_type": "offline", "prompt": "consent"},
        mail_scope="https://mail.google.com/",
        help="https://developers.google.com/workspace/gmail/imap/xoauth2-protocol",
    ),
    OAuthProvider.MICROSOFT: OAuthPreset(
        name="Microsoft",
        scopes=("openid", "email", "offline_access", "https://outlook.office.com/IMAP.AccessAsUser.All"),
        app_scopes=("https://outlook.office365.com/.default",),
        parameters={"prompt": "select_account"},
        mail_scope="https://outlook.office.com/IMAP.AccessAsUser.All",
        help=(
            "https://learn.microsoft.com/exchange/client-developer/legacy-protocols/"
            "how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth"
        ),
    ),
    OAuthProvider.OTHER: OAuthPreset(name="OpenID", scopes=("openid", "email", "offline_access")),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthClient:
    """An application as the operator registered it. Accounts name it."""

    id: int = 0
    name: str
    provider: OAuthProvider
    client_id: str
    secret: bytes = field(default=b"", repr=False)  # ciphertext; empty for a public client
    tenant: str | None = None  # Microsoft's directory; None: any organisation's
    issuer: str | None = None  # where .well-known/openid-configuration lies; needed for `other`, else another cloud's
    scopes: tuple[str, ...] = ()  # none: the preset's
    created_at: datetime | None = None

    @property
    def preset(self) -> OAuthPreset:
        """What is known of its provider."""
        return PRESETS[self.provider]

    @property
    def offers_app_only(self) -> bool:
        """Whether accounts may be opened without a person."""
        return bool(self.secret) and (bool(self.preset.app_scopes) or self.provider is OAuthProvider.OTHER)

    def scopes_of(self, flow: OAuthFlow) -> tuple[str, ...]:
        """What is asked for."""
        if flow is OAuthFlow.APP_ONLY:
            return self.preset.app_scopes or tuple(one for one in self.scopes if one not in _OF_PEOPLE)
        return self.scopes or self.preset.scopes


# They make no sense where nobody signs in.
_OF_PEOPLE: Final = ("openid", "email", "profile", "offline_access")


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthGrant:
    """What one mailbox granted. `refused_at` is the first refusal since it last worked: an alarm."""

    account_id: int
    client_id: int
    flow: OAuthFlow = OAuthFlow.CODE
    refresh_token: bytes = field(default=b"", repr=False)  # ciphertext; empty for app-only
    access_token: bytes = field(default=b"", repr=False)  # ciphertext; empty until there is one
    expires_at: datetime | None = None  # of the access token
    granted_at: datetime
    refreshed_at: datetime | None = None
    refused_at: datetime | None = None
    error_code: str | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthRequest:
    """A consent that somebody's browser was sent away for; used once. `user_id` is None at the command line."""

    state: bytes = field(repr=False)  # SHA-256 of the parameter
    verifier: bytes = field(repr=False)  # PKCE's, ciphertext
    nonce: str = field(repr=False)
    client_id: int
    account_id: int
    user_id: int | None
    redirect_uri: str
    created_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What a provider answered, opened; never stored like this."""

    access_token: str = field(repr=False)
    refresh_token: str | None = field(default=None, repr=False)  # None: the former one stays good
    expires_at: datetime
    scopes: frozenset[str] | None = None  # None: those that were asked for
    signed_in: str | None = None  # who, by the provider's word; None where it does not tell


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """Where a browser is sent, and what must be known when it comes back."""

    url: str
    state: str = field(repr=False)
    verifier: str = field(repr=False)
    nonce: str = field(repr=False)
