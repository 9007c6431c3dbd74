"""What mail says, made fit for a database: no NUL, no lone surrogates, not endlessly long, plain JSON only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from concord.errors import ConcordError
from concord.model.fault import dump

# RFC 5322 section 2.1.1: a line, and so an unfolded header that anybody meant to be read, has at most 998 characters.
LINE: Final = 998
# Errors carry facts and a remedy; what is longer than this is a page that some server sent.
REASON: Final = 2000


def clean(text: str, longest: int | None = None) -> str:
    """PostgreSQL refuses NUL, and no database can encode half a surrogate pair."""
    if "\x00" in text:
        text = text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode("utf-8")
    return text if longest is None else text[:longest]


def plain(value: object) -> object:
    """Anything as JSON can say it; an error becomes code and facts, what JSON cannot say becomes text."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, str):
        return clean(str(value))
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {clean(str(name)): plain(held) for name, held in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(held) for held in value]
    return dump(value) if isinstance(value, ConcordError) else clean(str(value))
