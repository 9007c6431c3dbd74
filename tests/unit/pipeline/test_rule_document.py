"""Rules as people write them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from concord.errors import UsageError
from concord.model.account import Priority
from concord.model.rule import Match, Rule
from concord.pipeline.rule_document import octets, read_rule
from concord.pipeline.rules import rule_from_document, rule_to_document
from concord.wording import english

FULL = Rule(
    name="orders",
    position=10,
    enabled=False,
    match=Match(
        account=("sales",),
        folder=("INBOX", "Orders"),
        from_=("*@example.com",),
        to=("a@example.net",),
        cc=("b@example.net",),
        subject=("*order*", "re:^PO"),
        header={"X-Spam": ("no",), "List-Id": ("a", "b")},
        larger=1000,
        smaller=2000,
        attachment_name=("*.pdf",),
        attachment_type=("application/pdf",),
    ),
    priority=Priority.HIGH,
    handlers=("crm", "log"),
    workflows=("ticket",),
    stop=True,
)


@pytest.mark.parametrize("rule", [FULL, Rule(name="bare"), Rule(name="skips", match=Match(account=("*",)), skip=True)])
def test_what_is_written_reads_back_the_same(rule: Rule) -> None:
    written = json.loads(json.dumps(rule_to_document(rule)))

    assert rule_from_document(written) == rule


def test_one_word_may_stand_where_a_list_is_meant() -> None:
    rule = rule_from_document(
        {"name": "x", "match": {"from": "*@a", "header": {"X-A": "1"}}, "handlers": "crm", "workflows": "ticket"}
    )

    assert rule.match == Match(from_=("*@a",), header={"X-A": ("1",)})
    assert (rule.handlers, rule.workflows) == (("crm",), ("ticket",))


@pytest.mark.parametrize(
    ("written", "size"),
    [
        (0, 0),
        (1500, 1500),
        ("1500", 1500),
        ("10MB", 10_000_000),
        ("10 mb", 10_000_000),
        ("500kB", 500_000),
        ("2 GiB", 2 * 1024**3),
        ("1KiB", 1024),
        ("7B", 7),
        ("-5MB", -5_000_000),
    ],
)
def test_sizes_are_read_as_people_write_them(written: object, size: int) -> None:
    assert octets(written) == size


@pytest.mark.parametrize("written", ["", "big", "10 XB", "1.5MB", True, None, 1.5, ["1"]])
def test_other_sizes_are_refused(written: object) -> None:
    with pytest.raises(ValueError, match="10MB"):
        octets(written)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({}, "has no name"),
        ({"name": 7}, "has no name"),
        ({"name": "x", "handler": "crm"}, "Did you mean 'handlers'?"),
        ({"name": "x", "zzz": 1}, "The keys are name, position"),
        ({"name": "x", "match": {"form": "a"}}, "Did you mean 'from'?"),
        ({"name": "x", "match": {"from_": "a"}}, "Did you mean 'from'?"),
        ({"name": "x", "match": {"larger": "huge"}}, "rule=x, key=larger"),
        ({"name": "x", "match": "all"}, "a table of conditions"),
        ({"name": "x", "match": {"header": "X-A"}}, "a table of header names"),
        ({"name": "x", "match": {"from": [1]}}, "a list of them"),
        ({"name": "x", "priority": "urgent"}, "high, normal or low"),
        ({"name": "x", "priority": ["high"]}, "high, normal or low"),
        ({"name": "x", "position": "first"}, "a whole number"),
        ({"name": "x", "position": True}, "a whole number"),
        ({"name": "x", "skip": "yes"}, "true or false"),
    ],
)
def test_what_cannot_be_read_is_refused_with_rule_and_key(document: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        rule_from_document(document)

    assert said in english.explain(caught.value)
    assert english.remedy(caught.value)


def test_every_mistake_is_told_with_its_place_and_the_rest_is_read() -> None:
    rule, mistakes = read_rule(
        {"position": "first", "priority": "high", "match": {"from": [1], "subject": "*x*", "form": "a"}, "zzz": 1}
    )

    assert [mistake.path for mistake in mistakes] == [
        ("name",),
        ("position",),
        ("zzz",),
        ("match", "from"),
        ("match", "form"),
    ]
    assert (rule.priority, rule.match.subject) == ("high", ("*x*",))
