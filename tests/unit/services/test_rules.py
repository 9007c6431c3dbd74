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


def test_the_last_position_there_is_stays_one(parts: MemoryConcord) -> None:
    parts.rulebook.save_rule(Rule(name="z", position=2**31 - 1))

    rules.save(parts, Rule(name="zz", position=rules.last_position(parts)), by=BY)

    assert order(parts)[-2:] == ["z", "zz"]


def test_a_rule_is_changed_in_place_under_another_name(parts: MemoryConcord) -> None:
    before = rules.find(parts, "a")

    changed = rules.change(parts, before, Rule(name="new", position=5, stop=True), by=BY)

    assert (changed.id, order(parts)) == (before.id, ["b", "new", "c"])
    assert [row.action for row in parts.audit.entries()[:2]] == ["rule.edit", "rule.rename"]


def test_a_change_that_is_wrong_renames_nothing(parts: MemoryConcord) -> None:
    with pytest.raises(UsageError):
        rules.change(parts, rules.find(parts, "a"), Rule(name="new", handlers=("nobody",)), by=BY)

    assert order(parts) == ["a", "b", "c"]


def test_a_draft_needs_no_name_and_takes_nobodys(parts: MemoryConcord) -> None:
    before = rules.find(parts, "a")

    assert rules.read_draft(parts, {"name": ""}, None) == (Rule(name=""), [])
    assert rules.read_draft(parts, {"name": "b"}, before)[0].name == ""
    assert rules.read_draft(parts, {"name": "a"}, before)[0].name == "a"


def test_a_rule_is_found_by_its_number(parts: MemoryConcord) -> None:
    before = rules.find(parts, "a")

    assert rules.of_id(parts, before.id) == before
    with pytest.raises(NotFoundError):
        rules.of_id(parts, 999)
