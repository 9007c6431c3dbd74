"""ISO-2022-JP as it is really written: with the characters that Windows added and Python's codec refuses."""

from __future__ import annotations

import re
from typing import Final

_SEGMENT: Final = re.compile(rb"\x1b(\$[@B]|\$\([A-Z@]|\([A-Z]|\.[A-Z])([^\x1b]*)")
_CODECS: Final = ("iso2022_jp", "iso2022_jp_2", "iso2022_jp_3", "iso2022_jp_ext", "iso2022_jp_2004")
_DOUBLE: Final = (b"$@", b"$B", b"$(@", b"$(B", b"$(O", b"$(Q")
_FIRST, _LAST = 0x21, 0x7E
# Shift_JIS leaves a gap in the leads for half-width katakana, and one in the trails for DEL.
_ROWS_BELOW_GAP, _CELLS_BELOW_GAP = 0x5F, 0x60


def decode(data: bytes) -> str | None:
    """Read all of it, or none."""
    for codec in _CODECS:
        try:
            return data.decode(codec)
        except UnicodeError:
            continue
    return _windows(data)


def _windows(data: bytes) -> str | None:
    """Carry each segment over to Shift_JIS, where the added rows (NEC 13, IBM) have a codec: cp932."""
    first = data.find(b"\x1b")
    if first < 0:
        first = len(data)
    pieces = [data[:first]]
    reached = first
    for match in _SEGMENT.finditer(data, first):
        if match.start() != reached:
            return None
        reached = match.end()
        pieces.append(_segment(match[1], match[2]))
    if reached != len(data):
        return None
    try:
        return b"".join(pieces).decode("cp932")
    except UnicodeError:
        return None


def _segment(escape: bytes, data: bytes) -> bytes:
    if escape == b"(I":  # half-width katakana
        return bytes(octet | 0x80 for octet in data)
    return _shifted(data) if escape in _DOUBLE else data


def _shifted(data: bytes) -> bytes:
    """JIS X 0208 row and cell to Shift_JIS lead and trail. Line ends inside a segment stay what they are."""
    out = bytearray()
    octets = iter(data)
    for row in octets:
        cell = next(octets, 0) if _FIRST <= row <= _LAST else 0
        if not _FIRST <= cell <= _LAST:
            out.append(row)
            continue
        lead = (row + 1) // 2 + (0x70 if row < _ROWS_BELOW_GAP else 0xB0)
        trail = cell + (0x1F if cell < _CELLS_BELOW_GAP else 0x20) if row % 2 else cell + 0x7E
        out += bytes((lead, trail))
    return bytes(out)
