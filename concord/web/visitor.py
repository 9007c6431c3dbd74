"""Who asks, and whether they may: a browser by its session, a program by its token."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from math import ceil
from typing import Annotated, Final
from urllib.parse import urlsplit

from fastapi import Depends, Request
from starlette.concurrency import run_in_threadpool

from concord.bootstrap import Concord, now
from concord.errors import ConcordError, ForbiddenError, TooManyAttemptsError
from concord.model.caller import Caller
from concord.model.throttle import Pauses, network_of
from concord.model.user import ApiToken, Permission, User, WebSession
from concord.services.identity import is_proved
from concord.web import cookies
from concord.web.problem import Refusal

SAFE: Final = ("GET", "HEAD", "OPTIONS")
CSRF_FIELD: Final = "csrf"
CSRF_HEADER: Final = "x-csrf-token"
_TOKEN_ATTEMPTS: Final = 30


class SignInNeededError(Exception):
    """A page that only those see who have signed in."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visitor:
    """Whoever asks, known by name."""

    user: User
    permissions: frozenset[Permission]
    caller: Caller
    csrf: str = field(default="", repr=False)  # what this browser's forms bring along
    session: WebSession | None = None
    token: ApiToken | None = None

    @property
    def needs_proof(self) -> bool:
        """Whether what is sensitive asks this person's password."""
        return self.session is not None and not is_proved(self.session, now())

    def may(self, permission: Permission | str) -> bool:
        """Whether it is allowed."""
        return permission in self.permissions


def concord_of(request: Request) -> Concord:
    """The parts of this process."""
    parts: Concord = request.app.state.concord
    return parts


Parts = Annotated[Concord, Depends(concord_of)]


def page(permission: Permission = Permission.READ, *, asks: bool = False) -> Callable[[Request], Awaitable[Visitor]]:
    """A dependency for pages: raises SignInNeededError, ForbiddenError, and Refusal for a forged form.

    `asks`: what is posted changes nothing, and comes from a script that does not know our forms' proof.
    """

    async def visitor(request: Request) -> Visitor:
        found = await run_in_threadpool(by_session, request)
        if found is None:
            raise SignInNeededError
        if asks:
            refuse_foreign(request)
        elif request.method not in SAFE:
            await refuse_forged(request, found.csrf)
        return _allowed(request, found, permission)

    return visitor


@dataclass(frozen=True, slots=True)
class ApiVisitor:
    """A dependency for the API: a bearer token (RFC 6750), or the session of a page's own script."""

    permission: Permission

    async def __call__(self, request: Request) -> Visitor:
        """Raises Refusal, ForbiddenError, TooManyAttemptsError."""
        if "authorization" in request.headers:
            return _allowed(request, await run_in_threadpool(_by_token, request), self.permission)
        found = await run_in_threadpool(by_session, request)
        if found is None:
            raise Refusal(
                HTTPStatus.UNAUTHORIZED,
                "The API wants a token.",
                remedy="Send 'Authorization: Bearer TOKEN'; 'concord token create' makes one",
                headers={"WWW-Authenticate": 'Bearer realm="concord"'},
            )
        if request.method not in SAFE:
            await refuse_forged(request, found.csrf, form=False)
        return _allowed(request, found, self.permission)


def api(permission: Permission = Permission.READ) -> ApiVisitor:
    """Who may make a call of the API. `rest.Route` asks it before anything else of the request is read."""
    return ApiVisitor(permission)


async def may_read(request: Request) -> bool:
    """Whether a token or a session that may read comes along; for what also answers strangers, and with less."""
    try:
        found = await run_in_threadpool(_by_token if "authorization" in request.headers else by_session, request)
    except (ConcordError, Refusal):
        return False  # the database may be the very thing that is down
    return found is not None and found.may(Permission.READ)


def refuse_foreign(request: Request) -> None:
    """A browser says from which site a request comes, and no page can make it say otherwise."""
    origin = request.headers.get("origin")
    strange = origin is not None and urlsplit(origin).netloc.lower() != request.headers.get("host", "").lower()
    if strange or request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        _note(request, "foreign_site")
        raise Refusal(HTTPStatus.FORBIDDEN, "The request comes from another site.", remedy="Use Concord's own pages")


async def refuse_forged(request: Request, csrf: str, *, form: bool = True) -> None:
    """Another site may make a browser send a form, but neither read our pages nor claim to be us."""
    refuse_foreign(request)
    brought = request.headers.get(CSRF_HEADER, "")
    if not brought and form:
        value = (await request.form()).get(CSRF_FIELD)
        brought = value if isinstance(value, str) else ""
    if not csrf or not hmac.compare_digest(brought.encode("utf-8", "surrogateescape"), csrf.encode()):
        _note(request, "forged_form")
        raise Refusal(
            HTTPStatus.FORBIDDEN,
            "The form is of another session, or too old.",
            remedy="Go back, load the page anew and send it again",
        )


def _note(request: Request, reason: str, **facts: object) -> None:
    """In the log: by the route's own path, for an address may hold what a stranger wants read."""
    path = getattr(request.scope.get("route"), "path", "")
    concord_of(request).refusals.note(reason, address=address_of(request), path=path, **facts)


def address_of(request: Request) -> str:
    """Where the browser or program is."""
    return request.client.host if request.client else ""


def by_session(request: Request) -> Visitor | None:
    """Whoever this browser's session is of."""
    value = cookies.session_of(request)
    found = concord_of(request).sessions.find(value) if value else None
    if found is None:
        return None
    if found.renewed:
        cookies.keep_session(request, found.renewed)
    user = found.session.user
    return Visitor(
        user=user,
        permissions=user.role.permissions,
        caller=Caller(actor=user.name, via="admin", address=address_of(request)),
        csrf=found.session.csrf,
        session=found.session,
    )


def _by_token(request: Request) -> Visitor:
    scheme, _, token = request.headers["authorization"].partition(" ")
    parts, address = concord_of(request), address_of(request)
    found = parts.api_tokens.find(token.strip()) if scheme.lower() == "bearer" else None
    if found is None:
        # Counted only where it is wrong: a program that works is never slowed down.
        parts.refusals.note("wrong_token", address=address)
        if wait := parts.throttle.attempt([Pauses(f"token:{network_of(address)}", _TOKEN_ATTEMPTS)]):
            raise TooManyAttemptsError("tokens", seconds=max(1, ceil(wait.total_seconds())))
        raise Refusal(
            HTTPStatus.UNAUTHORIZED,
            "The token is wrong, expired or revoked.",
            remedy="Make a new one with 'concord token create', or on the page 'API tokens'",
            headers={"WWW-Authenticate": 'Bearer realm="concord", error="invalid_token"'},
        )
    kept, user = found
    return Visitor(
        user=user,
        # A user who lost a role has tokens that lost it too.
        permissions=kept.scopes & user.role.permissions,
        caller=Caller(actor=user.name, via="api", address=address_of(request)),
        token=kept,
    )


def _allowed(request: Request, visitor: Visitor, permission: Permission) -> Visitor:
    request.state.visitor = visitor
    if visitor.may(permission):
        return visitor
    _note(request, "missing_scope" if visitor.token else "missing_role", actor=visitor.user.name, needed=permission)
    if visitor.token:
        raise Refusal(
            HTTPStatus.FORBIDDEN,
            "The token's scopes do not allow this.",
            remedy="Make a token with the scope that is needed",
            facts={"scope": permission.value},
            headers={"WWW-Authenticate": f'Bearer realm="concord", error="insufficient_scope", scope="{permission}"'},
        )
    raise ForbiddenError("role", role=visitor.user.role, needed=permission)
