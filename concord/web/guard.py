"""Around every answer: only to names that are ours, and with the headers that keep a browser from being misled."""

from __future__ import annotations

import re
from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from concord.settings import AdminSettings
from concord.web.page import STYLE_HASH
from concord.web.problem import problem

_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_EVERYWHERE: Final = ("", "0.0.0.0", "::")  # noqa: S104 - they are no name that a browser asks for
_HOST: Final = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:[0-9]+)?", re.ASCII)
_HEADERS: Final = {
    "Content-Security-Policy": (
        f"default-src 'none'; style-src '{STYLE_HASH}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def names(settings: AdminSettings) -> frozenset[str]:
    """Under which names it answers."""
    own = () if settings.address in _EVERYWHERE else (settings.address,)
    return frozenset(name.lower().strip("[]") for name in (*_LOOPBACK, *own, *settings.hosts))


class Guard:
    """Refuses a request for another name: a foreign page may lead one to our address (DNS rebinding)."""

    def __init__(self, app: ASGIApp, names: frozenset[str]) -> None:
        self._app = app
        self._names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        if scope["type"] == "http" and not self._is_ours(Headers(scope=scope).getlist("host")):
            refusal = problem(
                HTTPStatus.BAD_REQUEST, "This service does not answer to that name; admin.hosts lists those it does."
            )
            await refusal(scope, receive, send_guarded)
            return
        await self._app(scope, receive, send_guarded)

    def _is_ours(self, hosts: Iterable[str]) -> bool:
        asked = [_name(host) for host in hosts]
        return len(asked) == 1 and asked[0] in self._names


def _name(host: str) -> str | None:
    """Without its port; None where it is none at all."""
    found = _HOST.fullmatch(host)
    return found["name"].lower().strip("[]") if found else None
