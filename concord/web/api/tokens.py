"""API tokens of whoever asks; an admin sees and revokes everybody's."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated, ClassVar

from fastapi import Depends
from pydantic import Field

from concord.model.user import ApiToken, Permission
from concord.services.identity import LONGEST_TOKEN_DAYS, Identity
from concord.web.proof import prove
from concord.web.rest import Model, Page, api_router, needs, not_found
from concord.web.visitor import Parts, Visitor, api

router = api_router("tokens", tag="Access")

Reader = Annotated[Visitor, Depends(api(Permission.READ))]


class TokenOut(Model):
    """A token, without its secret."""

    id: int
    name: str
    user: str
    hint: str = Field(description="Its first characters.")
    scopes: list[Permission]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None

    @classmethod
    def of(cls, token: ApiToken) -> TokenOut:
        """As the API tells it."""
        return cls(
            id=token.id,
            name=token.name,
            user=token.user,
            hint=token.hint,
            scopes=sorted(token.scopes),
            created_at=token.created_at,
            expires_at=token.expires_at,
            last_used_at=token.last_used_at,
            revoked_at=token.revoked_at,
        )


class TokenMade(TokenOut):
    """A fresh token: the only time that it is shown."""

    shown_once: ClassVar = ("token",)

    token: str


class TokenIn(Model):
    """What is wanted of a token."""

    name: str = Field(min_length=1, max_length=100, description="What it is for.")
    scopes: list[Permission] = Field(min_length=1)
    days: int | None = Field(default=90, ge=1, le=LONGEST_TOKEN_DAYS, description="Until it expires; null: never.")


@router.get("", openapi_extra=needs(Permission.READ))
def list_tokens(me: Reader, parts: Parts) -> Page[TokenOut]:
    """The newest first: one's own; for an admin, everybody's."""
    mine = None if me.may(Permission.ADMIN) else me.user.id
    return Page(items=[TokenOut.of(token) for token in parts.api_tokens.all(user_id=mine)])


@router.post("", status_code=HTTPStatus.CREATED, openapi_extra=needs(Permission.READ))
def create_token(wanted: TokenIn, me: Reader, parts: Parts) -> TokenMade:
    """Make a token of one's own, with no more than the asking token's scopes."""
    prove(parts, me)
    scopes = frozenset(wanted.scopes)
    Identity.refuse_beyond(scopes, me.permissions)
    token, kept = Identity(parts).create_token(me.user, wanted.name, scopes, days=wanted.days, by=me.caller)
    return TokenMade(**TokenOut.of(kept).model_dump(), token=token)


@router.delete("/{token_id}", openapi_extra=needs(Permission.READ), responses=not_found())
def revoke_token(token_id: int, me: Reader, parts: Parts) -> TokenOut:
    """It opens nothing any more; it stays in the list."""
    of = None if me.may(Permission.ADMIN) else me.user
    return TokenOut.of(Identity(parts).revoke_token(token_id, of=of, by=me.caller))
