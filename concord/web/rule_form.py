"""A rule as the fields of a form: patterns one a line, headers as `Name: pattern`, names ticked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from concord.errors import Mistake, UsageError
from concord.model.rule import Rule
from concord.pipeline.rules import rule_to_document
from concord.web.error_text import in_words
from concord.web.forms import Posted
from concord.web.i18n import N_, gettext
from concord.web.render import octets

# In the order in which people think of them.
PATTERNS: Final = ("from", "to", "cc", "subject", "account", "folder", "attachment_name", "attachment_type")
SIZES: Final = ("larger", "smaller")
_TEXTS: Final = ("name", *PATTERNS, "header", *SIZES, "priority")
_TICKS: Final = ("enabled", "skip", "stop")
# All that a mistake can stand beside.
FIELDS: Final = frozenset((*_TEXTS, "handlers", "workflows", "skip"))
WORDS: Final[Mapping[str, str]] = {
    "account": N_("Mailbox"),
    "folder": N_("Folder"),
    "from": N_("From"),
    "to": N_("To"),
    "cc": N_("Cc"),
    "subject": N_("Subject"),
    "attachment_name": N_("Attachment's name"),
    "attachment_type": N_("Attachment's type"),
    "attachment": N_("Attachment"),
    "header": N_("Header"),
    "larger": N_("Larger than"),
    "smaller": N_("Smaller than"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleGiven:
    """What stands in the form."""

    texts: Mapping[str, str]
    ticks: frozenset[str]
    handlers: Sequence[str] = ()
    workflows: Sequence[str] = ()


BLANK: Final = RuleGiven(texts=dict.fromkeys(_TEXTS, ""), ticks=frozenset({"enabled"}))


def given_by(form: Posted) -> RuleGiven:
    """As it was sent."""
    return RuleGiven(
        texts={name: form.text(name) for name in _TEXTS},
        ticks=frozenset(name for name in _TICKS if form.has(name)),
        handlers=tuple(dict.fromkeys(form.all("handlers"))),
        workflows=tuple(dict.fromkeys(form.all("workflows"))),
    )


def given_of(rule: Rule) -> RuleGiven:
    """As a rule that is kept fills it."""
    match = rule_to_document(rule).get("match", {})
    texts = {name: "\n".join(_list(match.get(name, []))) for name in PATTERNS}
    texts |= {name: str(match.get(name, "")) for name in SIZES}
    headers = [f"{name}: {pattern}" for name, patterns in rule.match.header.items() for pattern in patterns]
    own = {"name": rule.name, "header": "\n".join(headers), "priority": rule.priority.value if rule.priority else ""}
    ticks = frozenset(name for name in _TICKS if getattr(rule, name))
    return RuleGiven(texts=texts | own, ticks=ticks, handlers=rule.handlers, workflows=rule.workflows)


def document_of(given: RuleGiven, position: int) -> tuple[dict[str, Any], list[Mistake]]:
    """The written form of what the form says; and the lines that say nothing that could be written."""
    headers, mistakes = _headers(given.texts["header"])
    match: dict[str, Any] = {name: _lines(given.texts[name]) for name in PATTERNS}
    match |= {"header": headers, **{name: given.texts[name] for name in SIZES}}
    document = {
        "name": given.texts["name"],
        "position": position,
        "match": {key: value for key, value in match.items() if value},
        "priority": given.texts["priority"] or None,
        "handlers": list(given.handlers),
        "workflows": list(given.workflows),
        **{name: name in given.ticks for name in _TICKS},
    }
    return document, mistakes


def told(mistakes: Iterable[Mistake]) -> dict[str, str]:
    """What is wrong with each field, in the reader's words; of patterns, with which."""
    found: dict[str, list[str]] = {}
    for mistake in mistakes:
        path = mistake.path[1:] if mistake.path[0] == "match" and len(mistake.path) > 1 else mistake.path
        found.setdefault(str(path[0]), []).append(_in_words(mistake.error))
    return {name: " ".join(words) for name, words in found.items()}


def mark(rule: Rule) -> str:
    """Tells whether something was changed between showing a form and getting it back."""
    return hashlib.sha256(json.dumps(rule_to_document(rule), sort_keys=True).encode()).hexdigest()[:16]


def conditions(rule: Rule) -> list[tuple[str, Sequence[str]]]:
    """A rule's conditions for people: the words for each, and its patterns."""
    match = rule.match
    patterns = {name: getattr(match, "from_" if name == "from" else name) for name in PATTERNS}
    found = [(gettext(WORDS[name]), given) for name, given in patterns.items() if given]
    found += [(name, given) for name, given in match.header.items()]
    sizes = {name: getattr(match, name) for name in SIZES}
    return found + [(gettext(WORDS[name]), (octets(size),)) for name, size in sizes.items() if size is not None]


def why(failed: str | None) -> str:
    """Which condition did not hold, as `RuleVerdict.failed` names it."""
    kind, _, name = (failed or "").partition(" ")
    return name if kind == "header" else gettext(WORDS.get(kind, kind))


def _in_words(error: UsageError) -> str:
    words, pattern = in_words(error), error.facts.get("pattern")
    if not pattern:
        return words
    return gettext(N_("‘%(pattern)s’: %(mistake)s")) % {"pattern": pattern, "mistake": words}


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _list(written: str | list[str]) -> list[str]:
    return [written] if isinstance(written, str) else written


def _headers(text: str) -> tuple[dict[str, list[str]], list[Mistake]]:
    """Lines of one header, in whatever case it is written, are its patterns: one is enough."""
    headers: dict[str, list[str]] = {}
    mistakes = []
    for line in _lines(text):
        name, colon, pattern = (part.strip() for part in line.partition(":"))
        if colon and pattern:
            known = next((one for one in headers if one.lower() == name.lower()), name)
            headers.setdefault(known, []).append(pattern)
        else:
            error = UsageError("header_condition.line", pattern=line)
            mistakes.append(Mistake(("match", "header"), error))
    return headers, mistakes
