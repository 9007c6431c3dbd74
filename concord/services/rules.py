"""Rules: which mails go to which handlers and workflows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from concord.auditing import audited
from concord.errors import ConflictError, ExistsError, Mistake, NotFoundError, nearest
from concord.model.caller import Caller
from concord.model.rule import Rule
from concord.pipeline.dispatch import BUILT_IN
from concord.pipeline.rule_check import FARTHEST, rule_mistakes
from concord.pipeline.rule_document import read_rule
from concord.pipeline.rules import check_rule, rule_from_document, rule_to_document
from concord.services.differences import differing

if TYPE_CHECKING:
    from concord.bootstrap import Concord


STEP: Final = 10  # between two positions, so that a file can put a rule between two others


def written(parts: Concord, document: Mapping[str, Any]) -> Rule:
    """A rule as a form or the command line says it. Raises UsageError."""
    rule = rule_from_document(document)
    check(parts, rule)
    return rule


def read_form(parts: Concord, document: Mapping[str, Any]) -> tuple[Rule, list[Mistake]]:
    """The same for a form, which shows every mistake at its field."""
    rule, mistakes = read_rule(document)
    told = {mistake.path for mistake in mistakes}
    further = rule_mistakes(rule, handlers=handler_names(parts), workflows=workflow_names(parts))
    return rule, [*mistakes, *(mistake for mistake in further if mistake.path not in told)]


def read_draft(parts: Concord, document: Mapping[str, Any], before: Rule | None) -> tuple[Rule, list[Mistake]]:
    """The same for one that is only tried: its name may be missing, or be another rule's, and then is left out."""
    rule, mistakes = read_form(parts, document)
    others = {kept.name for kept in parts.rulebook.rules() if before is None or kept.id != before.id}
    named = replace(rule, name="") if rule.name in others else rule
    return named, [mistake for mistake in mistakes if mistake.path != ("name",)]


def check(parts: Concord, rule: Rule) -> None:
    """Raises UsageError for one that cannot be meant, or that names what is not there."""
    check_rule(rule, handlers=handler_names(parts), workflows=workflow_names(parts))


def handler_names(parts: Concord) -> set[str]:
    """All that a rule may name, the built-in ones too."""
    return {*BUILT_IN, *(known.name for known in parts.rulebook.handlers())}


def workflow_names(parts: Concord) -> set[str]:
    """All that a rule may name."""
    return {known.name for known in parts.rulebook.workflows()}


def find(parts: Concord, name: str) -> Rule:
    """Raises NotFoundError."""
    rules = {rule.name: rule for rule in parts.rulebook.rules()}
    if name not in rules:
        raise NotFoundError("rule", rule=name, near=nearest(name, rules))
    return rules[name]


def save(parts: Concord, rule: Rule, *, replacing: bool = False, by: Caller) -> Rule:
    """Keep a new one, or in place of the one of that name. Raises UsageError, ExistsError."""
    check(parts, rule)
    before = next((known for known in parts.rulebook.rules() if known.name == rule.name), None)
    if before and not replacing:
        raise ExistsError("rule", rule=rule.name)
    detail = differing(rule_to_document(before) if before else {}, rule_to_document(rule))
    with audited(parts.audit, by, "rule.edit" if before else "rule.add", rule.name, detail=detail):
        return parts.rulebook.save_rule(rule)


def change(parts: Concord, before: Rule, rule: Rule, *, by: Caller) -> Rule:
    """Put this in place of that, under another name too. Raises UsageError, NotFoundError, ExistsError."""
    check(parts, rule)
    if rule.name != before.name:
        rename(parts, before.name, rule.name, by=by)
    return save(parts, rule, replacing=True, by=by)


def of_id(parts: Concord, rule_id: int) -> Rule:
    """Raises NotFoundError."""
    found = next((rule for rule in parts.rulebook.rules() if rule.id == rule_id), None)
    if found is None:
        raise NotFoundError("rule", rule=rule_id)
    return found


def switch(parts: Concord, name: str, *, enabled: bool, by: Caller) -> Rule:
    """Ask it from now on, or not any more. Raises NotFoundError."""
    with audited(parts.audit, by, "rule.enable" if enabled else "rule.disable", name):
        return parts.rulebook.save_rule(replace(find(parts, name), enabled=enabled))


def remove(parts: Concord, name: str, *, by: Caller) -> None:
    """Raises NotFoundError."""
    with audited(parts.audit, by, "rule.remove", name):
        find(parts, name)
        parts.rulebook.remove_rule(name)


def rename(parts: Concord, name: str, new: str, *, by: Caller) -> Rule:
    """All else stays; what it did to mails keeps the old name. Raises UsageError, NotFoundError, ExistsError."""
    rule = replace(find(parts, name), name=new)
    check_rule(rule)
    with audited(parts.audit, by, "rule.rename", name, detail=f"name: {name} → {new}"):
        parts.rulebook.rename_rule(name, new)
    return rule


def last_position(parts: Concord) -> int:
    """Where a rule goes that is asked after all others."""
    return min(max((rule.position for rule in parts.rulebook.rules()), default=0) + STEP, FARTHEST)


def place(parts: Concord, names: Sequence[str], *, by: Caller) -> list[Rule]:
    """Ask the rules in this order from now on: all of them, each once.

    Raises ConflictError where rules came or went meanwhile, and nothing is changed.
    """
    there = [rule.name for rule in parts.rulebook.rules()]
    if sorted(names) != sorted(there):
        strange, left = set(names) - set(there), set(there) - set(names)
        raise ConflictError("rules_changed", unknown=", ".join(sorted(strange)), left_out=", ".join(sorted(left)))
    with audited(parts.audit, by, "rule.order", detail=" → ".join(names)):
        parts.rulebook.place_rules({name: (place + 1) * STEP for place, name in enumerate(names)})
    return parts.rulebook.rules()


def move(parts: Concord, name: str, *, earlier: bool, by: Caller) -> list[Rule]:
    """One place earlier or later; the first stays first, the last stays last. Raises NotFoundError."""
    find(parts, name)
    names = [rule.name for rule in parts.rulebook.rules()]
    here = names.index(name)
    there = max(here - 1, 0) if earlier else min(here + 1, len(names) - 1)
    if there == here:
        return parts.rulebook.rules()
    names[here], names[there] = names[there], names[here]
    return place(parts, names, by=by)
