"""Content-Transfer-Encoding undone: whatever can be saved of the octets, and a defect where some could not."""

from __future__ import annotations

import binascii
import re
from typing import Final

from concord.mime.defect import Defect, Defects

_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_FOREIGN: Final = bytes(octet for octet in range(256) if octet not in _ALPHABET)
_PADDING: Final = 3  # so many "=" are too many
_SPACE: Final = b" \t\r\n"
_BROKEN_QP: Final = re.compile(rb"=(?![0-9A-Fa-f]{2}|\r?\n|\Z)")
_PADDED_BREAK: Final = re.compile(rb"=[ \t]+(?=\r?\n|\Z)")
_AS_IS: Final = frozenset({"", "7bit", "8bit", "binary", "7-bit", "8-bit", "7bits", "8bits", "none", "unencoded"})
_UU: Final = frozenset({"x-uuencode", "uuencode", "uue", "x-uue"})
_UU_BEGIN: Final = re.compile(rb"^begin [0-7]{3,4} [^\r\n]*\r?\n", re.MULTILINE)


def decode(data: bytes, encoding: str, defects: Defects) -> bytes:
    """Undo an encoding by its label."""
    name = encoding.partition(";")[0].partition("(")[0].strip(" \t\"'").lower()
    if name in _AS_IS:
        return data
    if name in ("base64", "base-64", "b64"):
        return _base64(data, defects)
    if name in ("quoted-printable", "quoted_printable", "quotedprintable", "qp"):
        return _quoted_printable(data, defects)
    if name in _UU:
        return _uuencode(data, defects)
    defects.add(Defect.TRANSFER_ENCODING_UNKNOWN)
    return data


def _base64(data: bytes, defects: Defects) -> bytes:
    clean = data.translate(None, _SPACE)
    padding = clean.count(b"=", -_PADDING)
    expected = len(clean) // 4 * 3 - padding
    try:
        octets = binascii.a2b_base64(clean)
    except binascii.Error:
        octets = b""
    # The decoder passes over what it does not know: only the length tells whether it knew everything.
    if len(octets) == expected and len(clean) % 4 == 0:
        return octets
    defects.add(Defect.BASE64_MALFORMED)
    return _salvaged(clean)


def _salvaged(clean: bytes) -> bytes:
    """Drop foreign octets, and read on behind padding, where encoded pieces were joined.

    Behind padding, though, text that is no base64 is a footer that somebody added, not content.
    """
    pieces: list[bytes] = []
    for piece in re.split(rb"=+", clean):
        if pieces and piece.translate(None, _ALPHABET):
            break
        head = piece.translate(None, _FOREIGN)
        head = head[: len(head) - (len(head) % 4 == 1)]
        pieces.append(binascii.a2b_base64(head + b"=" * (-len(head) % 4)))
    return b"".join(pieces)


def _quoted_printable(data: bytes, defects: Defects) -> bytes:
    if b"= " in data or b"=\t" in data:
        data = _PADDED_BREAK.sub(b"=", data)
    if _BROKEN_QP.search(data):
        defects.add(Defect.QUOTED_PRINTABLE_MALFORMED)
    return binascii.a2b_qp(data)


def _uuencode(data: bytes, defects: Defects) -> bytes:
    begin = _UU_BEGIN.search(data)
    if begin is None:
        defects.add(Defect.UUENCODE_MALFORMED)
        return data
    out = bytearray()
    for line in data[begin.end() :].splitlines():
        if line.strip() in (b"end", b"`", b""):
            if line.strip() == b"end":
                return bytes(out)
            continue
        out += _uu_line(line, defects)
    defects.add(Defect.UUENCODE_MALFORMED)
    return bytes(out)


def _uu_line(line: bytes, defects: Defects) -> bytes:
    try:
        return binascii.a2b_uu(line)
    except binascii.Error:
        # Many encoders pad the last line wrongly; the first character says how much of it counts.
        counted = (((line[0] - 32) & 63) * 4 + 5) // 3
    try:
        return binascii.a2b_uu(line[:counted])
    except binascii.Error:
        defects.add(Defect.UUENCODE_MALFORMED)
        return b""
