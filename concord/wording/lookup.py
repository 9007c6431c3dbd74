"""Finding and filling what the tables say of a situation.

`mailbox_denied.login.gmail` falls back to `mailbox_denied.login`, and that to `mailbox_denied`. A text has holes,
`%(name)s`, which only facts fill: a value is never a format.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, Protocol

from concord.wording.commands import REMEDIES as COMMANDS
from concord.wording.pages import REMEDIES as PAGES
from concord.wording.sentences import SENTENCES
from concord.wording.shared import REMEDIES as SHARED
from concord.wording.template import fill

Texts = Mapping[str, str | tuple[str, ...]]
FOR_COMMANDS: Final[Texts] = {**SHARED, **COMMANDS}
FOR_PAGES: Final[Texts] = {**SHARED, **PAGES}
# Facts that sentences and remedies are made with; beside them they would say the same twice.
UNSHOWN: Final = frozenset(
    {"near", "known", "noun", "words", "word", "command", "units", "log_files", "busy", "allow_in"}
)
_HOLE: Final = re.compile(r"%\((\w+)\)s")


class Failure(Protocol):
    """An error, or what is kept of one."""

    @property
    def situation(self) -> str: ...

    @property
    def facts(self) -> Mapping[str, object]: ...


def sentence_of(situation: str) -> str | None:
    """Its English text, with its holes; None for a situation that nobody knows."""
    return next((SENTENCES[name] for name in _names(situation) if name in SENTENCES), None)


def remedy_of(situation: str, facts: Mapping[str, object], texts: Texts) -> str:
    """The first text of which all holes can be filled; empty where there is nothing to do."""
    found = (texts[name] for name in _names(situation) if name in texts)
    choices = (text for one in found for text in ((one,) if isinstance(one, str) else one))
    return next((text for text in choices if all(name in facts for name in holes(text))), "")


def holes(text: str) -> list[str]:
    """The names of the facts that a text is filled with."""
    return _HOLE.findall(text)


def filled(text: str, facts: Mapping[str, object]) -> str:
    """The text with these facts in its holes; nothing stands in for a fact that is not known."""
    return fill(text, {name: facts.get(name, "") for name in holes(text)})


def shown_facts(failure: Failure) -> dict[str, object]:
    """The facts that stand beside the sentence."""
    return {name: value for name, value in failure.facts.items() if name not in UNSHOWN and value != ""}


def _names(situation: str) -> Iterator[str]:
    """The situation, and all that it falls back to."""
    while situation:
        yield situation
        situation = situation.rpartition(".")[0]
