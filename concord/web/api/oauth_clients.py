"""Applications registered with OAuth2 providers. Their secrets go in and never come out."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Path, Response
from pydantic import Field, SecretStr

from concord.bootstrap import Concord
from concord.model.oauth import OAuthClient, OAuthProvider
from concord.model.user import Permission
from concord.services import oauth_clients
from concord.web.rest import Model, Page, api_router, needs, not_found
from concord.web.visitor import Parts, Visitor, api

router = api_router("oauth-clients", tag="OAuth2")

Reader = Annotated[Visitor, Depends(api(Permission.READ))]
Configurer = Annotated[Visitor, Depends(api(Permission.CONFIGURE))]
Name = Annotated[str, Path(max_length=64)]
Text = Annotated[str, Field(max_length=500)]
Scopes = Annotated[list[Text], Field(max_length=20)]
Secret = Annotated[SecretStr, Field(max_length=2000)]


class OAuthClientOut(Model):
    """An application; of its secret only whether there is one."""

    name: str
    provider: OAuthProvider
    client_id: str
    has_secret: bool
    tenant: str | None
    issuer: str | None
    scopes: list[str] = Field(description="Empty: the usual ones of the provider.")
    created_at: datetime | None
    redirect_uri: str = Field(description="What must be registered with the provider, letter by letter.")

    @classmethod
    def of(cls, client: OAuthClient, parts: Concord) -> OAuthClientOut:
        """As the API tells it."""
        said = oauth_clients.document(client)
        place = oauth_clients.redirect_uri(parts)
        return cls(**said, has_secret=bool(client.secret), created_at=client.created_at, redirect_uri=place)


class OAuthClientChange(Model):
    """The application as it is to be. Without a secret the present one stays."""

    provider: OAuthProvider
    client_id: Text
    secret: Secret | None = None
    tenant: Text | None = Field(default=None, description="Microsoft's directory; null: any organisation's.")
    issuer: Text | None = Field(default=None, description="Needed for `other`; else another cloud's.")
    scopes: Scopes = Field(default_factory=list)

    def read(self, name: str) -> OAuthClient:
        """As the service wants it."""
        said = self.model_dump(exclude={"secret", "scopes", "name"})
        return OAuthClient(**said, name=name, scopes=tuple(self.scopes))

    @property
    def opened(self) -> str | None:
        """The secret, if one is given."""
        return self.secret.get_secret_value() if self.secret else None


class OAuthClientIn(OAuthClientChange):
    """A new application."""

    name: str = Field(max_length=64)


@router.get("", openapi_extra=needs(Permission.READ))
def list_clients(_me: Reader, parts: Parts) -> Page[OAuthClientOut]:
    """All, by name."""
    return Page(items=[OAuthClientOut.of(one, parts) for one in parts.oauth_clients.all()])


@router.post("", status_code=HTTPStatus.CREATED, openapi_extra=needs(Permission.CONFIGURE))
def add_client(wanted: OAuthClientIn, me: Configurer, parts: Parts) -> OAuthClientOut:
    """Register an application here that is registered with its provider."""
    client = wanted.read(wanted.name)
    made = oauth_clients.save(parts, client, secret=wanted.opened, replacing=False, by=me.caller)
    return OAuthClientOut.of(made, parts)


@router.get("/{name}", openapi_extra=needs(Permission.READ), responses=not_found())
def show_client(name: Name, _me: Reader, parts: Parts) -> OAuthClientOut:
    """One application."""
    return OAuthClientOut.of(parts.oauth_clients.get(name), parts)


@router.put("/{name}", openapi_extra=needs(Permission.CONFIGURE), responses=not_found())
def change_client(name: Name, wanted: OAuthClientChange, me: Configurer, parts: Parts) -> OAuthClientOut:
    """Change it. With another provider, issuer or client id its mailboxes have to sign in again."""
    parts.oauth_clients.get(name)
    made = oauth_clients.save(parts, wanted.read(name), secret=wanted.opened, replacing=True, by=me.caller)
    return OAuthClientOut.of(made, parts)


@router.delete(
    "/{name}", status_code=HTTPStatus.NO_CONTENT, openapi_extra=needs(Permission.CONFIGURE), responses=not_found()
)
def remove_client(name: Name, me: Configurer, parts: Parts) -> Response:
    """Unless a mailbox logs in with it."""
    oauth_clients.remove(parts, name, by=me.caller)
    return Response(status_code=HTTPStatus.NO_CONTENT)
