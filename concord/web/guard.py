"""Around every answer: only to names that are ours, and with the headers that keep a browser from being misled."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from contextlib import suppress
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from concord.refusals import Refusals
from concord.settings import AdminSettings
from concord.web import cookies
from concord.web.i18n import N_, speak
from concord.web.language import Language, preferred
from concord.web.problem import problem

# Forms of people who have not signed in: nothing else of a stranger's body is read, and little of these.
_STRANGERS_FORMS: Final = ("/admin/login", "/admin/preferences")
_STRANGERS_BODY: Final = 16 * 1024
LANGUAGE: Final = "concord_language"
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_EVERYWHERE: Final = ("", "0.0.0.0", "::")  # noqa: S104 - they are no name that a browser asks for
_HOST: Final = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[\w.-]+)(:[0-9]+)?", re.ASCII)
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
# An answer that has its own keeps it: a static file lives for ever, a mail's frame may be framed by us.
_HEADERS: Final = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=()",
    "Cache-Control": "no-store",
}
_HEARD_OUT: Final = 16 * 1024 * 1024
_HEARD_OUT_SECONDS: Final = 10
_CHUNKED: Final = "transfer-encoding"
_HSTS: Final = "max-age=31536000"


def names(settings: AdminSettings) -> frozenset[str]:
    """Under which names it answers."""
    own = () if settings.address in _EVERYWHERE else (settings.address,)
    public = (urlsplit(settings.base_url).hostname or "",) if settings.base_url else ()
    return frozenset(name.lower().strip("[]") for name in (*_LOOPBACK, *own, *settings.hosts, *public))


class TooBig(Exception):  # noqa: N818 - ends the reading of a request; told as 413
    """The request's body is over the limit."""


class _Meter:
    """Without a length, or with a wrong one, the octets themselves are counted."""

    def __init__(self, most: int, headers: Headers) -> None:
        self._left = most
        self._is_coming = _CHUNKED in headers or headers.get("content-length", "0") != "0"
        self._is_asked_for = "expect" not in headers  # else nothing comes until it is read
        self.is_over = False
        self.begun = False  # the answer

    def limited(self, receive: Receive) -> Receive:
        """The same, up to the limit."""

        async def receive_limited() -> Message:
            message = await receive()
            self._is_coming = message.get("more_body", False)
            self._left -= len(message.get("body", b""))
            if self._left < 0:
                self.is_over = True
                raise TooBig
            return message

        return receive_limited

    async def hear_out(self, receive: Receive) -> None:
        """Whoever still sends would lose the answer where the connection ends with octets unread."""
        left = _HEARD_OUT
        with suppress(TimeoutError):
            async with asyncio.timeout(_HEARD_OUT_SECONDS):
                while self._is_coming and self._is_asked_for and left > 0:
                    message = await receive()
                    self._is_coming = message.get("more_body", False)
                    left -= len(message.get("body", b""))


class Guard:
    """Refuses a request for another name: a foreign page may lead one to our address (DNS rebinding).

    And one that is too big; and it says in which language the request is to be answered.
    """

    def __init__(self, app: ASGIApp, names: frozenset[str], max_body: int, refusals: Refusals) -> None:
        self._app = app
        self._names = names
        self._max_body = max_body
        self._refusals = refusals

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        most = min(self._max_body, _STRANGERS_BODY) if scope["path"] in _STRANGERS_FORMS else self._max_body
        meter = _Meter(most, headers)
        speak(_language(headers))

        async def send_guarded(message: Message) -> None:
            if meter.is_over and not meter.begun:
                return  # whatever the framework makes of it: the answer is 413, below
            if message["type"] == "http.response.start":
                meter.begun = True
                await meter.hear_out(receive)
                _dress(message, scope)
            await send(message)

        refusal = self._refusal(headers, scope, most) or _refused_place(scope)
        if refusal:
            await refusal(scope, receive, send_guarded)
            return
        with suppress(TooBig):
            await self._app(scope, meter.limited(receive), send_guarded)
        if meter.is_over and not meter.begun:
            meter.is_over = False
            await problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)(scope, receive, send_guarded)

    def _refusal(self, headers: Headers, scope: Scope, most: int) -> ASGIApp | None:
        address = scope["client"][0] if scope.get("client") else ""
        if not self._is_ours(headers.getlist("host")):
            self._refusals.note("foreign_host", address=address)
            sentence = N_("This service does not answer to that name; admin.hosts lists those it does.")
            return problem(HTTPStatus.BAD_REQUEST, sentence)
        if _CHUNKED in headers and ("content-length" in headers or scope["http_version"] != "1.1"):
            self._refusals.note("two_lengths", address=address)
            # Somebody on the way may have obeyed the other (RFC 9112, section 6.1).
            return problem(HTTPStatus.BAD_REQUEST, N_("Where the request ends is told in two ways."))
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > most:
            return problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        return None

    def _is_ours(self, hosts: Iterable[str]) -> bool:
        asked = [_name(host) for host in hosts]
        return len(asked) == 1 and asked[0] in self._names


def _refused_place(scope: Scope) -> ASGIApp | None:
    """Refuse a name with a NUL, which PostgreSQL cannot store, and an address that is not ASCII (RFC 3986)."""
    if "\0" in scope["path"] or b"%00" in scope["query_string"] or not scope["query_string"].isascii():
        return problem(HTTPStatus.BAD_REQUEST)
    return None


def _dress(message: Message, scope: Scope) -> None:
    headers = MutableHeaders(scope=message)
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
    if scope.get("scheme") == "https":
        headers.setdefault("Strict-Transport-Security", _HSTS)
    headers.add_vary_header("Accept-Language, Cookie")
    if _CHUNKED in Headers(scope=scope):
        # Parsers differ on where chunks end; what follows is not read as one more request.
        headers["Connection"] = "close"
    for cookie in cookies.waiting(scope):
        headers.append("set-cookie", cookie)


def _language(headers: Headers) -> Language:
    """What the visitor chose, else what the browser would rather read."""
    for pair in headers.get("cookie", "").split(";"):
        name, _, value = pair.strip().partition("=")
        if name.removeprefix("__Host-") == LANGUAGE and value in set(Language):
            return Language(value)
    return preferred(headers.get("accept-language", ""))


def _name(host: str) -> str | None:
    """Without its port; None where it is none at all."""
    found = _HOST.fullmatch(host)
    return found["name"].lower().strip("[]") if found else None
