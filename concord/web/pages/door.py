"""The way in and out: signing in, signing out, language and colours."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from typing import Annotated, Final

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, Request
from starlette.responses import RedirectResponse, Response

from concord.adapters.passwords import MOST_HELD
from concord.errors import ConcordError, PasswordsBusyError, SignInRefusedError, TooManyAttemptsError
from concord.services.identity import Identity
from concord.web import cookies
from concord.web.error_text import facts_of
from concord.web.flash import see_other
from concord.web.forms import Form
from concord.web.guard import LANGUAGE
from concord.web.language import Language
from concord.web.problem import retry_after, status_of
from concord.web.refusals import SIGN_IN
from concord.web.render import THEME, THEMES, render
from concord.web.visitor import Parts, Visitor, address_of, by_session, page, refuse_forged

router = APIRouter(include_in_schema=False)

HOME: Final = "/admin"
# What a browser that has not signed in brings to the form, so that no other site can sign it in as somebody else.
_BEFORE: Final = "concord_door"
KNOWN_BROWSER: Final = "concord_browser"
_YEAR: Final = 365 * 86_400
# Sign-ins have threads of their own: a crowd that waits for its passwords to be checked takes none of the pages', and
# strangers take none of those who bring a browser's cookie.
# Strangers may claim to be such a browser: even if they take all places where passwords wait, some threads are left.
_RETURNING: Final = CapacityLimiter(MOST_HELD + 4)
_STRANGERS: Final = CapacityLimiter(16)
# A place on our own pages, and nothing that a browser may read as another site's address.
_OURS: Final = re.compile(r"/(admin|api/docs)(?:[/?][\x21-\x5b\x5d-\x7e]*)?")


@router.api_route(SIGN_IN, methods=["GET", "HEAD"])
def door(request: Request, parts: Parts, next: str = HOME) -> Response:  # noqa: A002 - what the address says
    """The form."""
    return _form(request, nobody=parts.users.is_empty(), place=own_place(next))


@router.post(SIGN_IN)
async def come_in(request: Request, form: Form, parts: Parts) -> Response:
    """A session for whoever knows the password."""
    await refuse_forged(request, _csrf(cookies.value_of(request, _BEFORE)))
    lane = _RETURNING if cookies.value_of(request, KNOWN_BROWSER) else _STRANGERS
    return await to_thread.run_sync(_signed_in, request, form, parts, limiter=lane)


def _signed_in(request: Request, form: Form, parts: Parts) -> Response:
    name, place = form.text("name"), own_place(form.text("next"))
    agent = request.headers.get("user-agent", "")
    try:
        signed_in = Identity(parts).sign_in(
            name,
            form.raw("password"),
            address=address_of(request),
            agent=agent,
            browser=cookies.value_of(request, KNOWN_BROWSER),
        )
    except (SignInRefusedError, TooManyAttemptsError, PasswordsBusyError) as error:
        return _form(request, error=error, name=name, place=place)
    former = by_session(request)
    if former and former.session:
        # Another person's perhaps: who copied the former cookie must not stay signed in.
        Identity(parts).sign_out(former.session.id, by=former.caller)
    cookies.keep_session(request, signed_in.session)
    keep_known(request, signed_in.browser)
    return RedirectResponse(place, 303)


@router.post("/admin/logout")
def leave(request: Request, parts: Parts, visitor: Annotated[Visitor, Depends(page())]) -> Response:
    """End the session, here and in the database."""
    if visitor.session:
        Identity(parts).sign_out(visitor.session.id, by=visitor.caller)
    cookies.drop_session(request)
    # What scripts of our pages may have kept goes too; the cookies say themselves what becomes of them.
    return RedirectResponse(SIGN_IN, 303, {"Clear-Site-Data": '"storage"'})


@router.post("/admin/preferences")
def prefer(request: Request, form: Form) -> Response:
    """Language and colours, kept by the browser: nothing of ours changes, so that nothing needs to be proved."""
    language, theme = form.text("language"), form.text("theme")
    if language in set(Language):
        cookies.keep(request, LANGUAGE, language, max_age=_YEAR)
    if form.has("theme"):
        cookies.keep(request, THEME, theme if theme in THEMES else "", max_age=_YEAR)
    return see_other(request, own_place(form.text("back")))


def keep_known(request: Request, value: str) -> None:
    """By this cookie the browser is known at the next sign-in; it opens nothing by itself."""
    cookies.keep(request, KNOWN_BROWSER, value, max_age=_YEAR)


def own_place(asked: str) -> str:
    """Where to go next: a page of ours, else the overview."""
    return asked if _OURS.fullmatch(asked) and "//" not in asked.partition("?")[0] else HOME


def _form(
    request: Request, *, error: ConcordError | None = None, name: str = "", place: str = HOME, nobody: bool = False
) -> Response:
    before = cookies.value_of(request, _BEFORE) or secrets.token_urlsafe(32)
    cookies.keep(request, _BEFORE, before)
    return render(
        request,
        "access/login.html",
        status=status_of(error) if error else 200,
        headers=retry_after(error) if error else None,
        error=error,
        facts=facts_of(error) if error else {},
        name=name,
        next=place,
        nobody=nobody,
        csrf=_csrf(before),
    )


def _csrf(before: str) -> str:
    """Made of the cookie, which another site can neither read nor set; the form shows it without showing the cookie."""
    return hmac.new(before.encode(), b"concord sign-in", hashlib.sha256).hexdigest() if before else ""
