"""The API of rules: all that the pages do, for programs (U7)."""

from __future__ import annotations

from typing import Any

import pytest

from concord.bootstrap import Concord
from concord.model.account import Account, Priority, StartKind, StartPoint
from concord.model.rule import Match, Rule
from concord.model.user import Permission
from tests.factories import mail, sealed_in
from tests.fakes.archive import MemoryArchive
from tests.fakes.mailbox import MemoryMailboxes
from tests.fakes.queue import MemoryQueue
from tests.polling import poll_whole
from tests.web_world import Browser, token_of

RULES = "/api/v1/rules"
WHOLE = {
    "name": "orders",
    "position": 10,
    "enabled": True,
    "match": {
        "account": ["sales"],
        "folder": ["INBOX", "Jobs*"],
        "from": ["*@example.com"],
        "to": [],
        "cc": ["re:^carol@"],
        "subject": ["order *"],
        "header": {"List-Id": ["*news*", "*orders*"]},
        "larger": 1000,
        "smaller": 10_000_000,
        "attachment_name": ["*.pdf"],
        "attachment_type": ["application/pdf"],
    },
    "priority": "high",
    "handlers": ["log"],
    "workflows": [],
    "skip": False,
    "stop": True,
}


@pytest.fixture
def program(mallory: Browser) -> Browser:
    mallory.headers["Accept"] = "*/*"
    return mallory


@pytest.fixture
def headers(concord: Concord) -> dict[str, str]:
    """An operator's token, with all that he may."""
    return token_of(concord, "bob")


@pytest.fixture
def mails(concord: Concord) -> None:
    """Two archived mails of a mailbox."""
    mailboxes = MemoryMailboxes()
    vars(concord).update(sources=mailboxes, archive=MemoryArchive(), queue=MemoryQueue())
    mailboxes.add_user("ann")
    for subject in ("Order 1", "Help"):
        mailboxes.deliver("ann", mail(subject))
    account = Account(name="sales", host="mail.example.com", user="ann", start=StartPoint(kind=StartKind.ALL))
    poll_whole(concord, concord.accounts.add(sealed_in(concord.vault, account, "sesame")).id)


def test_a_rule_is_added_read_changed_and_removed(program: Browser, headers: dict[str, str]) -> None:
    made = program.post(RULES, json=WHOLE, headers=headers)
    place = f"{RULES}/{made.json()['id']}"
    read = program.get(place, headers=headers).json()
    changed = program.put(place, json={"name": "all orders", "handlers": ["log"]}, headers=headers)
    listed = program.get(RULES, headers=headers).json()["items"]
    gone = program.delete(place, headers=headers)

    assert made.status_code == 201
    assert read == made.json() == {**WHOLE, "id": made.json()["id"]}
    assert (changed.json()["name"], changed.json()["id"]) == ("all orders", read["id"])
    assert (changed.json()["position"], changed.json()["priority"]) == (10, None)
    assert [one["name"] for one in listed] == ["all orders"]
    assert gone.status_code == 204
    assert program.get(place, headers=headers).status_code == 404


def test_a_new_rule_goes_last_and_is_on_and_sizes_have_units(
    program: Browser, headers: dict[str, str], concord: Concord
) -> None:
    concord.rulebook.save_rule(Rule(name="a", position=70))

    made = program.post(RULES, json={"name": "b", "match": {"larger": "10MB"}}, headers=headers).json()

    assert (made["position"], made["enabled"], made["match"]["larger"]) == (80, True, 10_000_000)


def test_a_change_leaves_it_off(program: Browser, headers: dict[str, str], concord: Concord) -> None:
    rule = concord.rulebook.save_rule(Rule(name="a", enabled=False))

    assert program.put(f"{RULES}/{rule.id}", json={"name": "a"}, headers=headers).json()["enabled"] is False


def test_what_a_file_has_brought_is_told_whole(program: Browser, headers: dict[str, str], concord: Concord) -> None:
    """A list must not fail because one of its rules is bigger than the API takes."""
    concord.rulebook.save_rule(Rule(name="a", match=Match(subject=tuple(map(str, range(1000))))))

    assert len(program.get(RULES, headers=headers).json()["items"][0]["match"]["subject"]) == 1000


def test_every_mistake_is_told_with_its_place(program: Browser, headers: dict[str, str], concord: Concord) -> None:
    match = {"from": ["fine", "re:("], "header": {"X Y": ["a"], "X": ["re:["]}, "larger": "big"}
    wrong = {"name": "a/b", "match": match, "handlers": ["nobody"], "workflows": ["nothing"]}

    answer = program.post(RULES, json=wrong, headers=headers)

    assert answer.status_code == 422
    told = {one["pointer"]: one["detail"] for one in answer.json()["errors"]}
    assert set(told) == {
        "/name",
        "/match/from/1",
        "/match/header/X Y",
        "/match/header/X/0",
        "/match/larger",
        "/handlers/0",
        "/workflows/0",
    }
    assert "a size is a number of octets" in told["/match/larger"]
    assert concord.rulebook.rules() == []


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/body/name"),
        ({"name": "a", "matches": {}}, "/body/matches"),
        ({"name": "a", "match": {"sender": ["x"]}}, "/body/match/sender"),
        ({"name": "a", "match": {"from": "x"}}, "/body/match/from"),
        ({"name": "a", "priority": "urgent"}, "/body/priority"),
        ({"name": "a", "position": 2**31}, "/body/position"),
        ({"name": "a" * 101}, "/body/name"),
    ],
)
def test_what_is_no_rule_is_told_with_its_place(
    program: Browser, headers: dict[str, str], body: dict[str, Any], pointer: str
) -> None:
    answer = program.post(RULES, json=body, headers=headers)

    assert answer.status_code == 422
    assert [one["pointer"] for one in answer.json()["errors"]] == [pointer]


def test_a_name_that_is_taken_is_a_conflict(program: Browser, headers: dict[str, str], concord: Concord) -> None:
    a = concord.rulebook.save_rule(Rule(name="a"))
    concord.rulebook.save_rule(Rule(name="b"))

    assert program.post(RULES, json={"name": "b"}, headers=headers).status_code == 409
    assert program.put(f"{RULES}/{a.id}", json={"name": "b"}, headers=headers).status_code == 409
    assert [rule.name for rule in concord.rulebook.rules()] == ["a", "b"]


def test_rules_are_put_in_order_all_or_none(program: Browser, headers: dict[str, str], concord: Concord) -> None:
    a, b, c = (concord.rulebook.save_rule(Rule(name=name)).id for name in "abc")

    done = program.post(f"{RULES}/order", json={"rules": [c, a, b]}, headers=headers)
    refused = [
        program.post(f"{RULES}/order", json={"rules": some}, headers=headers).status_code
        for some in ([a, b], [a, b, c, 999], [a, a, b, c], [])
    ]

    assert [one["name"] for one in done.json()["items"]] == ["c", "a", "b"]
    assert refused == [409] * 4
    assert [rule.name for rule in concord.rulebook.rules()] == ["c", "a", "b"]


def test_it_is_switched_off_and_on(program: Browser, headers: dict[str, str], concord: Concord) -> None:
    place = f"{RULES}/{concord.rulebook.save_rule(Rule(name='a')).id}"

    assert program.post(f"{place}/disable", headers=headers).json()["enabled"] is False
    assert program.post(f"{place}/enable", headers=headers).json()["enabled"] is True
    assert [row.action for row in concord.audit.entries()[:2]] == ["rule.enable", "rule.disable"]


@pytest.mark.usefixtures("mails")
def test_a_rule_is_tried_before_it_is_kept(program: Browser, headers: dict[str, str], concord: Concord) -> None:
    rule = {"match": {"subject": ["order*"]}, "priority": "high"}

    told = program.post(f"{RULES}/dry-run", json={"rule": rule}, headers=headers).json()

    assert {key: told[key] for key in ("chosen", "looked_at", "matches", "changes", "unread")} == {
        "chosen": 2,
        "looked_at": 2,
        "matches": 1,
        "changes": 1,
        "unread": [],
    }
    by_subject = {one["subject"]: one for one in told["mails"]}
    assert (by_subject["Order 1"]["before"]["priority"], by_subject["Order 1"]["after"]["priority"]) == (
        "normal",
        "high",
    )
    assert by_subject["Help"]["failed"] == "subject"
    assert concord.rulebook.rules() == []


@pytest.mark.usefixtures("mails")
def test_it_is_tried_in_the_place_of_another_on_chosen_mails(
    program: Browser, headers: dict[str, str], concord: Concord
) -> None:
    kept = concord.rulebook.save_rule(Rule(name="a", priority=Priority.LOW))
    asked = {"rule": {"name": "a"}, "replaces": kept.id, "account": "sales", "last": 1}

    told = program.post(f"{RULES}/dry-run", json=asked, headers=headers).json()

    assert (told["chosen"], told["changes"]) == (1, 1)
    assert told["mails"][0]["before"]["matched"] == ["a"]


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"message": "999"}, 404),
        ({"account": "nobody"}, 404),
        ({"replaces": 999}, 404),
        ({"account": "\0"}, 422),
        ({"last": 201}, 422),
        ({"rule": {"match": {"from": ["re:("]}}}, 422),
    ],
)
def test_what_cannot_be_tried_is_told(
    program: Browser, headers: dict[str, str], more: dict[str, Any], status: int
) -> None:
    answer = program.post(f"{RULES}/dry-run", json={"rule": {}, **more}, headers=headers)

    assert answer.status_code == status


@pytest.mark.parametrize(
    ("method", "path", "body", "scope"),
    [
        ("GET", "", None, Permission.READ),
        ("POST", "", {"name": "b"}, Permission.CONFIGURE),
        ("POST", "/dry-run", {"rule": {}}, Permission.CONFIGURE),
        ("POST", "/order", {"rules": [1]}, Permission.CONFIGURE),
        ("GET", "/1", None, Permission.READ),
        ("PUT", "/1", {"name": "a"}, Permission.CONFIGURE),
        ("POST", "/1/disable", None, Permission.OPERATE),
        ("POST", "/1/enable", None, Permission.OPERATE),
        ("DELETE", "/1", None, Permission.CONFIGURE),
    ],
)
def test_each_call_wants_its_scope_and_no_other(
    program: Browser, concord: Concord, method: str, path: str, body: Any, scope: Permission
) -> None:
    concord.rulebook.save_rule(Rule(name="a"))
    lesser = token_of(concord, "bob", *(token for token in Permission if token not in (scope, Permission.ADMIN)))

    refused = program.request(method, RULES + path, json=body, headers=lesser)
    allowed = program.request(method, RULES + path, json=body, headers=token_of(concord, "bob", scope))

    assert refused.status_code == 403
    assert refused.json()["facts"] == {"scope": scope}
    assert allowed.status_code < 300, allowed.text
