"""The header block of a mail or of one of its parts: names and raw values in order, and where the body begins."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from concord.mime import limits
from concord.mime.defect import Defect, Defects

# A name, and a value with the lines it is folded into.
_FIELD: Final = re.compile(rb"([!-9;-~]{1,200})[ \t]*+:([^\n]*+(?:\n[ \t][^\n]*+)*+)(?:\n|\Z)")
_ENVELOPE: Final = re.compile(rb">?From ")  # an mbox file's separator line is no header
# After a line that is no header, only these convince us that headers go on; other colons are prose.
_KNOWN: Final = re.compile(
    rb"(?:from|to|cc|bcc|subject|date|sender|reply-to|message-id|in-reply-to|references|mime-version|return-path|received"
    rb"|dkim-signature|content-[a-z-]{1,40}|x-[!-9;-~]{1,80}|list-[a-z-]{1,40})[ \t]*:",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Block:
    """A header block. Values are raw Latin-1 text, unfolded; names are as written."""

    fields: tuple[tuple[str, str], ...]
    body: int  # offset at which the body begins
    complete: bool = True  # whether the end of the headers was seen

    firsts: dict[str, str] = field(default_factory=dict, init=False)  # by lower-case name

    def __post_init__(self) -> None:
        for name, value in self.fields:
            self.firsts.setdefault(name.lower(), value)

    def first(self, name: str) -> str | None:
        """The first value under a lower-case name."""
        return self.firsts.get(name)


def split(raw: bytes, start: int, end: int, defects: Defects) -> Block:
    """Read the headers that begin at an offset."""
    fields: list[tuple[str, str]] = []
    stop = min(end, start + limits.HEADER_BLOCK)
    at = start
    while at < stop:
        match = _FIELD.match(raw, at, stop)
        if match:
            _keep(fields, match[1], match[2], defects)
            at = match.end()
            continue
        after = raw.find(b"\n", at, stop) + 1 or stop
        if not raw[at:after].rstrip(b"\r\n"):
            return Block(tuple(fields), after)
        if not (at == start and _ENVELOPE.match(raw, at, stop)):
            if not _KNOWN.match(raw, after, stop):
                defects.add(Defect.HEADER_SEPARATOR_MISSING if fields else Defect.HEADERS_MISSING)
                return Block(tuple(fields), at)
            defects.add(Defect.HEADER_MALFORMED)
        at = after
    if stop < end:
        defects.add(Defect.TOO_MANY_HEADERS)
        return Block(tuple(fields), _after_headers(raw, at, end))
    return Block(tuple(fields), end, complete=False)


def _keep(fields: list[tuple[str, str]], name: bytes, value: bytes, defects: Defects) -> None:
    if len(fields) >= limits.HEADERS:
        defects.add(Defect.TOO_MANY_HEADERS)
        return
    value = value.strip()
    if b"\n" in value:
        # However a long line was folded, a person reads one space there.
        value = b" ".join(line.strip() for line in value.split(b"\n")).strip()
    if len(value) > limits.HEADER_VALUE:
        defects.add(Defect.HEADER_TOO_LONG)
        value = value[: limits.HEADER_VALUE]
    if b"\0" in value:
        defects.add(Defect.NUL_BYTES)
        value = value.replace(b"\0", b"").strip()
    fields.append((name.decode("ascii"), value.decode("latin-1")))


_EMPTY_LINE: Final = re.compile(rb"\n\r?\n")


def _after_headers(raw: bytes, at: int, end: int) -> int:
    found = _EMPTY_LINE.search(raw, at, end)
    return found.end() if found else end
