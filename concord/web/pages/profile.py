"""One's own account: password, and the browsers that are signed in."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from concord.errors import ConcordError, PasswordsBusyError, SignInRefusedError, TooManyAttemptsError, UsageError
from concord.services.identity import Identity
from concord.web import cookies
from concord.web.error_text import facts_of
from concord.web.flash import see_other
from concord.web.forms import Form
from concord.web.i18n import N_
from concord.web.pages.door import keep_known
from concord.web.problem import status_of
from concord.web.proof import NOT_PROVED, prove
from concord.web.render import render
from concord.web.visitor import Parts, Visitor, address_of, page

router = APIRouter(include_in_schema=False)

Me = Annotated[Visitor, Depends(page())]


@router.get("/admin/profile")
def profile(request: Request, me: Me, parts: Parts) -> Response:
    """The page."""
    return _shown(request, me, parts)


@router.post("/admin/profile/password")
def change_password(request: Request, me: Me, parts: Parts, form: Form) -> Response:
    """All sessions end; this browser gets a fresh one."""
    identity = Identity(parts)
    try:
        _refuse_different(form.raw("after"), form.raw("again"))
        identity.change_own_password(
            me.user, form.raw("before"), form.raw("after"), keeps_tokens=not form.has("tokens"), by=me.caller
        )
    except (UsageError, SignInRefusedError, TooManyAttemptsError, PasswordsBusyError) as error:
        return _shown(request, me, parts, error=error)
    agent = request.headers.get("user-agent", "")
    keep_known(request, parts.known_browsers.remember("", me.user.id))
    cookies.keep_session(request, parts.sessions.begin(me.user.id, address=address_of(request), agent=agent))
    return see_other(request, "/admin/profile", N_("The password is changed. Every other browser is signed out."))


@router.post("/admin/profile/sessions/{session_id}/end")
def end_session(request: Request, me: Me, parts: Parts, session_id: int, form: Form) -> Response:
    """Sign a browser out; only one's own can be named, and only by the person."""
    try:
        prove(parts, me, form)
    except NOT_PROVED as error:
        return _shown(request, me, parts, error=error)
    if parts.sessions.end(session_id, user_id=me.user.id):
        return see_other(request, "/admin/profile", N_("That browser is signed out."))
    return see_other(request, "/admin/profile", N_("That browser was signed out already."), kind="warn")


def _refuse_different(after: str, again: str) -> None:
    if after != again:
        raise UsageError("passwords_differ")


def _shown(request: Request, me: Visitor, parts: Parts, *, error: ConcordError | None = None) -> Response:
    return render(
        request,
        "access/profile.html",
        status=status_of(error) if error else 200,
        sessions=parts.sessions.of(me.user.id),
        error=error,
        facts=facts_of(error) if error else {},
    )
