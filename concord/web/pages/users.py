"""Users: who may sign in, and as what. For admins."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from concord.errors import ConcordError, ConflictError, UsageError
from concord.model.user import Permission, Role
from concord.services.identity import Identity
from concord.web.error_text import facts_of
from concord.web.flash import see_other
from concord.web.forms import Form, Posted
from concord.web.i18n import N_
from concord.web.problem import status_of
from concord.web.proof import NOT_PROVED, prove
from concord.web.render import render
from concord.web.visitor import Parts, Visitor, page

router = APIRouter(prefix="/admin/users", include_in_schema=False)

Admin = Annotated[Visitor, Depends(page(Permission.ADMIN))]
_LIST = "/admin/users"


@router.get("")
def users(request: Request, _me: Admin, parts: Parts) -> Response:
    """The list, and a form for a new one."""
    return _shown(request, parts)


@router.post("")
def add(request: Request, me: Admin, parts: Parts, form: Form) -> Response:
    """Somebody new."""
    try:
        prove(parts, me, form)
        made = Identity(parts).add_user(form.text("name"), _role(form), form.raw("password"), by=me.caller)
    except (UsageError, *NOT_PROVED) as error:
        return _shown(request, parts, error=error, form=form)
    return see_other(request, _LIST, N_("'%(name)s' may sign in now."), name=made.name)


@router.get("/{name}")
def user(request: Request, _me: Admin, parts: Parts, name: str) -> Response:
    """One, with all that can be done."""
    return _one(request, parts, name)


@router.post("/{name}/change")
def change(request: Request, me: Admin, parts: Parts, form: Form, name: str) -> Response:
    """Role, and whether the user may sign in at all."""
    try:
        prove(parts, me, form)
        Identity(parts).change_user(name, role=_role(form), enabled=form.has("enabled"), by=me.caller)
    except (ConflictError, *NOT_PROVED) as error:
        return _one(request, parts, name, error=error)
    return see_other(request, _LIST, N_("'%(name)s' is changed."), name=name)


@router.post("/{name}/password")
def set_password(request: Request, me: Admin, parts: Parts, form: Form, name: str) -> Response:
    """Every session and token of that user ends."""
    try:
        prove(parts, me, form)
        Identity(parts).set_password(name, form.raw("password"), by=me.caller)
    except (UsageError, *NOT_PROVED) as error:
        return _one(request, parts, name, error=error)
    return see_other(
        request,
        _LIST,
        N_("'%(name)s' has a new password; every browser is signed out, every API token revoked."),
        name=name,
    )


@router.post("/{name}/remove")
def remove(request: Request, me: Admin, parts: Parts, form: Form, name: str) -> Response:
    """With all sessions and tokens; what the audit has of the user stays."""
    try:
        prove(parts, me, form)
        Identity(parts).remove_user(name, by=me.caller)
    except (ConflictError, *NOT_PROVED) as error:
        return _one(request, parts, name, error=error)
    return see_other(request, _LIST, N_("'%(name)s' is removed, with all tokens."), name=name)


def _role(form: Posted) -> Role:
    word = form.text("role")
    return Role(word) if word in set(Role) else Role.VIEWER


def _shown(
    request: Request, parts: Parts, *, error: ConcordError | None = None, form: Posted | None = None
) -> Response:
    return render(
        request,
        "access/users.html",
        status=status_of(error) if error else 200,
        users=parts.users.all(),
        roles=list(Role),
        given={"name": form.text("name"), "role": form.text("role")} if form else {},
        error=error,
        facts=facts_of(error) if error else {},
    )


def _one(request: Request, parts: Parts, name: str, *, error: ConcordError | None = None) -> Response:
    found = parts.users.get(name)
    return render(
        request,
        "access/user.html",
        status=status_of(error) if error else 200,
        user=found,
        sessions=parts.sessions.of(found.id),
        roles=list(Role),
        error=error,
        facts=facts_of(error) if error else {},
    )
