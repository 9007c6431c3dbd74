"""Folder names: modified UTF-7 on the wire (RFC 3501 5.1.3), plain text for people; and the answers to LIST."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from imapclient import imap_utf7

# Flags of what is listed and cannot be opened.
_CLOSED: Final = frozenset({b"\\noselect", b"\\nonexistent"})
_LIST: Final = re.compile(rb'\((?P<flags>[^)]*)\) +(?:"(?:\\.|[^"\\])*"|NIL) +(?P<name>.*)', re.DOTALL | re.IGNORECASE)
_LITERAL: Final = re.compile(rb"\{\d+\+?\}$")


def encode(name: str) -> bytes:
    """As it is sent."""
    return bytes(imap_utf7.encode(name))


def quoted(name: bytes) -> bytes:
    """As it stands in a command."""
    return b'"' + name.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


def decode(name: bytes) -> str:
    """As people read it. Servers that write UTF-8, or an `&` that begins nothing, are understood as well."""
    if not name.isascii():
        return name.decode("utf-8", "replace")
    try:
        return str(imap_utf7.decode(name))
    except UnicodeDecodeError:
        return name.decode("ascii")


def selectable(answers: Iterable[object]) -> Iterator[bytes]:
    """The names, as on the wire, of the folders in imaplib's answers to LIST that can be opened."""
    for answer in answers:
        if isinstance(answer, tuple):  # the name came as a literal
            line = _LITERAL.sub(b"", bytes(answer[0])) + bytes(answer[1])
        elif isinstance(answer, bytes) and answer:
            line = answer
        else:
            continue
        found = _LIST.match(line)
        if found is None:
            raise ValueError(f"not an answer to LIST: {line!r}")
        if not _CLOSED & set(found["flags"].lower().split()):
            yield found["name"] if isinstance(answer, tuple) else _unquoted(found["name"])


def _unquoted(name: bytes) -> bytes:
    name = name.strip()
    if len(name) >= 2 and name.startswith(b'"') and name.endswith(b'"'):  # noqa: PLR2004 - two quotation marks
        return re.sub(rb"\\(.)", rb"\1", name[1:-1])
    return name
