"""The cookies: a session's value, and what a browser without one brings to the sign-in form."""

from __future__ import annotations

from typing import Any, Final

from fastapi import Request
from starlette.responses import Response

# Behind TLS the name itself says: only from this host, only for TLS (RFC 6265bis, section 4.1.3.2).
_SECURE_PREFIX: Final = "__Host-"
_SESSION: Final = "concord_session"
_KEPT: Final = "cookies"


def session_of(request: Request) -> str:
    """The value of the session's cookie; empty where there is none."""
    return request.cookies.get(_name(request, _SESSION), "")


def keep_session(request: Request, value: str) -> None:
    """The answer to this request will set it; how long it is good for, the database says."""
    keep(request, _SESSION, value, httponly=True)


def drop_session(request: Request) -> None:
    """The answer to this request will take it away."""
    keep(request, _SESSION, "", max_age=0, httponly=True)


def keep(request: Request, name: str, value: str, **options: Any) -> None:
    """Set a cookie with the answer to this request, whatever answer that is."""
    holder = Response()
    holder.set_cookie(
        _name(request, name), value, path="/", secure=is_secure(request), samesite="lax", **{"httponly": True} | options
    )
    waiting = request.scope.setdefault("state", {}).setdefault(_KEPT, [])
    waiting.append(holder.headers["set-cookie"])


def value_of(request: Request, name: str) -> str:
    """What the browser sent under a name."""
    return request.cookies.get(_name(request, name), "")


def waiting(scope: Any) -> list[str]:
    """The Set-Cookie lines for the answer under way."""
    kept: list[str] = scope.get("state", {}).get(_KEPT, [])
    return kept


def is_secure(request: Request) -> bool:
    """Whether the browser came by TLS."""
    return request.url.scheme == "https"


def _name(request: Request, name: str) -> str:
    return f"{_SECURE_PREFIX}{name}" if is_secure(request) else name
