"""Rules in an order, and from forms."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from concord.errors import ConflictError, ExistsError, NotFoundError, UsageError
from concord.model.caller import Caller
from concord.model.rule import Match, Rule
from concord.services import rules
from tests.fakes.command import MemoryConcord

BY = Caller(actor="olga", via="admin")


@pytest.fixture
def parts() -> Iterator[MemoryConcord]:
    """Three rules, two of them at the same position."""
    made = MemoryConcord()
    for name, position in (("a", 5), ("b", 5), ("c", 7)):
        made.rulebook.save_rule(Rule(name=name, position=position))
    yield made
    made.engine.dispose()


def order(parts: MemoryConcord) -> list[str]:
    return [rule.name for rule in parts.rulebook.rules()]


def test_rules_are_moved_one_place_at_a_time(parts: MemoryConcord) -> None:
    rules.move(parts, "b", earlier=True, by=BY)
    first = order(parts)
    rules.move(parts, "b", earlier=False, by=BY)
    rules.move(parts, "b", earlier=False, by=BY)

    assert first == ["b", "a", "c"]
    assert order(parts) == ["a", "c", "b"]
    assert [rule.position for rule in parts.rulebook.rules()] == [10, 20, 30]
    assert parts.audit.entries()[0].action == "rule.order"


def test_the_ends_stay_where_they_are(parts: MemoryConcord) -> None:
    rules.move(parts, "a", earlier=True, by=BY)
    rules.move(parts, "c", earlier=False, by=BY)

    assert order(parts) == ["a", "b", "c"]
    assert parts.audit.entries() == []


@pytest.mark.parametrize("names", [["a", "b"], ["a", "b", "c", "d"], ["a", "a", "b", "c"], []])
def test_an_order_of_other_rules_changes_nothing(parts: MemoryConcord, names: list[str]) -> None:
    with pytest.raises(ConflictError):
        rules.place(parts, names, by=BY)

    assert [rule.position for rule in parts.rulebook.rules()] == [5, 5, 7]


def test_a_new_rule_goes_last(parts: MemoryConcord) -> None:
    assert rules.last_position(parts) == 17


def test_a_rule_is_renamed(parts: MemoryConcord) -> None:
    rules.rename(parts, "a", "z", by=BY)
    with pytest.raises(ExistsError):
        rules.rename(parts, "z", "b", by=BY)
    with pytest.raises(NotFoundError):
        rules.rename(parts, "a", "y", by=BY)
    with pytest.raises(UsageError, match="cannot have this name"):
        rules.rename(parts, "z", "a/b", by=BY)

    assert order(parts) == ["b", "z", "c"]


def test_a_form_has_all_mistakes_at_once(parts: MemoryConcord) -> None:
    rule, mistakes = rules.read_form(
        parts, {"name": "", "position": "x", "match": {"from": ["*", "re:("]}, "handlers": ["fax"], "priority": "high"}
    )

    assert [mistake.path for mistake in mistakes] == [("name",), ("position",), ("match", "from", 1), ("handlers", 0)]
    assert rule.match == Match(from_=("*", "re:("))
