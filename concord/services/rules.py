"""Rules: which mails go to which handlers and workflows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from concord.auditing import audited
from concord.errors import ExistsError, NotFoundError, did_you_mean
from concord.model.caller import Caller
from concord.model.rule import Rule
from concord.pipeline.dispatch import BUILT_IN
from concord.pipeline.rules import check_rule, rule_from_document, rule_to_document
from concord.services.differences import differing

if TYPE_CHECKING:
    from concord.bootstrap import Concord


def written(parts: Concord, document: Mapping[str, Any]) -> Rule:
    """A rule as a form or the command line says it. Raises UsageError."""
    rule = rule_from_document(document)
    check(parts, rule)
    return rule


def check(parts: Concord, rule: Rule) -> None:
    """Raises UsageError for one that cannot be meant, or that names what is not there."""
    check_rule(
        rule,
        handlers={*BUILT_IN, *(known.name for known in parts.rulebook.handlers())},
        workflows={known.name for known in parts.rulebook.workflows()},
    )


def find(parts: Concord, name: str) -> Rule:
    """Raises NotFoundError."""
    rules = {rule.name: rule for rule in parts.rulebook.rules()}
    if name not in rules:
        raise NotFoundError(
            "There is no such rule", rule=name, remedy=did_you_mean(name, rules) or "See them with 'concord rule list'"
        )
    return rules[name]


def save(parts: Concord, rule: Rule, *, replacing: bool = False, by: Caller) -> Rule:
    """Keep a new one, or in place of the one of that name. Raises UsageError, ExistsError."""
    check(parts, rule)
    before = next((known for known in parts.rulebook.rules() if known.name == rule.name), None)
    if before and not replacing:
        raise ExistsError("There is a rule of that name already", rule=rule.name, remedy="Change it with --replace")
    detail = differing(rule_to_document(before) if before else {}, rule_to_document(rule))
    with audited(parts.audit, by, "rule.edit" if before else "rule.add", rule.name, detail=detail):
        return parts.rulebook.save_rule(rule)


def switch(parts: Concord, name: str, *, enabled: bool, by: Caller) -> Rule:
    """Ask it from now on, or not any more. Raises NotFoundError."""
    with audited(parts.audit, by, "rule.enable" if enabled else "rule.disable", name):
        return parts.rulebook.save_rule(replace(find(parts, name), enabled=enabled))


def remove(parts: Concord, name: str, *, by: Caller) -> None:
    """Raises NotFoundError."""
    with audited(parts.audit, by, "rule.remove", name):
        find(parts, name)
        parts.rulebook.remove_rule(name)
