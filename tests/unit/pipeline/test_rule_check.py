"""Rules that cannot be meant are refused before they are kept."""

from __future__ import annotations

from typing import Any

import pytest

from concord.errors import UsageError
from concord.model.rule import Match, Rule
from concord.pipeline.rule_check import rule_mistakes
from concord.pipeline.rules import check_rule
from concord.wording import english


def rule(match: Match | None = None, **given: Any) -> Rule:
    given.setdefault("name", "a rule")
    return Rule(match=match or Match(), **given)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (rule(name=" "), "has no name"),
        (rule(name="a/b"), "without '/'"),
        (rule(name="-x"), "not beginning with '-'"),
        (rule(name="a\x00"), "printable"),
        (rule(name="x" * 101), "1 to 100"),
        (rule(position=2**31), "too far out"),
        (rule(Match(larger=2**63)), "bigger than any mail"),
        (rule(skip=True), 'match.account = "*"'),
        (rule(Match(subject=("re:(",))), "missing )"),
        (rule(Match(header={"X-A": ("re:[",)})), "condition=header X-A"),
        (rule(Match(from_=(" ",))), "condition=from"),
        (rule(Match(header={"X A": ("*",)})), "without colon or spaces"),
        (rule(Match(header={"X-A:": ("*",)})), "without colon or spaces"),
        (rule(Match(header={"": ("*",)})), "without colon or spaces"),
        (rule(Match(larger=-1)), "condition=larger"),
        (rule(Match(smaller=-5)), "condition=smaller"),
        (rule(Match(smaller=0)), "No mail has such a size"),
        (rule(Match(larger=10, smaller=11)), "No mail has such a size"),
        (rule(Match(larger=100, smaller=10)), "No mail has such a size"),
        (rule(handlers=("crn",)), "Did you mean 'crm'?"),
        (rule(handlers=("fax",)), "known: crm, log"),
        (rule(workflows=("tickets",)), "Did you mean 'ticket'?"),
    ],
)
def test_a_rule_that_cannot_be_meant_is_refused_with_a_remedy(wrong: Rule, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        check_rule(wrong, handlers={"crm", "log"}, workflows={"ticket"})

    assert said in english.explain(caught.value)
    assert english.remedy(caught.value)


@pytest.mark.parametrize(
    "fine",
    [
        rule(),
        rule(Match(account=("*",)), skip=True),
        rule(Match(larger=0, smaller=2)),
        rule(Match(subject=("re:^$", "[x]*", "*")), handlers=("crm",), workflows=("ticket",)),
        rule(Match(header={"X-A_b.c!": ("*",)})),
    ],
)
def test_a_rule_that_can_be_meant_passes(fine: Rule) -> None:
    check_rule(fine, handlers={"crm", "log"}, workflows={"ticket"})


def test_names_are_not_checked_where_none_are_known() -> None:
    check_rule(rule(handlers=("anything",), workflows=("whatever",)))


def test_every_mistake_is_told_with_its_place() -> None:
    wrong = rule(
        Match(from_=("*@a", "re:("), header={"X-A": ("*", " "), "X B": ("*",)}, larger=-1),
        handlers=("log", "fax"),
        workflows=("tickets",),
    )

    found = [mistake.path for mistake in rule_mistakes(wrong, handlers={"log"}, workflows=set())]

    assert found == [
        ("match", "larger"),
        ("match", "header", "X B"),
        ("match", "from", 1),
        ("match", "header", "X-A", 1),
        ("handlers", 1),
        ("workflows", 0),
    ]
