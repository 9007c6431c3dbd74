"""The header block of a mail or of one of its parts: names and raw values in order, and where the body begins."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from concord.mime import limits
from concord.mime.defect import Defect, Defects

_FIELD: Final = re.compile(rb"([!-9;-~]{1,200})[ \t]*:")
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

    def first(self, name: str) -> str | None:
        """The first value under a lower-case name."""
        return next((value for key, value in self.fields if key.lower() == name), None)


def split(raw: bytes, start: int, end: int, defects: Defects) -> Block:
    """Read the headers that begin at an offset."""
    fields: list[tuple[str, str]] = []
    lines: list[bytes] = []  # of the field being read
    stop = min(end, start + limits.HEADER_BLOCK)
    at = start
    for at, after, line in _lines(raw, start, stop):
        if not line:
            _keep(fields, lines, defects)
            return Block(tuple(fields), after)
        if line[:1] in b" \t" and lines:
            lines.append(line)
        elif _FIELD.match(line):
            _keep(fields, lines, defects)
            lines = [line]
        elif at == start and _ENVELOPE.match(line):
            continue
        elif not _goes_on(raw, after, stop):
            _keep(fields, lines, defects)
            defects.add(Defect.HEADER_SEPARATOR_MISSING if fields else Defect.HEADERS_MISSING)
            return Block(tuple(fields), at)
        else:
            defects.add(Defect.HEADER_MALFORMED)
    _keep(fields, lines, defects)
    if stop < end:
        defects.add(Defect.TOO_MANY_HEADERS)
        return Block(tuple(fields), _after_headers(raw, at, end))
    return Block(tuple(fields), end, complete=False)


def _lines(raw: bytes, start: int, stop: int) -> Iterator[tuple[int, int, bytes]]:
    """Each line's offset, the next one's, and its text without the line end."""
    at = start
    while at < stop:
        newline = raw.find(b"\n", at, stop)
        after = stop if newline < 0 else newline + 1
        yield at, after, raw[at:after].rstrip(b"\r\n")
        at = after


def _goes_on(raw: bytes, at: int, stop: int) -> bool:
    return _KNOWN.match(raw, at, stop) is not None


def _keep(fields: list[tuple[str, str]], lines: list[bytes], defects: Defects) -> None:
    if not lines:
        return
    if len(fields) >= limits.HEADERS:
        defects.add(Defect.TOO_MANY_HEADERS)
        return
    name, _, rest = lines[0].partition(b":")
    # However a long line was folded, a person reads one space there.
    value = b" ".join(line.strip() for line in (rest, *lines[1:])) if len(lines) > 1 else rest.strip()
    if len(value) > limits.HEADER_VALUE:
        defects.add(Defect.HEADER_TOO_LONG)
        value = value[: limits.HEADER_VALUE]
    if b"\0" in value:
        defects.add(Defect.NUL_BYTES)
        value = value.replace(b"\0", b"")
    fields.append((name.rstrip().decode("latin-1"), value.strip().decode("latin-1")))


_EMPTY_LINE: Final = re.compile(rb"\n\r?\n")


def _after_headers(raw: bytes, at: int, end: int) -> int:
    found = _EMPTY_LINE.search(raw, at, end)
    return found.end() if found else end
