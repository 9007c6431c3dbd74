"""Rules (P8 to P10): which mails they mean, and what follows."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from concord.model.account import Priority
from concord.model.mail import Address, Attachment, ParsedMail
from concord.model.message import AfterState, Message, MessageState, Peek
from concord.model.rule import Match, Rule
from concord.pipeline.pattern import Matcher
from concord.pipeline.rules import Subject, decide, early_priority, explain, subject_of

HIGH, NORMAL, LOW = Priority.HIGH, Priority.NORMAL, Priority.LOW

ORDER = Subject(
    account="sales",
    folder="INBOX/订单",
    from_=("alice@example.com", "Alice Liddell <alice@example.com>"),
    to=("bob@example.net", "carol@example.net"),
    cc=("dan@example.org",),
    subject="[ACME] Order 4711 – urgent",
    headers=(("Received", "from a"), ("Received", "from b"), ("X-Spam", "no"), ("List-Id", "<orders.example.com>")),
    size=1000,
    attachments=(("invoice.pdf", "application/pdf"), ("notes.txt", "text/plain")),
)


def rule(name: str = "a rule", **given: Any) -> Rule:
    """A rule; what is not a part of a rule is a condition."""
    own = {key: given.pop(key) for key in list(given) if key in Rule.__dataclass_fields__}
    return Rule(name=name, **({"match": Match(**given)} | own))


def judge(*rules: Rule, subject: Subject = ORDER, base: Priority = NORMAL, default: tuple[str, ...] = ("log",)) -> Any:
    return decide(rules, subject, default_handlers=default, base=base)


@pytest.mark.parametrize(
    "conditions",
    [
        {},
        {"account": ("sales",)},
        {"account": ("*",)},
        {"account": ("support", "SALES")},
        {"folder": ("inbox/*",)},
        {"folder": ("*订单",)},
        {"from_": ("alice@example.com",)},
        {"from_": ("*@EXAMPLE.com",)},
        {"from_": ("Alice*",)},
        {"from_": ("*liddell <alice@*",)},
        {"to": ("carol@*",)},
        {"cc": ("dan@example.or?",)},
        {"subject": ("[acme]*",)},
        {"subject": ("*order*",)},
        {"subject": ("re:order \\d+",)},
        {"subject": ("re:^\\[ACME\\]",)},
        {"header": {"x-spam": ("no",)}},
        {"header": {"LIST-ID": ("*",)}},
        {"header": {"Received": ("from b",)}},
        {"larger": 999},
        {"smaller": 1001},
        {"larger": 999, "smaller": 1001},
        {"attachment_name": ("*.PDF",)},
        {"attachment_type": ("application/*",)},
        {"attachment_name": ("invoice*",), "attachment_type": ("application/pdf",)},
        {"account": ("sales",), "subject": ("*order*",), "larger": 10, "header": {"X-Spam": ("no",)}},
    ],
)
def test_a_rule_matches_when_all_conditions_hold(conditions: dict[str, Any]) -> None:
    assert judge(rule(**conditions)).matched == ("a rule",)


@pytest.mark.parametrize(
    ("conditions", "failed"),
    [
        ({"account": ("sale",)}, "account"),
        ({"folder": ("inbox",)}, "folder"),
        ({"from_": ("bob@example.net",)}, "from"),
        ({"from_": ("alice@example.co",)}, "from"),
        ({"to": ("dan@example.org",)}, "to"),
        ({"cc": ("bob@*",)}, "cc"),
        ({"subject": ("order",)}, "subject"),
        ({"subject": ("re:^order",)}, "subject"),
        ({"subject": ("[ACM]*",)}, "subject"),
        ({"header": {"X-Spam": ("yes",)}}, "header X-Spam"),
        ({"header": {"X-Missing": ("*",)}}, "header X-Missing"),
        ({"header": {"X-Missing": ()}}, "header X-Missing"),
        ({"header": {"X-Spam": ("no",), "List-Id": ("other",)}}, "header List-Id"),
        ({"larger": 1000}, "larger"),
        ({"smaller": 1000}, "smaller"),
        ({"attachment_name": ("*.docx",)}, "attachment"),
        ({"attachment_name": ("*.txt",), "attachment_type": ("application/pdf",)}, "attachment"),
        ({"account": ("sales",), "subject": ("nothing",)}, "subject"),
        ({"enabled": False}, "enabled"),
    ],
)
def test_one_condition_that_fails_is_enough_and_is_named(conditions: dict[str, Any], failed: str) -> None:
    (verdict,) = explain([rule(**conditions)], ORDER)

    assert (verdict.matched, verdict.failed) == (False, failed)
    assert judge(rule(**conditions)).matched == ()


def test_a_mail_without_attachments_matches_no_attachment_pattern() -> None:
    assert judge(rule(attachment_name=("*",)), subject=replace(ORDER, attachments=())).matched == ()


def test_a_mail_without_recipients_matches_no_recipient_pattern() -> None:
    assert judge(rule(to=("*",)), subject=replace(ORDER, to=())).matched == ()


def test_accents_match_however_they_are_composed() -> None:
    decomposed = replace(ORDER, subject="Re\u0301sume\u0301")

    assert judge(rule(subject=("r\u00e9sum\u00e9",)), subject=decomposed).matched == ("a rule",)


def test_a_subject_of_several_lines_is_one_value() -> None:
    assert judge(rule(subject=("a*z",)), subject=replace(ORDER, subject="a\nz")).matched == ("a rule",)


# What follows.


def test_every_matching_rule_adds_each_name_once() -> None:
    decision = judge(
        rule("one", handlers=("crm", "log"), workflows=("ticket",)),
        rule("two", handlers=("log", "audit"), workflows=("ticket", "reply")),
    )

    assert decision.matched == ("one", "two")
    assert decision.handlers == ("crm", "log", "audit")
    assert decision.workflows == ("ticket", "reply")


def test_rules_are_asked_by_position_then_name() -> None:
    decision = judge(rule("z", position=1), rule("b", position=2), rule("a", position=2))

    assert decision.matched == ("z", "a", "b")


def test_stop_ends_the_asking() -> None:
    decision = judge(
        rule("one", position=1, handlers=("crm",), stop=True), rule("two", position=2, handlers=("audit",))
    )

    assert decision.matched == ("one",)
    assert decision.handlers == ("crm",)


def test_stop_of_a_rule_that_does_not_match_stops_nothing() -> None:
    assert judge(rule("one", position=1, account=("other",), stop=True), rule("two")).matched == ("two",)


def test_skip_wins_over_handlers_and_workflows() -> None:
    decision = judge(rule("one", handlers=("crm",), workflows=("ticket",)), rule("two", position=200, skip=True))

    assert decision.skipped
    assert (decision.handlers, decision.workflows) == ((), ())


def test_the_default_handlers_apply_where_no_rule_names_one() -> None:
    assert judge().handlers == ("log",)
    assert judge(rule(account=("other",), handlers=("crm",))).handlers == ("log",)
    assert judge(rule(workflows=("ticket",))).handlers == ("log",)


def test_the_default_handlers_yield_to_a_rule_that_names_one() -> None:
    assert judge(rule(handlers=("crm",))).handlers == ("crm",)


@pytest.mark.parametrize(
    ("rules", "own", "base", "expected"),
    [
        ((), None, LOW, LOW),
        ((), HIGH, LOW, HIGH),
        ((rule(priority=NORMAL),), HIGH, LOW, NORMAL),
        ((rule(account=("other",), priority=LOW),), HIGH, NORMAL, HIGH),
        ((rule("b", position=2, priority=LOW), rule("a", position=1, priority=HIGH)), None, NORMAL, HIGH),
        ((rule("a", position=1), rule("b", position=2, priority=LOW)), HIGH, NORMAL, LOW),
        ((rule("a", position=1, stop=True), rule("b", position=2, priority=LOW)), None, NORMAL, NORMAL),
    ],
)
def test_priority_is_the_first_rules_then_the_mails_then_the_accounts(
    rules: tuple[Rule, ...], own: Priority | None, base: Priority, expected: Priority
) -> None:
    assert judge(*rules, subject=replace(ORDER, priority=own), base=base).priority is expected


def test_a_pattern_that_takes_too_long_does_not_match_and_is_told() -> None:
    hostile = replace(ORDER, subject="a" * 60 + "b")
    slow = rule("slow", subject=("re:(a|aa)+$",), handlers=("crm",))

    decision = judge(slow, subject=hostile)

    assert decision.matched == ()
    assert decision.handlers == ("log",)
    assert decision.warnings == ("The pattern 're:(a|aa)+$' took too long and was taken not to match",)
    assert explain([slow], hostile)[0].warnings == decision.warnings


def test_a_slow_pattern_is_given_up_after_the_first_value() -> None:
    matcher = Matcher(seconds=0.01)

    assert not matcher.any(["re:(a|aa)+$"], ["a" * 60 + "b", "a"])
    assert list(matcher.slow) == ["re:(a|aa)+$"]


def test_explaining_tells_which_rules_were_not_reached() -> None:
    first, second, third = explain(
        [rule("one", position=1, account=("other",)), rule("two", position=2, stop=True), rule("three", position=3)],
        ORDER,
    )

    assert (first.matched, first.reached, first.failed) == (False, True, "account")
    assert (second.matched, second.reached, second.failed) == (True, True, None)
    assert (third.matched, third.reached, third.failed) == (False, False, None)


# Before a mail is read.


PEEK = Peek(
    subject="Order 4711",
    sender="Alice <alice@example.com>",
    recipients=("Bob <bob@example.net>",),
    cc=("carol@example.net",),
    priority=LOW,
    headers=(("X-Spam", "no"),),
)


def early(*rules: Rule, peek: Peek = PEEK) -> Priority:
    return early_priority(rules, peek, account="sales", folder="INBOX", size=1000, base=NORMAL)


@pytest.mark.parametrize(
    "conditions",
    [
        {"from_": ("alice@example.com",)},
        {"from_": ("Alice <*>",)},
        {"to": ("bob@*",)},
        {"cc": ("carol@*",)},
        {"subject": ("order*",)},
        {"header": {"X-Spam": ("no",)}},
        {"larger": 999, "account": ("sales",), "folder": ("INBOX",)},
    ],
)
def test_a_rule_sets_the_priority_before_the_mail_is_read(conditions: dict[str, Any]) -> None:
    assert early(rule(priority=HIGH, **conditions)) is HIGH


def test_a_rule_about_attachments_is_passed_over_early() -> None:
    assert early(rule(priority=HIGH, attachment_name=("*",))) is LOW
    assert early(rule(priority=HIGH, attachment_type=("*",))) is LOW


def test_a_mail_without_headers_has_the_accounts_priority() -> None:
    assert early(peek=Peek()) is NORMAL
    assert early(rule(priority=HIGH, from_=("*",)), peek=Peek()) is NORMAL


def test_early_and_late_agree_where_no_attachment_is_asked_for() -> None:
    rules = [rule("one", from_=("Alice*",), priority=HIGH), rule("two", position=1, subject=("nothing",), priority=LOW)]
    mail = _mail(subject=PEEK.subject or "", priority=PEEK.priority)

    late = decide(rules, subject_of(_message(), mail), default_handlers=(), base=NORMAL)

    assert early(*rules) is late.priority is HIGH


def test_the_subject_has_every_form_of_a_person() -> None:
    subject = subject_of(_message(), _mail())

    assert subject.from_ == ("alice@example.com", "Alice <alice@example.com>")
    assert subject.to == ("bob@example.net",)
    assert subject.attachments == (("invoice.pdf", "application/pdf"),)
    assert (subject.account, subject.folder, subject.size) == ("sales", "INBOX", 1000)


def _mail(**changes: Any) -> ParsedMail:
    given: dict[str, Any] = {
        "message_id": "<1@example.com>",
        "in_reply_to": (),
        "references": (),
        "from_": (Address(name="Alice", address="alice@example.com"),),
        "sender": (),
        "to": (Address(name="", address="bob@example.net"),),
        "cc": (),
        "bcc": (),
        "reply_to": (),
        "subject": "Order",
        "date": None,
        "text": None,
        "html": None,
        "attachments": (Attachment(name="invoice.pdf", content_type="application/pdf", size=1, sha256="0" * 64),),
        "headers": (("X-Spam", "no"),),
        "priority": None,
        "defects": (),
    }
    return ParsedMail(**(given | changes))


def _message() -> Message:
    return Message(
        id=1,
        account_id=1,
        account="sales",
        folder="INBOX",
        uidvalidity=1,
        uid=1,
        event_id=UUID(int=1),
        state=MessageState.PROCESSING,
        priority=NORMAL,
        sha256="0" * 64,
        size=1000,
        archive_key="k",
        internal_date=None,
        flags=(),
        message_id=None,
        subject=None,
        sender=None,
        sent_at=None,
        attempts=1,
        failures=0,
        error_code=None,
        error=None,
        due_at=None,
        leased_until=None,
        after=AfterState.NONE,
        seen_at=datetime(2026, 11, 2, tzinfo=UTC),
        processed_at=None,
    )
