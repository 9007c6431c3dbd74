"""An error as it is kept in rows: its situation and its facts, as JSON. Sentences are made where it is read.

{"code": "mailbox_down.cut", "facts": {"host": "imap.example.com", "cause": "Connection reset by peer"}}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self

from concord.errors import ConcordError
from concord.wording import english

# A row takes so many characters; JSON that is cut off would be none.
LONGEST: Final = 2000
# What is longer is a page that some server sent.
_LONGEST_TEXT: Final = 500
_SHORTEST_TEXT: Final = 60
# A word for what is no error of Concord's.
UNEXPECTED: Final = "unexpected"


@dataclass(frozen=True, slots=True)
class Fault:
    """What happened, and about what."""

    situation: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """What is worth keeping of an error; of one that is not Concord's own, its class and its text."""
        if isinstance(error, ConcordError):
            return cls(error.situation, error.facts)
        return cls(UNEXPECTED, {"cause": f"{type(error).__name__}: {error}"})

    @classmethod
    def parse(cls, text: str | None) -> Self | None:
        """What `dump` wrote; None for any other text, an older version's say."""
        if not text or not text.startswith('{"code": "'):
            return None
        try:
            written = json.loads(text)
        except (ValueError, RecursionError):
            return None
        if not isinstance(written, dict) or not isinstance(written.get("code"), str):
            return None
        facts = written.get("facts")
        return cls(written["code"], facts if isinstance(facts, dict) else {})

    def dump(self, most: int = LONGEST) -> str:
        """As JSON that fits into a row: long texts are shortened, and what still does not fit is left out."""
        longest = _LONGEST_TEXT
        facts = dict(self.facts)
        while len(text := self._written(facts, longest)) > most:
            if longest > _SHORTEST_TEXT:
                longest //= 2
            elif facts:
                facts.popitem()
            else:
                return json.dumps({"code": self.situation[:_LONGEST_TEXT], "facts": {}})
        return text

    def _written(self, facts: Mapping[str, Any], longest: int) -> str:
        document = {"code": self.situation, "facts": {name: _short(value, longest) for name, value in facts.items()}}
        return json.dumps(document, ensure_ascii=False, default=str)


def dump(error: BaseException, most: int = LONGEST) -> str:
    """An error as a row keeps it."""
    return Fault.of(error).dump(most)


def _short(value: object, longest: int) -> object:
    if isinstance(value, str):
        # What no database can keep, and no JSON reader needs.
        text = value.replace("\x00", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")
        return text if len(text) <= longest else f"{text[: longest - 1]}…"
    if isinstance(value, Mapping):
        return {str(name): _short(one, longest) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_short(one, longest) for one in value]
    return value


def in_english(stored: str | None) -> str | None:
    """What a row keeps of an error, in words; what an older version wrote there stays as it is."""
    fault = Fault.parse(stored)
    return english.explain(fault) if fault else stored


def spelt_out(detail: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a row or a step, each error among them in words, with its facts beside it as `NAME_facts`."""
    said: dict[str, Any] = {}
    for name, value in detail.items():
        fault = Fault.parse(value) if isinstance(value, str) else None
        said[name] = english.explain(fault) if fault else value
        if fault:
            said[f"{name}_facts"] = dict(fault.facts)
    return said
