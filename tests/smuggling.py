"""Requests that two parsers may read as one or as two (RFC 9112, sections 6 and 11.2), each around a hidden one.

Each probe is what a client sends on a fresh connection. Read as HTTP wants it, it is one request, or none; the hidden
request is a part of its body, or comes after an end that a lax parser sees. So at most one answer may come back.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

# A page that reads the form it is sent, and that wants no session.
_TARGET: Final = b"POST /admin/preferences HTTP/1.1\r\nHost: concord.example.com\r\n"
_FORM: Final = b"Content-Type: application/x-www-form-urlencoded\r\n"
_CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
_ANSWER: Final = re.compile(rb"HTTP/1\.[01] (?!100 )\d{3} ")

Probe = Callable[[bytes], bytes]
"""The octets to send around a hidden request."""


def answers_in(octets: bytes) -> int:
    """How many answers came back; "100 Continue" is none."""
    return len(_ANSWER.findall(octets))


def _post(headers: bytes, body: bytes) -> bytes:
    return _TARGET + _FORM + headers + b"\r\n" + body


def _lengthy(body: bytes) -> bytes:
    return b"Content-Length: %d\r\n" % len(body)


def _early_end(headers: bytes) -> Probe:
    """All of it by its Content-Length; an empty chunked body, and the hidden one, for whoever obeys `headers`."""

    def probe(hidden: bytes) -> bytes:
        body = b"0\r\n\r\n" + hidden
        return _post(_lengthy(body) + headers, body)

    return probe


def _short_length(headers: bytes) -> Probe:
    """One chunk holds the hidden one; by its Content-Length the body ends just before that."""

    def probe(hidden: bytes) -> bytes:
        size = b"%x\r\n" % len(hidden)
        return _post(_lengthy(size) + headers, size + hidden + b"\r\n0\r\n\r\n")

    return probe


def _two_lengths(first: bytes, second: bytes) -> Probe:
    """`%d` stands for the whole."""

    def probe(hidden: bytes) -> bytes:
        lines = [line % len(hidden) if b"%d" in line else line for line in (first, second)]
        return _post(b"".join(lines), hidden)

    return probe


def _chunks(begin: bytes) -> Probe:
    """A chunked body that begins so; the hidden one is in a chunk for whoever reads on."""

    def probe(hidden: bytes) -> bytes:
        inner = b"0\r\n\r\n" + hidden
        return _post(_CHUNKED, begin + b"%x\r\n" % len(inner) + inner + b"\r\n0\r\n\r\n")

    return probe


def _raw(before: bytes) -> Probe:
    def probe(hidden: bytes) -> bytes:
        return before.replace(b"%d", str(len(hidden)).encode()) + hidden

    return probe


_HOST: Final = b"Host: concord.example.com\r\n"
PROBES: Final[Mapping[str, Probe]] = {
    "CL.TE": _early_end(_CHUNKED),
    "TE.CL": _short_length(_CHUNKED),
    "TE.TE, the second unknown": _early_end(_CHUNKED + b"Transfer-Encoding: cow\r\n"),
    "TE.TE, the first unknown": _early_end(b"Transfer-Encoding: cow\r\n" + _CHUNKED),
    "TE.TE, twice the same": _early_end(_CHUNKED + _CHUNKED),
    "TE: xchunked": _early_end(b"Transfer-Encoding: xchunked\r\n"),
    "TE: chunked in quotes": _early_end(b'Transfer-Encoding: "chunked"\r\n'),
    "TE: identity": _early_end(b"Transfer-Encoding: identity\r\n"),
    "TE: chunked, identity": _early_end(b"Transfer-Encoding: chunked, identity\r\n"),
    "TE: identity, chunked": _early_end(b"Transfer-Encoding: identity, chunked\r\n"),
    "TE after a tab": _early_end(b"Transfer-Encoding:\tchunked\r\n"),
    "TE after a vertical tab": _early_end(b"Transfer-Encoding:\x0bchunked\r\n"),
    "TE before a NUL": _early_end(b"Transfer-Encoding: chunked\x00\r\n"),
    "TE: Chunked": _early_end(b"Transfer-encoding: CHUNKED\r\n"),
    "TE with a space before the colon": _early_end(b"Transfer-Encoding : chunked\r\n"),
    "TE with a tab before the colon": _early_end(b"Transfer-Encoding\t: chunked\r\n"),
    "TE with an underscore": _early_end(b"Transfer_Encoding: chunked\r\n"),
    "TE on a folded line": _early_end(b"Transfer-Encoding:\r\n chunked\r\n"),
    "TE on a line that begins with a space": _early_end(b" Transfer-Encoding: chunked\r\n"),
    "TE folded into another header": _early_end(b"X-Other: one\r\n Transfer-Encoding: chunked\r\n"),
    "TE after a bare LF": _early_end(b"X-Other: one\nTransfer-Encoding: chunked\r\n"),
    "TE after a bare CR": _early_end(b"X-Other: one\rTransfer-Encoding: chunked\r\n"),
    "TE short length, space before the colon": _short_length(b"Transfer-Encoding : chunked\r\n"),
    "TE short length, unknown": _short_length(b"Transfer-Encoding: xchunked\r\n"),
    "TE short length, folded": _short_length(b"Transfer-Encoding:\r\n chunked\r\n"),
    "two lengths, the first the whole": _two_lengths(b"Content-Length: %d\r\n", b"Content-Length: 0\r\n"),
    "two lengths, the second the whole": _two_lengths(b"Content-Length: 0\r\n", b"Content-Length: %d\r\n"),
    "two lengths in one line": _two_lengths(b"Content-Length: 0, %d\r\n", b""),
    "the same length twice": _two_lengths(b"Content-Length: %d\r\n", b"Content-Length: %d\r\n"),
    "length with a plus": _two_lengths(b"Content-Length: +%d\r\n", b""),
    "length below nothing": _two_lengths(b"Content-Length: -1\r\n", b""),
    "length in hexadecimal": _two_lengths(b"Content-Length: 0x0\r\n", b""),
    "length and a letter": _two_lengths(b"Content-Length: 0a\r\n", b""),
    "length that is empty": _two_lengths(b"Content-Length: \r\n", b""),
    "length beyond 64 bits": _two_lengths(b"Content-Length: 18446744073709551616\r\n", b""),
    "length with a space before the colon": _two_lengths(b"Content-Length : 0\r\n", b"Content-Length: %d\r\n"),
    "length on a folded line": _two_lengths(b"Content-Length:\r\n 0\r\n", b"Content-Length: %d\r\n"),
    "length hidden by a bare LF": _two_lengths(b"X-Other: a\nContent-Length: 0\r\n", b"Content-Length: %d\r\n"),
    "chunk extension": _chunks(b"2;name=value\r\nxx\r\n"),
    "chunk extension with a bare LF": _chunks(b"2;\nxx\r\n"),
    "chunk extension with a bare CR": _chunks(b"2;\rxx\r\n"),
    "chunk extension in quotes": _chunks(b'2;a="\r\nxx\r\n"\r\n'),
    "chunk size after a space": _chunks(b" 2\r\nxx\r\n"),
    "chunk size before a space": _chunks(b"2 \r\nxx\r\n"),
    "chunk size with 0x": _chunks(b"0x2\r\nxx\r\n"),
    "chunk size with a plus": _chunks(b"+2\r\nxx\r\n"),
    "chunk size below nothing": _chunks(b"-2\r\nxx\r\n"),
    "chunk size with an underscore": _chunks(b"0_2\r\nxx\r\n"),
    "chunk size beyond 64 bits": _chunks(b"10000000000000002\r\nxx\r\n"),
    "chunk size before a bare LF": _chunks(b"2\nxx\r\n"),
    "chunk that is longer than it says": _chunks(b"2\r\nxxyy\r\n"),
    "chunk that ends with a bare LF": _chunks(b"2\r\nxx\n"),
    "chunk without its end": _chunks(b"2\r\nxx"),
    "trailer with a length": lambda hidden: _post(
        _CHUNKED,
        b"2\r\nxx\r\n0\r\nContent-Length: %d\r\nX-Rest: " % len(hidden) + hidden.replace(b"\r\n", b" ") + b"\r\n\r\n",
    ),
    "GET with a body": _raw(b"GET /admin/login HTTP/1.1\r\n" + _HOST + b"Content-Length: %d\r\n\r\n"),
    "GET with a length and chunks": lambda hidden: (
        b"GET /admin/login HTTP/1.1\r\n"
        + _HOST
        + _CHUNKED
        + b"Content-Length: %d\r\n\r\n" % (len(hidden) + 5)
        + b"0\r\n\r\n"
        + hidden
    ),
    "HEAD with a body": _raw(b"HEAD /admin/login HTTP/1.1\r\n" + _HOST + b"Content-Length: %d\r\n\r\n"),
    "OPTIONS with a body": _raw(b"OPTIONS * HTTP/1.1\r\n" + _HOST + b"Content-Length: %d\r\n\r\n"),
    "static file with a body": _raw(b"GET /static/site.css HTTP/1.1\r\n" + _HOST + b"Content-Length: %d\r\n\r\n"),
    "expectation with a body": _raw(_TARGET + _FORM + b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n"),
    "HTTP/1.0 with chunks": lambda hidden: _early_end(_CHUNKED)(hidden).replace(b"HTTP/1.1", b"HTTP/1.0", 1),
    "HTTP/1.0 with chunks, to be kept open": lambda hidden: _post(
        _CHUNKED + b"Connection: keep-alive\r\n", b"0\r\n\r\n" + hidden
    ).replace(b"HTTP/1.1", b"HTTP/1.0", 1),
    "HTTP/0.9": _raw(b"GET /admin/login\r\n"),
    "HTTP/0.9 with a header": _raw(b"GET /admin/login\r\n" + _HOST + b"\r\n"),
    "HTTP/2.0 in words": _raw(b"GET /admin/login HTTP/2.0\r\n" + _HOST + b"Content-Length: %d\r\n\r\n"),
    "HTTP/1.11": _raw(b"GET /admin/login HTTP/1.11\r\n" + _HOST + b"Content-Length: %d\r\n\r\n"),
    "two hosts": _raw(b"GET /admin/login HTTP/1.1\r\n" + _HOST + b"Host: localhost\r\nContent-Length: %d\r\n\r\n"),
    "no host": _raw(b"GET /admin/login HTTP/1.1\r\nContent-Length: %d\r\n\r\n"),
    "upgrade to HTTP/2": _raw(
        b"GET /admin/login HTTP/1.1\r\n"
        + _HOST
        + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
        + b"Content-Length: %d\r\n\r\n"
    ),
    "upgrade to a WebSocket": _raw(
        b"GET /admin/overview/live HTTP/1.1\r\n"
        + _HOST
        + b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        + b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nContent-Length: %d\r\n\r\n"
    ),
    "length that a hop takes away": _raw(_TARGET + _FORM + b"Connection: Content-Length\r\nContent-Length: %d\r\n\r\n"),
    "request line with a bare CR": _raw(b"GET /admin/login HTTP/1.1\r" + _HOST + b"Content-Length: %d\r\n\r\n"),
    "request line with a tab": _raw(b"GET\t/admin/login\tHTTP/1.1\r\n" + _HOST + b"Content-Length: %d\r\n\r\n"),
}
