"""Users of the admin site. For admins, but for who one is oneself."""

from __future__ import annotations

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Path, Response
from pydantic import Field, SecretStr

from concord.model.user import Permission, Role, User
from concord.services.identity import LONGEST, Identity
from concord.web.proof import prove
from concord.web.rest import Model, Page, api_router, needs, not_found
from concord.web.visitor import Parts, Visitor, api

router = api_router("users", tag="Access")

Anybody = Annotated[Visitor, Depends(api(Permission.READ))]
Admin = Annotated[Visitor, Depends(api(Permission.ADMIN))]
Name = Annotated[str, Path(max_length=64)]
Password = Annotated[SecretStr, Field(max_length=LONGEST)]


class UserOut(Model):
    """A user."""

    name: str
    role: Role
    enabled: bool
    created_at: datetime
    password_at: datetime
    last_login_at: datetime | None

    @classmethod
    def of(cls, user: User) -> UserOut:
        """As the API tells it."""
        return cls.model_validate({name: getattr(user, name) for name in cls.model_fields})


class WhoAmI(Model):
    """Who asks, and what they may."""

    name: str
    role: Role
    permissions: list[Permission] = Field(description="Of the role; with a token, those of its scopes too.")


class UserIn(Model):
    """Somebody new."""

    name: str = Field(max_length=64)
    role: Role
    password: Password


class UserChange(Model):
    """What is left out stays."""

    role: Role | None = None
    enabled: bool | None = None
    password: Password | None = None


@router.get("/me", openapi_extra=needs(Permission.READ))
def who_am_i(me: Anybody) -> WhoAmI:
    """Who the token belongs to, and what it may do."""
    return WhoAmI(name=me.user.name, role=me.user.role, permissions=sorted(me.permissions))


@router.get("", openapi_extra=needs(Permission.ADMIN))
def list_users(_me: Admin, parts: Parts) -> Page[UserOut]:
    """All, by name."""
    return Page(items=[UserOut.of(user) for user in parts.users.all()])


@router.post("", status_code=HTTPStatus.CREATED, openapi_extra=needs(Permission.ADMIN))
def add_user(wanted: UserIn, me: Admin, parts: Parts) -> UserOut:
    """Let somebody sign in."""
    prove(parts, me)
    password = wanted.password.get_secret_value()
    return UserOut.of(Identity(parts).add_user(wanted.name, wanted.role, password, by=me.caller))


@router.get("/{name}", openapi_extra=needs(Permission.ADMIN), responses=not_found())
def show_user(name: Name, _me: Admin, parts: Parts) -> UserOut:
    """One user."""
    return UserOut.of(parts.users.get(name))


@router.patch("/{name}", openapi_extra=needs(Permission.ADMIN), responses=not_found())
def change_user(name: Name, wanted: UserChange, me: Admin, parts: Parts) -> UserOut:
    """Change role, password, or whether the user may sign in; a new password ends every session and every token."""
    prove(parts, me)
    identity = Identity(parts)
    if wanted.password is not None:
        identity.set_password(name, wanted.password.get_secret_value(), by=me.caller)
    if wanted.role is not None or wanted.enabled is not None:
        identity.change_user(name, role=wanted.role, enabled=wanted.enabled, by=me.caller)
    return UserOut.of(parts.users.get(name))


@router.delete(
    "/{name}", status_code=HTTPStatus.NO_CONTENT, openapi_extra=needs(Permission.ADMIN), responses=not_found()
)
def remove_user(name: Name, me: Admin, parts: Parts) -> Response:
    """With all sessions and tokens."""
    prove(parts, me)
    Identity(parts).remove_user(name, by=me.caller)
    return Response(status_code=HTTPStatus.NO_CONTENT)
