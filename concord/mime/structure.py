"""The tree of a mail's parts as offsets into its octets: none is copied, and none descended for ever."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from concord.mime import header, limits, parameters
from concord.mime.defect import Defect, Defects
from concord.mime.header import Block
from concord.mime.parameters import Valued

PLAIN: Final = "text/plain"
_TYPE: Final = re.compile(r"[a-z0-9!#$&^_.+-]{1,100}/[a-z0-9!#$&^_.+-]{1,100}")
_REST_OF_LINE: Final = re.compile(rb"(--)?[ \t]*\r?(?:\n|\Z)")
_NEWLINE: Final = 0x0A
_LONGEST_BOUNDARY: Final = 1_000  # RFC 2046 allows 70; longer ones exist and work


@dataclass(slots=True)
class Part:
    """One node. A leaf's content is `raw[start:end]`, still encoded; a multipart's are its children."""

    headers: Block
    content_type: str
    declared: Valued
    disposition: Valued
    start: int
    end: int
    children: list[Part] = field(default_factory=list)

    @property
    def is_multipart(self) -> bool:
        return bool(self.children)


@dataclass(slots=True)
class _Budget:
    parts: int = limits.PARTS


def read(raw: bytes, defects: Defects) -> Part:
    """Take a mail apart, outermost boundary first, so that an unclosed inner one ends where its parent's begins."""
    root = _part(raw, 0, len(raw), PLAIN, defects)
    budget = _Budget()
    waiting = [(root, 0)]
    while waiting:
        part, depth = waiting.pop()
        if not part.content_type.startswith("multipart/"):
            continue
        if depth >= limits.DEPTH:
            defects.add(Defect.TOO_DEEP)
            part.content_type = "application/octet-stream"
            continue
        part.children = _children(raw, part, budget, defects)
        if not part.children:
            part.content_type = PLAIN  # a person sees the source, as mail programs show it
        waiting.extend((child, depth + 1) for child in reversed(part.children))
    return root


def _part(raw: bytes, start: int, end: int, default: str, defects: Defects) -> Part:
    block = header.split(raw, start, end, defects)
    declared = parameters.parse(block.first("content-type"), defects)
    disposition = parameters.parse(block.first("content-disposition"), defects)
    body = min(block.body, end)
    return Part(block, _content_type(declared, disposition, default, defects), declared, disposition, body, end)


def _content_type(declared: Valued, disposition: Valued, default: str, defects: Defects) -> str:
    if not declared.value:
        return default
    first = declared.value.split()[0].strip("\"'")
    if _TYPE.fullmatch(first):
        return first
    defects.add(Defect.CONTENT_TYPE_MALFORMED)
    # RFC 2045 section 5.2 says plain text; for a file, octets are the safer reading.
    is_file = disposition.value == "attachment" or "filename" in disposition.parameters or "name" in declared.parameters
    return "application/octet-stream" if is_file else PLAIN


def _children(raw: bytes, part: Part, budget: _Budget, defects: Defects) -> list[Part]:
    boundary = part.declared.parameters.get("boundary", "").rstrip()
    if not 0 < len(boundary) <= _LONGEST_BOUNDARY:
        defects.add(Defect.BOUNDARY_MISSING)
        return []
    default = "message/rfc822" if part.content_type == "multipart/digest" else PLAIN
    children: list[Part] = []
    for start, end in _slices(raw, part, boundary.encode("latin-1", "replace"), defects):
        if budget.parts <= 0:
            defects.add(Defect.TOO_MANY_PARTS)
            break
        budget.parts -= 1
        children.append(_part(raw, start, end, default, defects))
    return children


def _slices(raw: bytes, part: Part, boundary: bytes, defects: Defects) -> list[tuple[int, int]]:
    """The octets between delimiter lines. The line end before a delimiter belongs to it (RFC 2046 section 5.1.1)."""
    found: list[tuple[int, int]] = []
    opened: int | None = None
    for match in _delimiters(raw, part.start, part.end, b"--" + boundary):
        if opened is not None:
            found.append((opened, _without_line_end(raw, opened, match.start() - len(boundary) - 2)))
        opened = match.end()
        if match[1] or len(found) > limits.PARTS:
            return found
    if opened is None:
        defects.add(Defect.BOUNDARY_NOT_FOUND)
        return []
    defects.add(Defect.CLOSING_BOUNDARY_MISSING)
    return [*found, (opened, part.end)] if opened < part.end else found


def _delimiters(raw: bytes, start: int, end: int, delimiter: bytes) -> Iterator[re.Match[bytes]]:
    """Matches of what follows the boundary on each delimiter line; the first group is there on the closing one."""
    at = raw.find(delimiter, start, end)
    while at >= 0:
        after = at + len(delimiter)
        if (at == 0 or raw[at - 1] == _NEWLINE) and (match := _REST_OF_LINE.match(raw, after, end)):
            yield match
        at = raw.find(delimiter, after, end)


def _without_line_end(raw: bytes, start: int, end: int) -> int:
    for line_end in (b"\r\n", b"\n"):
        if raw.endswith(line_end, start, end):
            return end - len(line_end)
    return max(start, end)
