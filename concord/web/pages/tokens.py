"""API tokens: one's own; an admin sees everybody's."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from concord.errors import ConcordError, UsageError
from concord.model.user import Permission
from concord.services.identity import Identity
from concord.web.error_text import facts_of
from concord.web.flash import see_other
from concord.web.forms import Form, Posted
from concord.web.i18n import N_
from concord.web.problem import status_of
from concord.web.proof import NOT_PROVED, prove
from concord.web.render import render
from concord.web.visitor import Parts, Visitor, page

router = APIRouter(include_in_schema=False)

Me = Annotated[Visitor, Depends(page())]
DAYS: Final = (7, 30, 90, 365)


@router.get("/admin/tokens")
def tokens(request: Request, me: Me, parts: Parts) -> Response:
    """The list, and a form for a new one."""
    return _shown(request, me, parts)


@router.post("/admin/tokens")
def create(request: Request, me: Me, parts: Parts, form: Form) -> Response:
    """Shown once, in the answer itself: no address leads to it."""
    try:
        prove(parts, me, form)
        token, _ = Identity(parts).create_token(
            me.user, form.text("name")[:100], _scopes(form), days=_days(form), by=me.caller
        )
    except (UsageError, *NOT_PROVED) as error:
        return _shown(request, me, parts, error=error, form=form)
    return _shown(request, me, parts, fresh=token)


@router.post("/admin/tokens/{token_id}/revoke")
def revoke(request: Request, me: Me, parts: Parts, token_id: int) -> Response:
    """It opens nothing any more."""
    of = None if me.may(Permission.ADMIN) else me.user
    gone = Identity(parts).revoke_token(token_id, of=of, by=me.caller)
    return see_other(request, "/admin/tokens", N_("The token '%(name)s' is revoked."), name=gone.name)


def _scopes(form: Posted) -> frozenset[Permission]:
    return frozenset(Permission(word) for word in form.all("scope") if word in set(Permission))


def _days(form: Posted) -> int | None:
    text = form.text("days")
    return int(text) if text in {str(days) for days in DAYS} else None if text == "never" else DAYS[0]


def _shown(
    request: Request,
    me: Visitor,
    parts: Parts,
    *,
    error: ConcordError | None = None,
    form: Posted | None = None,
    fresh: str = "",
) -> Response:
    return render(
        request,
        "access/tokens.html",
        status=status_of(error) if error else 200,
        tokens=parts.api_tokens.all(user_id=None if me.may(Permission.ADMIN) else me.user.id),
        allowed=[scope for scope in Permission if me.may(scope)],
        days=DAYS,
        given={"name": form.text("name"), "scopes": form.all("scope"), "days": form.text("days")} if form else {},
        fresh=fresh,
        error=error,
        facts=facts_of(error) if error else {},
    )
