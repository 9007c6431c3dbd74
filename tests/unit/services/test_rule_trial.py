"""A rule is tried on archived mails before it is kept (P18)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count

import pytest

from concord.errors import ArchiveDownError, NotFoundError
from concord.model.account import Account, Priority, StartKind, StartPoint
from concord.model.rule import Match, Rule
from concord.services.rule_trial import MOST, Chosen, RuleTrial, try_rule
from tests.factories import mail
from tests.fakes.command import MemoryConcord
from tests.polling import poll_whole

ORDERS = Rule(name="orders", match=Match(subject=("order 1*",)), handlers=("log",), priority=Priority.HIGH)


@pytest.fixture
def parts() -> Iterator[MemoryConcord]:
    """Three archived mails of the account sales, and one of support."""
    made = MemoryConcord()
    start = StartPoint(kind=StartKind.ALL)
    for name, user, subjects in (("sales", "alice", ("Order 0", "Order 1", "Order 2")), ("support", "bob", ("Help",))):
        made.mailboxes.add_user(user)
        secret = made.vault.seal("sesame")
        account = Account(name=name, host="mail.example.com", user=user, secret=secret, start=start)
        for subject in subjects:
            made.mailboxes.deliver(user, mail(subject))
        poll_whole(made, made.accounts.add(account).id)
    yield made
    made.engine.dispose()


def subjects(trial: RuleTrial, *, matched: bool) -> list[str | None]:
    return [one.message.subject for one in trial.tried if one.verdict.matched is matched]


def test_it_says_which_mails_match_and_what_would_be_different(parts: MemoryConcord) -> None:
    trial = try_rule(parts, ORDERS, Chosen())

    (one,) = (one for one in trial.tried if one.verdict.matched)
    assert one.message.subject == "Order 1"
    assert (one.before.priority, one.after.priority) == (Priority.NORMAL, Priority.HIGH)
    assert (one.before.matched, one.after.matched) == ((), ("orders",))
    assert (trial.looked_at, trial.chosen, trial.matches, trial.changes) == (4, 4, 1, 1)
    assert {other.verdict.failed for other in trial.tried if not other.verdict.matched} == {"subject"}


def test_nothing_is_kept_or_sent(parts: MemoryConcord) -> None:
    try_rule(parts, ORDERS, Chosen())

    assert parts.rulebook.rules() == []
    assert parts.memory_queue.deliveries == []


def test_a_match_that_changes_nothing_is_told_apart(parts: MemoryConcord) -> None:
    trial = try_rule(parts, Rule(name="all", handlers=("log",)), Chosen())

    assert (trial.matches, trial.changes) == (4, 0)


def test_what_is_switched_off_is_tried_as_if_it_were_on(parts: MemoryConcord) -> None:
    assert try_rule(parts, replace(ORDERS, enabled=False), Chosen()).matches == 1


def test_the_rule_takes_the_place_of_the_one_it_changes(parts: MemoryConcord) -> None:
    parts.rulebook.save_rule(Rule(name="old", match=Match(subject=("order*",)), priority=Priority.LOW))

    trial = try_rule(parts, ORDERS, Chosen(), replacing="old")

    assert [one.after.priority for one in trial.tried if one.message.subject == "Order 2"] == [Priority.NORMAL]
    assert [one.before.priority for one in trial.tried if one.message.subject == "Order 2"] == [Priority.LOW]


def test_a_rule_before_it_may_stop_it(parts: MemoryConcord) -> None:
    parts.rulebook.save_rule(Rule(name="first", position=1, stop=True))

    trial = try_rule(parts, ORDERS, Chosen())

    assert trial.matches == 0
    assert not any(one.verdict.reached for one in trial.tried)


def test_one_account_one_message_or_the_newest_are_looked_at(parts: MemoryConcord) -> None:
    every = try_rule(parts, ORDERS, Chosen()).tried
    number = str(every[-1].message.id)

    assert try_rule(parts, ORDERS, Chosen(account="support")).looked_at == 1
    assert try_rule(parts, ORDERS, Chosen(last=2)).looked_at == 2
    assert [one.message for one in try_rule(parts, ORDERS, Chosen(message=number)).tried] == [every[-1].message]


@pytest.mark.parametrize("chosen", [Chosen(message="999"), Chosen(message="<no@where>"), Chosen(account="nobody")])
def test_mails_that_are_not_there_are_told(parts: MemoryConcord, chosen: Chosen) -> None:
    with pytest.raises(NotFoundError):
        try_rule(parts, ORDERS, chosen)


def test_no_more_than_two_hundred_are_asked_for(parts: MemoryConcord) -> None:
    assert try_rule(parts, ORDERS, Chosen(last=10**9)).chosen <= MOST


def test_time_is_up_after_three_seconds_and_it_says_how_far_it_came(parts: MemoryConcord) -> None:
    seconds = count()

    trial = try_rule(parts, ORDERS, Chosen(), clock=lambda: float(next(seconds)))

    assert (trial.looked_at, trial.chosen) == (2, 4)


def test_a_damaged_mail_is_told_and_the_others_are_tried(parts: MemoryConcord) -> None:
    key = try_rule(parts, ORDERS, Chosen(last=1)).tried[0].message.archive_key
    assert key
    parts.memory_archive.damage(key)

    trial = try_rule(parts, ORDERS, Chosen())

    assert (len(trial.tried), len(trial.unread), trial.looked_at) == (3, 1, 4)


def test_an_archive_that_is_away_is_nobodys_mail(parts: MemoryConcord) -> None:
    parts.memory_archive.down = True

    with pytest.raises(ArchiveDownError):
        try_rule(parts, ORDERS, Chosen())
