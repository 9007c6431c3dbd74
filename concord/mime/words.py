"""Header text: folded lines, encoded words (RFC 2047, 2231) and raw octets turned into what a person should see.

Raw header text is handled as a Latin-1 string throughout the package, one character an octet, so that no octet is lost
before its charset is known.
"""

from __future__ import annotations

import binascii
import re
from typing import Final

from concord.mime import charset
from concord.mime.defect import Defect, Defects

_START: Final = re.compile(r"=\?([A-Za-z0-9_.:()+'-]{1,60})(?:\*[A-Za-z0-9-]{0,40})?\?([BbQq])\?")
_END: Final = re.compile(r"\?=(?![0-9A-F]{2})")
_ANY_END: Final = re.compile(r"\?=")
_NOT_BASE64: Final = re.compile(r"[^A-Za-z0-9+/]")
_CONTROLS: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_Q_SPACE: Final = str.maketrans("_", " ")


def decode(raw: str, defects: Defects) -> str:
    """Read unfolded header text. Control characters, which could fake another header, become spaces."""
    if raw.isascii() and raw.isprintable() and "=?" not in raw:
        return raw.strip()
    text = "".join(_pieces(raw, defects)) if "=?" in raw else _plain(raw, defects)
    if _CONTROLS.search(text):
        defects.add(Defect.CONTROL_CHARACTERS)
        text = _CONTROLS.sub(" ", text)
    return text.strip()


def _plain(raw: str, defects: Defects) -> str:
    return raw if raw.isascii() and "\x1b$" not in raw else charset.decode(raw.encode("latin-1"), None, defects)


def _pieces(raw: str, defects: Defects) -> list[str]:
    """Alternate plain text and runs of encoded words.

    Neighbours in one charset are joined before decoding, because senders split characters between them.
    """
    pieces: list[str] = []
    run, label, reached = bytearray(), "", 0
    starts = list(_START.finditer(raw))
    limits = [following.start() for following in starts[1:]] + [len(raw)]
    for start, limit in zip(starts, limits, strict=False):
        between = raw[reached : start.start()]
        name = charset.normalise(start[1])
        apart = not label or bool(between.strip())
        if apart or name != label:
            pieces.append(charset.decode(bytes(run), label, defects))
            run = bytearray()
        if apart:
            pieces.append(_plain(between, defects))
        label = name
        content, reached = _content(raw, start.end(), limit, defects)
        run += _octets(content, start[2], defects)
    pieces.append(charset.decode(bytes(run), label, defects))
    pieces.append(_plain(raw[reached:], defects))
    return pieces


def _content(raw: str, begin: int, limit: int, defects: Defects) -> tuple[str, int]:
    """An encoded word's inside, and where what follows it begins."""
    # Some senders leave a question mark as it is, and "?=C3" is not yet the end.
    end = _END.search(raw, begin, limit) or _ANY_END.search(raw, begin, limit)
    if end:
        return raw[begin : end.start()], end.end()
    defects.add(Defect.ENCODED_WORD_MALFORMED)
    return raw[begin:limit].rstrip().removesuffix("?"), limit


def _octets(content: str, encoding: str, defects: Defects) -> bytes:
    if encoding in "qQ":
        return binascii.a2b_qp(content.translate(_Q_SPACE).encode("latin-1"))
    clean = _NOT_BASE64.sub("", content)
    if len(clean) % 4 == 1 or clean != content.rstrip("="):
        defects.add(Defect.ENCODED_WORD_MALFORMED)
        clean = clean[: len(clean) - (len(clean) % 4 == 1)]
    return binascii.a2b_base64(clean + "=" * (-len(clean) % 4))
