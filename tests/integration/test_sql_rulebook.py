"""Rules, handlers and workflows come back as they were written, on both databases."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from concord.adapters.sql.rulebook import SqlRulebook
from concord.errors import ExistsError, NotFoundError
from concord.model.account import Priority
from concord.model.rule import HandlerSpec, Match, Rule
from concord.wording import english
from tests.sql_world import workflow

RULE = Rule(
    name="发票",
    position=5,
    match=Match(
        account=("sales",),
        folder=("INBOX",),
        from_=("*@example.com", "re:^a"),
        to=("bob@example.net",),
        cc=("c",),
        subject=("*invoice*",),
        header={"List-Id": ("*announce*",)},
        larger=1,
        smaller=2**40,
        attachment_name=("*.pdf",),
        attachment_type=("application/pdf",),
    ),
    priority=Priority.HIGH,
    handlers=("log", "hook"),
    workflows=("file",),
    skip=True,
    stop=True,
    enabled=False,
)
HANDLER = HandlerSpec(name="hook", kind="webhook", options={"url": "https://example.com/?q=ü"}, secret=b"\x00sealed")


@pytest.fixture
def rulebook(engine: Engine) -> SqlRulebook:
    """An empty one."""
    return SqlRulebook(engine)


def test_a_rule_comes_back_as_it_was_written(rulebook: SqlRulebook) -> None:
    saved = rulebook.save_rule(RULE)

    assert rulebook.rules() == [saved]
    assert replace(saved, id=0) == RULE


def test_an_empty_rule_comes_back_too(rulebook: SqlRulebook) -> None:
    assert rulebook.rules() == []
    assert [rulebook.save_rule(Rule(name="all"))] == rulebook.rules()


def test_rules_come_in_order_of_position_then_name(rulebook: SqlRulebook) -> None:
    for name, position in (("b", 2), ("c", 1), ("a", 2)):
        rulebook.save_rule(Rule(name=name, position=position))

    assert [rule.name for rule in rulebook.rules()] == ["c", "a", "b"]


def test_saving_again_changes_the_one_of_that_name(rulebook: SqlRulebook) -> None:
    first = rulebook.save_rule(RULE)
    rulebook.save_handler(HANDLER)
    rulebook.save_workflow(workflow())

    again = rulebook.save_rule(replace(RULE, position=9))
    rulebook.save_handler(replace(HANDLER, enabled=False))
    rulebook.save_workflow(workflow(steps=3))

    assert (again.id, [rule.position for rule in rulebook.rules()]) == (first.id, [9])
    assert [handler.enabled for handler in rulebook.handlers()] == [False]
    assert [len(found.steps) for found in rulebook.workflows()] == [3]


def test_handlers_and_workflows_come_back_as_they_were_written(rulebook: SqlRulebook) -> None:
    handler, flow = rulebook.save_handler(HANDLER), rulebook.save_workflow(workflow())

    assert rulebook.handlers() == [handler]
    assert rulebook.workflows() == [flow]
    assert replace(handler, id=0) == HANDLER
    assert replace(flow, id=0) == workflow()


def test_what_is_removed_is_gone(rulebook: SqlRulebook) -> None:
    rulebook.save_rule(RULE)
    rulebook.save_handler(HANDLER)
    rulebook.save_workflow(workflow())

    rulebook.remove_rule(RULE.name)
    rulebook.remove_handler("hook")
    rulebook.remove_workflow("file")

    assert (rulebook.rules(), rulebook.handlers(), rulebook.workflows()) == ([], [], [])


@pytest.mark.parametrize("verb", ["remove_rule", "remove_handler", "remove_workflow"])
def test_removing_what_is_not_there_names_it(rulebook: SqlRulebook, verb: str) -> None:
    with pytest.raises(NotFoundError) as caught:
        getattr(rulebook, verb)("nothing")

    assert "nothing" in english.explain(caught.value)


def test_a_rule_gets_another_name_and_keeps_all_else(rulebook: SqlRulebook) -> None:
    saved = rulebook.save_rule(RULE)

    rulebook.rename_rule(RULE.name, "invoices")

    assert rulebook.rules() == [replace(saved, name="invoices")]


def test_a_rule_does_not_get_the_name_of_another(rulebook: SqlRulebook) -> None:
    for name in ("a", "b"):
        rulebook.save_rule(Rule(name=name))

    rulebook.rename_rule("a", "a")
    with pytest.raises(ExistsError):
        rulebook.rename_rule("a", "b")
    with pytest.raises(NotFoundError):
        rulebook.rename_rule("c", "d")

    assert [rule.name for rule in rulebook.rules()] == ["a", "b"]


def test_rules_are_placed_all_or_none(rulebook: SqlRulebook) -> None:
    for name in ("a", "b", "c"):
        rulebook.save_rule(Rule(name=name))

    rulebook.place_rules({"c": 10, "a": 20, "b": 30})
    with pytest.raises(NotFoundError):
        rulebook.place_rules({"b": 1, "gone": 2})

    assert [(rule.name, rule.position) for rule in rulebook.rules()] == [("c", 10), ("a", 20), ("b", 30)]
