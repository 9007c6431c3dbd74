"""What the headers of a mail say about it: ids, urgency, and the headers themselves as people read them."""

from __future__ import annotations

import re
from typing import Final

from concord.mime import limits, words
from concord.mime.defect import Defect, Defects
from concord.mime.header import Block
from concord.model.account import Priority

_ID: Final = re.compile(r"<([^<>]{1,2000})>")
_ONCE: Final = frozenset(
    {"from", "sender", "to", "cc", "bcc", "reply-to", "subject", "date", "message-id", "in-reply-to", "references"}
)
_HIGH: Final = {
    "importance": ("high",),
    "x-priority": ("1", "2"),
    "priority": ("urgent",),
    "x-msmail-priority": ("high",),
}
_LOW: Final = {
    "importance": ("low",),
    "x-priority": ("4", "5"),
    "priority": ("non-urgent",),
    "x-msmail-priority": ("low",),
}


def headers(block: Block, defects: Defects) -> tuple[tuple[str, str], ...]:
    """Every header in order, decoded."""
    seen: set[str] = set()
    for name, _ in block.fields:
        lower = name.lower()
        if lower in seen and lower in _ONCE:
            defects.add(Defect.HEADER_DUPLICATE)
        seen.add(lower)
    return tuple((name, words.decode(value, defects)) for name, value in block.fields)


def message_id(raw: str | None) -> str | None:
    """A Message-ID with its angle brackets, if it has any; without the spaces that folding put into it."""
    if not raw:
        return None
    text = words.decode(raw, set())
    found = _ID.search(text)
    return f"<{''.join(found[1].split())}>" if found else "".join(text.split())[:998] or None


def references(raw: str | None, defects: Defects) -> tuple[str, ...]:
    """The ids of a References or In-Reply-To header, oldest first."""
    if not raw:
        return ()
    text = words.decode(raw, set())
    found = [f"<{''.join(one.split())}>" for one in _ID.findall(text)]
    if not found:
        found = [word for word in text.split() if "@" in word]
    if len(found) > limits.REFERENCES:
        defects.add(Defect.TOO_MANY_REFERENCES)
    return tuple(found[: limits.REFERENCES])


def priority(block: Block) -> Priority | None:
    """How urgent the sender calls it; None if the mail does not say, or says 'normal'."""
    stated = {name: (block.first(name) or "").partition(" ")[0].lower() for name in _HIGH}
    if any(stated[name] in words_for for name, words_for in _HIGH.items()):
        return Priority.HIGH
    if any(stated[name] in words_for for name, words_for in _LOW.items()):
        return Priority.LOW
    return None
