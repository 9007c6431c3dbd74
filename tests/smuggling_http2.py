"""Requests over HTTP/2 that become two where a proxy writes them down as HTTP/1.1 without looking (RFC 9113, 10.3).

In HTTP/2 a frame's length is what counts, and a field may hold any octet: what its text says of lengths and ends must
not be believed behind the proxy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from tests.http2 import request

Fields = list[tuple[bytes, bytes]]
Probe = Callable[[bytes], bytes]
_AUTHORITY: Final = (b":authority", b"concord.example.com")
_FORM: Final = (b"content-type", b"application/x-www-form-urlencoded")


def _fields(method: bytes = b"POST", path: bytes = b"/admin/preferences") -> Fields:
    return [(b":method", method), (b":scheme", b"https"), (b":path", path), _AUTHORITY]


def _with(*more: tuple[bytes, bytes], before: bytes = b"0\r\n\r\n") -> Probe:
    """The hidden request in the body."""

    def probe(hidden: bytes) -> bytes:
        length = str(len(before + hidden)).encode()
        fields = [(name, value.replace(b"%d", length)) for name, value in more]
        return request([*_fields(), _FORM, *fields], before + hidden)

    return probe


def _without_body(fields: Callable[[bytes], Fields]) -> Probe:
    """The hidden request in a field."""
    return lambda hidden: request(fields(hidden))


_ENDED: Final = b" HTTP/1.1\r\nHost: concord.example.com\r\n\r\n"
PROBES: Final[Mapping[str, Probe]] = {
    "length of nothing": _with((b"content-length", b"0"), before=b""),
    "length that is too short": _with((b"content-length", b"5")),
    "length that is too long": _with((b"content-length", b"99999")),
    "two lengths": _with((b"content-length", b"0"), (b"content-length", b"%d"), before=b""),
    "chunks": _with((b"transfer-encoding", b"chunked")),
    "chunks and a length": _with((b"transfer-encoding", b"chunked"), (b"content-length", b"%d")),
    "chunks after a line's end in a value": _with((b"x-other", b"a\r\ntransfer-encoding: chunked")),
    "chunks after a bare LF in a value": _with((b"x-other", b"a\ntransfer-encoding: chunked")),
    "chunks after a line's end in a name": _with((b"x-other: a\r\ntransfer-encoding", b"chunked")),
    "chunks after a colon in a name": _with((b"transfer-encoding: chunked\r\nx-other", b"a")),
    "chunks, the name in capitals": _with((b"Transfer-Encoding", b"chunked")),
    "length after a line's end in a value": _with((b"x-other", b"a\r\ncontent-length: 0"), before=b""),
    "connection and upgrade": _with((b"connection", b"upgrade"), (b"upgrade", b"h2c"), before=b""),
    "GET with a body": lambda hidden: request(_fields(b"GET", b"/admin/login"), hidden),
    "request in a value": _without_body(
        lambda hidden: [*_fields(b"GET", b"/admin/login"), (b"x-other", b"a\r\n\r\n" + hidden)]
    ),
    "request in a path": _without_body(lambda hidden: _fields(b"GET", b"/admin/login" + _ENDED + hidden)),
    "request in a method": _without_body(lambda hidden: _fields(b"GET /admin/login" + _ENDED + hidden, b"/")),
    "request in the authority": _without_body(
        lambda hidden: [
            *_fields(b"GET", b"/admin/login")[:3],
            (b":authority", b"concord.example.com\r\n\r\n" + hidden),
        ]
    ),
    "request in the scheme": _without_body(
        lambda hidden: [
            (b":method", b"GET"),
            (b":scheme", b"https://concord.example.com/admin/login" + _ENDED + hidden),
            *_fields(b"GET", b"/admin/login")[2:],
        ]
    ),
    "path with a space": _without_body(lambda _hidden: _fields(b"GET", b"/admin/login HTTP/1.1")),
    "two paths": _without_body(lambda _hidden: [*_fields(b"GET", b"/admin/login"), (b":path", b"/admin")]),
    "path after a field": _without_body(
        lambda _hidden: [(b":method", b"GET"), (b"x-other", b"a"), *_fields(b"GET", b"/admin/login")[1:]]
    ),
    "host beside the authority": _without_body(lambda _hidden: [*_fields(b"GET", b"/admin/login"), (b"host", b"x")]),
}
