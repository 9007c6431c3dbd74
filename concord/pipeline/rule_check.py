"""Refusing rules that cannot be meant, before they are kept: each refusal names the rule, the cause and the remedy."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final

from concord.errors import Mistake, UsageError, nearest
from concord.model.rule import Match, Rule
from concord.pipeline.naming import name_mistake
from concord.pipeline.pattern import compiled

# RFC 5322 section 2.2: printable US-ASCII without the colon.
_HEADER_NAME: Final = re.compile(r"[!-9;-~]+")
# What the database's whole numbers hold.
FARTHEST: Final = 2**31 - 1
_BIGGEST: Final = 2**63 - 1
_UNKNOWN: Final = {
    "handler": "rule_handler",
    "workflow": "rule_workflow",
}


def check_rule(
    rule: Rule, *, handlers: Collection[str] | None = None, workflows: Collection[str] | None = None
) -> None:
    """Raise UsageError for a rule that cannot be meant. Names are checked against the known ones where given."""
    for mistake in rule_mistakes(rule, handlers=handlers, workflows=workflows):
        raise mistake.error


def rule_mistakes(
    rule: Rule, *, handlers: Collection[str] | None = None, workflows: Collection[str] | None = None
) -> Iterator[Mistake]:
    """All that is wrong with it, each with its place in the rule's written form."""
    if wrong := name_mistake("rule", rule.name):
        yield wrong
    if not -FARTHEST <= rule.position <= FARTHEST:
        yield Mistake(
            ("position",),
            UsageError("rule_position", rule=rule.name, position=rule.position),
        )
    yield from _size_mistakes(rule)
    yield from _header_mistakes(rule)
    yield from _pattern_mistakes(rule)
    if rule.skip and rule.match == Match():
        yield Mistake(
            ("skip",),
            UsageError("rule_skips_all", rule=rule.name, cause="it has no condition"),
        )
    yield from _name_mistakes(rule, "handler", rule.handlers, handlers)
    yield from _name_mistakes(rule, "workflow", rule.workflows, workflows)


def _size_mistakes(rule: Rule) -> Iterator[Mistake]:
    larger, smaller = rule.match.larger, rule.match.smaller
    for name, size in (("larger", larger), ("smaller", smaller)):
        if size is not None and size < 0:
            error = UsageError("size_negative", rule=rule.name, condition=name, size=size)
            yield Mistake(("match", name), error)
        elif size is not None and size > _BIGGEST:
            error = UsageError("size_too_big", rule=rule.name, condition=name, size=size)
            yield Mistake(("match", name), error)
    if smaller == 0 or (larger is not None and smaller is not None and larger >= smaller - 1):
        error = UsageError("size_range", rule=rule.name, larger=larger, smaller=smaller)
        yield Mistake(("match", "smaller"), error)


def _header_mistakes(rule: Rule) -> Iterator[Mistake]:
    for name in rule.match.header:
        if not _HEADER_NAME.fullmatch(name):
            error = UsageError("header_name", rule=rule.name, header=name)
            yield Mistake(("match", "header", name), error)


def _pattern_mistakes(rule: Rule) -> Iterator[Mistake]:
    for condition, path, pattern in _patterns(rule.match):
        if not pattern.strip():
            error = UsageError("pattern_empty", rule=rule.name, condition=condition)
            yield Mistake(path, error)
            continue
        try:
            compiled(pattern)
        except UsageError as wrong:
            error = wrong.recast(UsageError, rule=rule.name, condition=condition)
            yield Mistake(path, error)


def _patterns(match: Match) -> Iterator[tuple[str, tuple[str | int, ...], str]]:
    """Each with its condition's name, and where it stands."""
    for attribute in ("account", "folder", "from_", "to", "cc", "subject", "attachment_name", "attachment_type"):
        name = attribute.rstrip("_")
        for place, pattern in enumerate(getattr(match, attribute)):
            yield name, ("match", name, place), pattern
    for header, patterns in match.header.items():
        for place, pattern in enumerate(patterns):
            yield f"header {header}", ("match", "header", header, place), pattern


def _name_mistakes(rule: Rule, noun: str, names: tuple[str, ...], known: Collection[str] | None) -> Iterator[Mistake]:
    for place, name in enumerate(names):
        if known is not None and name not in known:
            error = UsageError(
                _UNKNOWN[noun],
                rule=rule.name,
                **{noun: name},
                near=nearest(name, known),
                known=", ".join(sorted(known)) or "none",
            )
            yield Mistake((f"{noun}s", place), error)
