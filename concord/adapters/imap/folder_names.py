"""Folder names: modified UTF-7 on the wire (RFC 3501 5.1.3), plain text for people; and the answers to LIST."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator
from typing import Final

import structlog
from imapclient import imap_utf7

log = structlog.get_logger(__name__)

# Flags of what is listed and cannot be opened.
_CLOSED: Final = frozenset({b"\\noselect", b"\\nonexistent"})
_LIST: Final = re.compile(rb'\((?P<flags>[^)]*)\) +(?:"(?:\\.|[^"\\])*"|NIL) +(?P<name>.*)', re.DOTALL | re.IGNORECASE)
_LITERAL: Final = re.compile(rb"\{\d+\+?\}$")
# What no command can carry inside quotation marks (RFC 9051 section 9, QUOTED-CHAR).
_UNSENDABLE: Final = re.compile(rb"[\0\r\n]")
_LONGEST: Final = 1000  # octets; servers stop at 255 or 1024
_SHOWN: Final = 100


def encode(name: str) -> bytes:
    """As it is sent."""
    return bytes(imap_utf7.encode(name))


def quoted(name: bytes) -> bytes:
    """As it stands in a command."""
    return b'"' + name.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def decode(name: bytes) -> str:
    """As people read it. Servers that write UTF-8, or an `&` that begins nothing, are understood as well.

    What cannot be shown or stored (control characters, half a surrogate pair) is escaped.
    """
    if not name.isascii():
        return _shown(name.decode("utf-8", "replace"))
    try:
        return _shown(str(imap_utf7.decode(name)))
    except ValueError:
        return _shown(name.decode("ascii"))


def _shown(name: str) -> str:
    return "".join(
        f"\\x{ord(letter):02x}" if unicodedata.category(letter) in ("Cc", "Cs") else letter for letter in name
    )


def readable(raws: Iterable[bytes]) -> dict[str, bytes]:
    """Each listed name as people read it, and as it is on the wire; two folders never share a name.

    A name does not depend on the order of the list: the one that is encoded by the book keeps it, others that read
    the same get a suffix.
    """
    listed = list(dict.fromkeys(raws))
    names: dict[bytes, str] = {}
    taken: set[str] = set()
    for raw in sorted(listed, key=lambda raw: (encode(decode(raw)) != raw, raw)):
        name = decode(raw)
        names[raw] = f"{name} [{hashlib.sha256(raw).hexdigest()[:8]}]" if name in taken else name
        taken.add(names[raw])
    return {names[raw]: raw for raw in listed}


def selectable(answers: Iterable[object]) -> Iterator[tuple[bytes, frozenset[str]]]:
    """Names, as on the wire, and flags in lower case of the folders in imaplib's answers to LIST that can be opened.

    A line that cannot be read costs its own folder only. Raises ValueError where no line can be read.
    """
    understood, odd = 0, b""
    for answer in answers:
        if isinstance(answer, tuple):  # the name came as a literal
            line = _LITERAL.sub(b"", bytes(answer[0])) + bytes(answer[1])
        elif isinstance(answer, bytes) and answer:
            line = answer
        else:
            continue
        found = _LIST.match(line)
        name = b"" if found is None else found["name"] if isinstance(answer, tuple) else _unquoted(found["name"])
        if found is None or not name or len(name) > _LONGEST or _UNSENDABLE.search(name):
            odd = line[:_SHOWN]
            log.warning("folder.left_out", answer=repr(odd))
            continue
        understood += 1
        flags = frozenset(found["flags"].lower().split())
        if not _CLOSED & flags:
            yield name, frozenset(flag.decode("ascii", "replace") for flag in flags)
    if odd and not understood:
        raise ValueError(f"not an answer to LIST: {odd!r}")


def _unquoted(name: bytes) -> bytes:
    name = name.strip()
    if len(name) >= 2 and name.startswith(b'"') and name.endswith(b'"'):  # noqa: PLR2004 - two quotation marks
        return re.sub(rb"\\(.)", rb"\1", name[1:-1])
    return name
