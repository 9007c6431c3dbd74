"""As much of HTTP/2 (RFC 9113) as it takes to send what no library would send."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from enum import IntEnum
from typing import Final

_PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_END_STREAM, _END_HEADERS = 0x1, 0x4
_STREAM: Final = 1
_SEVEN_BITS: Final = 0x7F


class Kind(IntEnum):
    """Of a frame (section 6)."""

    DATA = 0
    HEADERS = 1
    RESET = 3
    SETTINGS = 4
    GOAWAY = 7


def request(headers: Sequence[tuple[bytes, bytes]], body: bytes = b"") -> bytes:
    """A connection's beginning and one request; fields go out as they are given, pseudo-header fields first or not."""
    block = b"".join(b"\x10" + _string(name) + _string(value) for name, value in headers)
    flags = _END_HEADERS | (0 if body else _END_STREAM)
    frames = [_PREFACE, _frame(Kind.SETTINGS, 0, 0, b""), _frame(Kind.HEADERS, flags, _STREAM, block)]
    if body:
        frames.append(_frame(Kind.DATA, _END_STREAM, _STREAM, body))
    return b"".join(frames)


def heard(connection: socket.socket) -> list[Kind]:
    """The kinds of frames that come back on our stream, until it or the connection ends."""
    kinds: list[Kind] = []
    try:
        while head := _exactly(connection, 9):
            length, kind, flags, stream = int.from_bytes(head[:3]), head[3], head[4], int.from_bytes(head[5:])
            _exactly(connection, length)
            if stream == _STREAM or kind == Kind.GOAWAY:
                kinds += [Kind(kind)] if kind in set(Kind) else []
            if kind in (Kind.GOAWAY, Kind.RESET) or (stream == _STREAM and flags & _END_STREAM and kind <= 1):
                break
    except OSError:
        pass
    return kinds


def _string(text: bytes) -> bytes:
    """Without Huffman's code (RFC 7541, section 5.2)."""
    return _number(len(text)) + text


def _number(value: int) -> bytes:
    """With a prefix of seven bits (section 5.1)."""
    if value < _SEVEN_BITS:
        return bytes([value])
    value -= _SEVEN_BITS
    told = [_SEVEN_BITS]
    while value > _SEVEN_BITS:
        told.append(value % 128 | 128)
        value //= 128
    return bytes([*told, value])


def _frame(kind: Kind, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def _exactly(connection: socket.socket, size: int) -> bytes:
    read = b""
    while len(read) < size and (piece := connection.recv(size - len(read))):
        read += piece
    return read if len(read) == size else b""
