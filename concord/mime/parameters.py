"""Content-Type and Content-Disposition: a value and its parameters, RFC 2231 forms included, broken or not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote_to_bytes

from concord.mime import charset, limits, words
from concord.mime.defect import Defect, Defects

_PARAMETER: Final = re.compile(
    r"""(?P<name>[^\s=;"]{1,100})\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*+)"|(?P<bare>[^;]*))""", re.DOTALL
)
_NOISE: Final = re.compile(r"(?:[;\s]|\([^()]*\))*+")  # comments too
_SKIP: Final = re.compile(r"[^;]*;?")
_ESCAPE: Final = re.compile(r"\\([\\\"])")
_CHARSET: Final = re.compile(r"([^']{0,60})'[^']{0,60}'")  # utf-8'en'
_SECTION: Final = re.compile(r"(?P<name>[^*]+)(?:\*(?P<index>\d{1,4}))?(?P<encoded>\*)?")


@dataclass(frozen=True, slots=True)
class Valued:
    """A structured header: its first token in lower case, and the parameters by lower-case name."""

    value: str = ""
    parameters: dict[str, str] = field(default_factory=dict)

    def token(self, name: str) -> str | None:
        """A parameter that is one word, without the remarks that some programs put behind it."""
        found = self.parameters.get(name, "").split("(")[0].split()
        return found[0] if found else None


@dataclass(slots=True)
class _Sections:
    """One parameter as it arrives: plain, or in numbered and perhaps encoded pieces."""

    plain: str | None = None
    pieces: dict[int, tuple[str, bool]] = field(default_factory=dict)


def parse(raw: str | None, defects: Defects) -> Valued:
    """Read a structured header's raw text."""
    if not raw:
        return Valued()
    value, semicolon, rest = raw.partition(";")
    if not semicolon:
        return Valued(value.strip().lower())
    found: dict[str, _Sections] = {}
    for name, text in _pairs(rest, defects):
        _collect(found, name, text)
    parameters = {name: _joined(sections, defects) for name, sections in found.items()}
    return Valued(value.strip().lower(), parameters)


def _pairs(rest: str, defects: Defects) -> Iterator[tuple[str, str]]:
    at = 0
    for _ in range(limits.PARAMETERS):
        at = _NOISE.match(rest, at).end()  # type: ignore[union-attr] # a pattern that also matches nothing
        if at >= len(rest):
            return
        match = _PARAMETER.match(rest, at)
        if match is None:
            defects.add(Defect.PARAMETER_MALFORMED)
            at = _SKIP.match(rest, at).end()  # type: ignore[union-attr] # a pattern that also matches nothing
            continue
        at = match.end()
        yield match["name"].lower(), _value(match, defects)
    defects.add(Defect.PARAMETER_MALFORMED)


def _value(match: re.Match[str], defects: Defects) -> str:
    if match["quoted"] is not None:
        return _ESCAPE.sub(r"\1", match["quoted"])
    bare = match["bare"].strip()
    if bare.startswith('"'):  # never closed
        defects.add(Defect.PARAMETER_MALFORMED)
    return bare.strip('"')


def _collect(found: dict[str, _Sections], name: str, text: str) -> None:
    section = _SECTION.fullmatch(name)
    if section is None:
        return
    sections = found.setdefault(section["name"], _Sections())
    if section["index"] is None and not section["encoded"]:
        sections.plain = text if sections.plain is None else sections.plain
    else:
        sections.pieces.setdefault(int(section["index"] or 0), (text, bool(section["encoded"])))


def _joined(sections: _Sections, defects: Defects) -> str:
    if not sections.pieces:
        return words.decode(sections.plain or "", defects)
    if sorted(sections.pieces) != list(range(len(sections.pieces))):
        defects.add(Defect.PARAMETER_MALFORMED)
    label, octets = None, bytearray()
    for index in sorted(sections.pieces):
        text, encoded = sections.pieces[index]
        if encoded and not octets and (prefixed := _CHARSET.match(text)):
            label, text = prefixed[1], text[prefixed.end() :]
        octets += unquote_to_bytes(text.encode("latin-1")) if encoded else text.encode("latin-1")
    # Some programs put encoded words into RFC 2231 pieces; nobody means them literally.
    if b"=?" in octets and label is None:
        return words.decode(octets.decode("latin-1"), defects)
    return charset.decode(bytes(octets), label, defects)
