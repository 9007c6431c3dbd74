"""Address headers: names and addresses out of whatever senders write into From and To."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final

from concord.mime import limits, words
from concord.mime.defect import Defect, Defects
from concord.model.mail import Address

_TOKEN: Final = re.compile(
    r"""(?P<word>=\?[^?\s]{1,60}\?[BbQq]\?[^?]{0,1000}\?=)
      | "(?P<quoted>(?:[^"\\]|\\.)*+)"
      | \((?P<comment>(?:[^()\\]|\\.|\([^()]*\))*+)\)
      | <(?P<angle>[^<>]*)>
      | (?P<mark>[,;:])
      | (?P<text>[^\s",;:()<>]+|\s+|.)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\(.)", re.DOTALL)
_AROUND_AT: Final = re.compile(r"\s*@\s*")
_WHOLE: Final = re.compile(r"(?P<name>[^<>]*)<(?P<address>[^<>\s]+@[^<>\s]+)>")
# An unclosed quote is looked for again behind every backslash: with many, time grows with the square.
_MOST_ESCAPES: Final = 50


@dataclass(slots=True)
class _Entry:
    """What stands between two commas."""

    name: list[str] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    local: str = ""  # a quoted local part, before its @
    angle: str | None = None

    def is_empty(self) -> bool:
        return self.angle is None and not "".join(self.name).strip() and not self.comments

    def bare(self) -> str:
        return "".join(self.name).strip()


def parse(raw: str | None, defects: Defects) -> tuple[Address, ...]:
    """Read an address header's raw text. Groups are dissolved into their members."""
    if not raw:
        return ()
    if raw.count("\\") > _MOST_ESCAPES:
        defects.add(Defect.ADDRESS_MALFORMED)
        raw = raw.replace("\\", "")
    found: list[Address] = []
    for entry in _whole_entries(_entries(raw), defects):
        if len(found) >= limits.ADDRESSES:
            defects.add(Defect.TOO_MANY_ADDRESSES)
            break
        name, address = _halves(entry, defects)
        if not name and not address:
            continue
        if "@" not in address:
            defects.add(Defect.ADDRESS_MALFORMED)
        found.append(Address(name=name, address=address))
    return tuple(found)


def _entries(raw: str) -> Iterator[tuple[_Entry, str]]:
    """Each entry and the mark that ended it."""
    entry = _Entry()
    for token in _TOKEN.finditer(raw):
        mark = token["mark"]
        if mark is None:
            _add(entry, token)
        elif mark == ":" and entry.angle is None:
            if "@" in entry.bare():
                entry.name.append(mark)  # an address literal: [IPv6:…]
            else:
                entry = _Entry()  # that was a group's name
        else:
            yield entry, mark
            entry = _Entry()
    yield entry, ""


def _add(entry: _Entry, token: re.Match[str]) -> None:
    if token["angle"] is not None:
        entry.angle = token["angle"] if not entry.angle else entry.angle
    elif token["comment"] is not None:
        entry.comments.append(token["comment"])
    elif token["quoted"] is not None and token.string.startswith("@", token.end()):
        entry.local = token[0]
    elif entry.local and entry.angle is None:
        entry.angle = entry.local + token[0]
    elif token["quoted"] is not None:
        entry.name.append(_ESCAPE.sub(r"\1", token["quoted"]))
    elif token[0] not in ("<", ">", "(", ")", '"'):
        entry.name.append(token[0])


def _whole_entries(entries: Iterator[tuple[_Entry, str]], defects: Defects) -> Iterator[_Entry]:
    """Put together again what an unquoted comma took apart: `Doe, John <john@example.org>`."""
    waiting: _Entry | None = None
    for entry, mark in entries:
        current = entry
        if waiting is not None:
            if entry.angle is not None and entry.bare():
                defects.add(Defect.ADDRESS_MALFORMED)
                current = replace(entry, name=[f"{waiting.bare()}, {entry.bare()}"])
            else:
                yield waiting
            waiting = None
        if current.is_empty():
            continue
        if mark == "," and current.angle is None and "@" not in current.bare() and "=?" not in current.bare():
            waiting = current
        else:
            yield current
    if waiting is not None:
        yield waiting


def _halves(entry: _Entry, defects: Defects) -> tuple[str, str]:
    comment = words.decode(" ".join(entry.comments), defects)
    if entry.angle is not None:
        address = words.decode(entry.angle, defects)
        if '"' not in address:
            address = "".join(address.split())
        return words.decode(entry.bare(), defects) or comment, address.removeprefix("mailto:")
    bare = words.decode(_AROUND_AT.sub("@", entry.bare()), defects)
    if hidden := _WHOLE.fullmatch(bare):  # name and address inside one encoded word
        defects.add(Defect.ADDRESS_MALFORMED)
        return hidden["name"].strip(' "'), hidden["address"]
    if "@" not in bare:
        return (bare, "") if " " in bare or entry.comments else (comment, bare)
    pieces = bare.split()
    address = next(piece for piece in reversed(pieces) if "@" in piece)
    if len(pieces) > 1:
        defects.add(Defect.ADDRESS_MALFORMED)
    return " ".join(piece for piece in pieces if piece is not address) or comment, address
