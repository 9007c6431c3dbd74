"""An error as it was written down, `Sentence (fact=value, …). Remedy`, in the language of who reads it now.

Errors are kept in one line, as a log has them (`ConcordError.explain`). Their sentences, remedies and names of facts
are in the catalogue; what stands in between is shown as it was written.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from concord.web.i18n import N_, gettext

_FACT: Final = re.compile(r"(?:^|, )([a-z][a-z_]*)=")
# What keeps an odd line, of a server's answer with thousands of brackets say, from costing time.
_MOST_SPLITS: Final = 50


def retold(explained: str | None) -> str:
    """The line in the request's language; one of unknown origin stays as it is."""
    if not explained:
        return ""
    for sentence, rest in _splits(explained, " ("):
        facts, remedy = _facts_and_remedy(rest)
        if facts is not None and _is_known(sentence):
            words = {"sentence": gettext(sentence), "facts": _facts(facts), "remedy": remedy}
            return gettext(N_("%(sentence)s (%(facts)s). %(remedy)s")) % words if remedy else _without(words)
    for sentence, remedy in _splits(explained, ". "):
        if _is_known(sentence):
            return gettext(N_("%(sentence)s. %(remedy)s")) % {"sentence": gettext(sentence), "remedy": gettext(remedy)}
    return gettext(explained)


def _without(words: dict[str, str]) -> str:
    return gettext(N_("%(sentence)s (%(facts)s)")) % words


def _facts_and_remedy(rest: str) -> tuple[str | None, str]:
    """What was in brackets, and what follows in the reader's words; no facts where the bracket is never closed."""
    for facts, remedy in _splits(rest, "). "):
        if _is_known(remedy):
            return facts, gettext(remedy)
    facts, closed, remedy = rest.partition("). ")
    if closed:
        return facts, remedy
    return (rest[:-1], "") if rest.endswith(")") else (None, "")


def _facts(facts: str) -> str:
    """`name=value, …` with the names, and the causes that are ours, translated."""
    parts = _FACT.split(facts)
    if parts[0] or len(parts) < 3:  # noqa: PLR2004 - what came before, a name, a value
        return facts
    named = zip(parts[1::2], parts[2::2], strict=True)
    told = (
        gettext(N_("%(name)s: %(value)s")) % {"name": gettext(name.replace("_", " ")), "value": gettext(value)}
        for name, value in named
    )
    return gettext(N_(", ")).join(told)


def _splits(text: str, mark: str) -> Iterator[tuple[str, str]]:
    start = 0
    for _ in range(_MOST_SPLITS):
        found = text.find(mark, start)
        if found < 0:
            return
        yield text[:found], text[found + len(mark) :]
        start = found + len(mark)


def _is_known(sentence: str) -> bool:
    return bool(sentence) and gettext(sentence) != sentence
