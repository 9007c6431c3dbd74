"""Refusing rules that cannot be meant, before they are kept: each refusal names the rule, the cause and the remedy."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from typing import Final

from concord.errors import UsageError, did_you_mean
from concord.model.rule import Match, Rule
from concord.pipeline.pattern import compiled

# RFC 5322 section 2.2: printable US-ASCII without the colon.
_HEADER_NAME: Final = re.compile(r"[!-9;-~]+")


def check_rule(
    rule: Rule, *, handlers: Collection[str] | None = None, workflows: Collection[str] | None = None
) -> None:
    """Raise UsageError for a rule that cannot be meant. Names are checked against the known ones where given."""
    if not rule.name.strip():
        raise UsageError("A rule has no name", remedy="Give it one with name = …")
    _check_sizes(rule)
    _check_patterns(rule)
    if rule.skip and rule.match == Match():
        raise UsageError(
            "A rule would skip every mail",
            rule=rule.name,
            cause="it has no condition",
            remedy='Give it a condition; if all mail is meant, say match.account = "*"',
        )
    _check_names(rule, "handler", rule.handlers, handlers)
    _check_names(rule, "workflow", rule.workflows, workflows)


def _check_sizes(rule: Rule) -> None:
    larger, smaller = rule.match.larger, rule.match.smaller
    for name, size in (("larger", larger), ("smaller", smaller)):
        if size is not None and size < 0:
            raise UsageError(
                "A size is negative", rule=rule.name, condition=name, size=size, remedy="Give it in octets, or as 10MB"
            )
    if smaller == 0 or (larger is not None and smaller is not None and larger >= smaller - 1):
        raise UsageError(
            "No mail has such a size",
            rule=rule.name,
            larger=larger,
            smaller=smaller,
            remedy="Make 'larger' the lower limit and 'smaller' the upper one",
        )


def _check_patterns(rule: Rule) -> None:
    for name in rule.match.header:
        if not _HEADER_NAME.fullmatch(name):
            raise UsageError(
                "A header name cannot be one",
                rule=rule.name,
                header=name,
                remedy="Write the name alone, without colon or spaces: List-Id",
            )
    for condition, pattern in _patterns(rule.match):
        if not pattern.strip():
            raise UsageError(
                "A pattern is empty",
                rule=rule.name,
                condition=condition,
                remedy="Use * for any value, re:^$ for an empty one, or leave the condition out",
            )
        _check_pattern(rule, condition, pattern)


def _check_pattern(rule: Rule, condition: str, pattern: str) -> None:
    try:
        compiled(pattern)
    except UsageError as error:
        raise UsageError(
            error.message, remedy=error.advice, rule=rule.name, condition=condition, **error.fields
        ) from error


def _patterns(match: Match) -> Iterator[tuple[str, str]]:
    for name in ("account", "folder", "from_", "to", "cc", "subject", "attachment_name", "attachment_type"):
        for pattern in getattr(match, name):
            yield name.rstrip("_"), pattern
    for header, patterns in match.header.items():
        for pattern in patterns:
            yield f"header {header}", pattern


def _check_names(rule: Rule, noun: str, names: tuple[str, ...], known: Collection[str] | None) -> None:
    for name in names:
        if known is not None and name not in known:
            raise UsageError(
                f"A rule names a {noun} that does not exist",
                rule=rule.name,
                **{noun: name},
                remedy=did_you_mean(name, known)
                or f"Add the {noun} first; known: {', '.join(sorted(known)) or 'none'}",
            )
