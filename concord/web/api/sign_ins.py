"""Signing in to mailboxes at OAuth2 providers. Tokens never come out."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from fastapi import Depends, Path
from pydantic import Field, SecretStr

from concord.model.account import AuthKind
from concord.model.user import Permission
from concord.services import oauth
from concord.web.api.story import Story, WithStory
from concord.web.rest import Model, api_router, needs, not_found
from concord.web.visitor import Parts, Visitor, api

router = api_router("sign-ins", tag="OAuth2")

Reader = Annotated[Visitor, Depends(api(Permission.READ))]
Configurer = Annotated[Visitor, Depends(api(Permission.CONFIGURE))]
Account = Annotated[str, Field(max_length=100, description="The mailbox's name.")]
Name = Annotated[str, Path(max_length=100)]
Client = Annotated[str | None, Field(max_length=64, description="The OAuth2 client; null: the mailbox's own.")]
Word = Annotated[SecretStr, Field(max_length=4096)]


class SignInOut(WithStory):
    """How a mailbox logs in, and how that goes."""

    account: str
    auth: AuthKind
    oauth_client: str | None
    signed_in: bool
    granted_at: datetime | None = None
    refreshed_at: datetime | None = None
    expires_at: datetime | None = Field(default=None, description="Of the access token, which is renewed by itself.")
    refused_at: datetime | None = Field(default=None, description="Since when the provider takes it no longer.")
    error: Story = None


class SignInBegin(Model):
    """Which mailbox, with which client."""

    account: Account
    client: Client = None


class SignInBegun(Model):
    """Where a browser must go."""

    account: str
    client: str
    url: str
    expires_at: datetime


class SignInFinish(Model):
    """What the provider sent the browser back with."""

    state: Word
    code: Word


class SignInDone(Model):
    """The mailbox logs in with OAuth2 now."""

    account: str
    auth: AuthKind
    oauth_client: str | None
    signed_in_as: str | None = Field(description="Who it was, by the provider's word; null where it does not tell.")

    @classmethod
    def of(cls, done: oauth.SignedIn) -> SignInDone:
        """As the API tells it."""
        kept = done.account
        return cls(account=kept.name, auth=kept.auth, oauth_client=kept.oauth_client, signed_in_as=done.who)


@router.get("/{name}", openapi_extra=needs(Permission.READ), responses=not_found())
def show_sign_in(name: Name, _me: Reader, parts: Parts) -> SignInOut:
    """The sign-in of one mailbox."""
    account = parts.accounts.get(name)
    grant = parts.oauth_grants.get(account.id) if account.auth.is_oauth else None
    base = SignInOut(account=name, auth=account.auth, oauth_client=account.oauth_client, signed_in=False)
    if grant is None:
        return base
    return base.model_copy(
        update={
            "signed_in": bool(grant.refresh_token or grant.access_token) and grant.refused_at is None,
            "granted_at": grant.granted_at,
            "refreshed_at": grant.refreshed_at,
            "expires_at": grant.expires_at,
            "refused_at": grant.refused_at,
            "error": grant.error,
        }
    )


@router.post("", openapi_extra=needs(Permission.CONFIGURE), responses=not_found())
def begin_sign_in(wanted: SignInBegin, me: Configurer, parts: Parts) -> SignInBegun:
    """Begin one. A person's browser must go to `url` and be back at the redirect URI within ten minutes."""
    begun = oauth.begin(parts, wanted.account, wanted.client, by=me.caller)
    return SignInBegun(account=begun.account, client=begun.client.name, url=begun.url, expires_at=begun.expires_at)


@router.post("/finish", openapi_extra=needs(Permission.CONFIGURE))
def finish_sign_in(wanted: SignInFinish, me: Configurer, parts: Parts) -> SignInDone:
    """Finish one that the same user began, with what stands in the address the provider sent the browser to."""
    state, code = wanted.state.get_secret_value(), wanted.code.get_secret_value()
    return SignInDone.of(oauth.finish(parts, state, code, by=me.caller))


@router.post("/app-only", openapi_extra=needs(Permission.CONFIGURE), responses=not_found())
def open_app_only(wanted: SignInBegin, me: Configurer, parts: Parts) -> SignInDone:
    """Have the client's own secret open the mailbox; nobody has to sign in."""
    return SignInDone.of(oauth.app_only(parts, wanted.account, wanted.client, by=me.caller))
