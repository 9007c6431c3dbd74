"""Lists that people page through: in order, without gap or overlap, narrowed, and never long under way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

import pytest

from concord.adapters.sql import paging
from concord.adapters.sql.browsing import SqlLists
from concord.adapters.sql.paging import Pace
from concord.errors import ArchiveMissingError, HandlerRefusedError
from concord.model.account import Priority
from concord.model.delivery import DeliveryState
from concord.model.fault import dump
from concord.model.listing import (
    DeliveriesWanted,
    EventsWanted,
    Listing,
    Mark,
    MessagesWanted,
    RunsWanted,
    View,
)
from concord.model.message import Message, MessageState, Peek
from concord.model.workflow import RunState
from tests.fakes.database import memory_database
from tests.sql_world import MINUTE, START, World, account, digest, plans, processed, seen, workflow

ALL = MessagesWanted()


@pytest.fixture
def lists(world: World) -> SqlLists:
    return SqlLists(world.engine)


def uids(page: Listing[Message]) -> list[int]:
    """What a page shows."""
    return [message.uid for message in page.items]


def come(world: World, *some: int, **changes: Any) -> None:
    """Mails that are seen one after the other."""
    for uid in some:
        world.record([seen(uid, **changes)])
        world.clock.forward(MINUTE)


def test_pages_follow_each_other_to_the_oldest_and_back(world: World, lists: SqlLists) -> None:
    come(world, *range(1, 8))

    first = lists.messages(ALL, View(limit=3))
    second = lists.messages(ALL, View(before=first.older, limit=3))
    third = lists.messages(ALL, View(before=second.older, limit=3))
    back = lists.messages(ALL, View(after=third.newer, limit=3))
    top = lists.messages(ALL, View(after=back.newer, limit=3))

    assert [uids(page) for page in (first, second, third)] == [[7, 6, 5], [4, 3, 2], [1]]
    assert (first.newer, third.older) == (None, None)
    assert (uids(back), uids(top), top.newer) == ([4, 3, 2], [7, 6, 5], None)


def test_what_comes_meanwhile_moves_no_page(world: World, lists: SqlLists) -> None:
    come(world, 1, 2, 3, 4)
    first = lists.messages(ALL, View(limit=2))
    come(world, 5)

    assert uids(lists.messages(ALL, View(before=first.older, limit=2))) == [2, 1]
    assert uids(lists.messages(ALL, View(limit=2))) == [5, 4]


def test_those_of_one_moment_are_each_shown_once(world: World, lists: SqlLists) -> None:
    world.record([seen(uid) for uid in range(1, 6)])

    page, shown = lists.messages(ALL, View(limit=2)), list[int]()
    while True:
        shown += uids(page)
        if page.older is None:
            break
        page = lists.messages(ALL, View(before=page.older, limit=2))

    assert shown == [5, 4, 3, 2, 1]


def test_a_newest_page_is_never_half_of_one(world: World, lists: SqlLists) -> None:
    come(world, 1, 2, 3, 4)
    older = lists.messages(ALL, View(before=lists.messages(ALL, View(limit=1)).older, limit=3))

    page = lists.messages(ALL, View(after=older.newer, limit=3))

    assert (uids(page), page.newer) == ([4, 3, 2], None)
    assert page.older is not None


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (ALL, [5, 4, 3, 2, 1]),
        (MessagesWanted(account="sales"), [5, 4, 3, 2, 1]),
        (MessagesWanted(account="nobody"), []),
        (MessagesWanted(account="idle"), []),
        (MessagesWanted(folder="INBOX"), [5, 4, 3, 2, 1]),
        (MessagesWanted(folder="Archive"), []),
        (MessagesWanted(state=MessageState.SKIPPED), [3]),
        (MessagesWanted(state=MessageState.SKIPPED, account="sales"), [3]),
        (MessagesWanted(state=MessageState.SKIPPED, account="idle"), []),
        (MessagesWanted(state=MessageState.PROCESSED), []),
        (MessagesWanted(priority=Priority.HIGH), [4]),
        (MessagesWanted(error_code="spam"), [3]),
        (MessagesWanted(search="mAiL 2"), [2]),
        (MessagesWanted(search="2 mail"), [2]),
        (MessagesWanted(search="alice 2"), [2]),
        (MessagesWanted(search="发票"), [5]),
        (MessagesWanted(search="100%"), [5]),
        (MessagesWanted(search="1__%"), []),
        (MessagesWanted(search="   "), [5, 4, 3, 2, 1]),
        (MessagesWanted(search="no such words"), []),
        (MessagesWanted(since=START + 2 * MINUTE), [5, 4, 3]),
        (MessagesWanted(until=START + 2 * MINUTE), [2, 1]),
        (MessagesWanted(since=START + MINUTE, until=START + 3 * MINUTE, search="mail"), [3, 2]),
    ],
)
def test_messages_are_narrowed_as_asked(
    world: World, lists: SqlLists, wanted: MessagesWanted, expected: list[int]
) -> None:
    world.accounts.add(account("idle"))
    come(world, 1, 2)
    come(world, 3, state=MessageState.SKIPPED, error_code="spam")
    come(world, 4, priority=Priority.HIGH)
    come(world, 5, peek=Peek(subject="电子发票 100% Mail", sender="Alice <alice@example.com>"))

    page = lists.messages(wanted)

    assert uids(page) == expected
    assert page.looked_to is None


def test_the_messages_of_a_removed_account_and_its_successor_are_listed_together(world: World, lists: SqlLists) -> None:
    come(world, 1)
    world.accounts.remove("sales")
    world.account = world.accounts.add(account(host="imap.example.net"))
    world.lease = world.take_lease()
    come(world, 2)

    assert uids(lists.messages(MessagesWanted(account="sales"))) == [2, 1]


def test_looking_for_words_ends_in_time_and_goes_on_from_there(world: World) -> None:
    """A search of a million rows is a few dozen short questions; the page says how far each has looked."""
    hurried = SqlLists(world.engine, Pace(seconds=0, first=3, most=3))
    come(world, *range(1, 9))
    wanted = MessagesWanted(search="mail 1")

    pages = [hurried.messages(wanted)]
    while pages[-1].older is not None:
        pages.append(hurried.messages(wanted, View(before=pages[-1].older)))

    assert [uids(page) for page in pages] == [[], [], [1]]
    assert [page.looked_to for page in pages] == [START + 5 * MINUTE, START + 2 * MINUTE, None]


def test_a_look_that_would_end_too_late_is_not_begun(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of three rows takes 20 ms; the third would end after the 50 that there are."""
    clock = count()
    monkeypatch.setattr(paging, "monotonic", lambda: next(clock) * 0.02)
    hurried = SqlLists(world.engine, Pace(seconds=0.05, first=3, most=3))
    come(world, *range(1, 13))

    page = hurried.messages(MessagesWanted(search="nothing"))

    assert (uids(page), page.looked_to) == ([], START + 6 * MINUTE)


def test_deliveries_of_an_account_are_looked_at_one_by_one(world: World, lists: SqlLists) -> None:
    """A join would read all of its events first."""
    with plans(world.engine) as told:
        lists.deliveries(DeliveriesWanted(account="sales"))

    assert any("CORRELATED SCALAR SUBQUERY" in plan or "SubPlan" in plan for plan in told)


def test_with_time_left_it_looks_on_by_itself(world: World) -> None:
    patient = SqlLists(world.engine, Pace(seconds=60, first=2, most=3))
    come(world, *range(1, 9))

    page = patient.messages(MessagesWanted(search="mail"), View(limit=5))

    assert (uids(page), page.looked_to) == ([8, 7, 6, 5, 4], None)
    assert uids(patient.messages(MessagesWanted(search="mail"), View(before=page.older, limit=5))) == [3, 2, 1]


def test_looking_for_newer_ones_ends_in_time_too(world: World) -> None:
    hurried = SqlLists(world.engine, Pace(seconds=0, first=3, most=3))
    come(world, *range(1, 9))
    [oldest] = SqlLists(world.engine).messages(MessagesWanted(search="mail 1")).items
    wanted = MessagesWanted(search="mail 8")

    page = hurried.messages(wanted, View(after=Mark(oldest.seen_at, oldest.id)))
    after = hurried.messages(wanted, View(after=page.newer))
    last = hurried.messages(wanted, View(after=after.newer))

    assert [uids(one) for one in (page, after, last)] == [[], [], [8]]


def test_mails_of_the_same_octets_are_found_by_their_digest(world: World, lists: SqlLists) -> None:
    world.record([seen(1), seen(2, sha256=digest(1)), seen(3)])

    assert {message.uid for message in lists.with_content(digest(1))} == {1, 2}
    assert lists.with_content(digest(9)) == []
    assert lists.folders() == lists.folders("sales") == ["INBOX"]
    assert lists.folders("nobody") == []


def test_the_quarantine_is_told_by_cause(world: World, lists: SqlLists) -> None:
    broken = ArchiveMissingError("object", key="raw/1")
    for claim in world.claimed(2):
        world.ledger.quarantine(claim, broken)
        world.clock.forward(MINUTE)
    for claim in world.claimed(1):
        world.ledger.quarantine(claim, ValueError("a bug"))

    reasons, more = lists.quarantined()

    assert [(reason.code, reason.amount, reason.accounts) for reason in reasons] == [
        ("archive_missing", 2, ("sales",)),
        ("unexpected", 1, ("sales",)),
    ]
    assert reasons[0].error == dump(broken)
    assert not more
    assert lists.quarantined(most=2)[1]


def test_events_are_paged_and_narrowed(world: World, lists: SqlLists) -> None:
    for _ in range(3):
        claims = world.claimed(2)
        world.ledger.finish([processed(claim) for claim in claims])
        world.clock.forward(MINUTE)

    first = lists.events(EventsWanted(account="sales"), View(limit=4))
    rest = lists.events(EventsWanted(account="sales"), View(before=first.older, limit=4))

    assert len({event.id for event in first.items + rest.items}) == 6
    assert [event.created_at for event in first.items] == [START + n * MINUTE for n in (2, 2, 1, 1)]
    assert lists.events(EventsWanted(account="sales"), View(after=rest.newer, limit=4)) == first
    assert len(lists.events(EventsWanted(search="alice read", since=START + MINUTE)).items) == 4
    assert lists.events(EventsWanted(until=START)).items == ()
    assert lists.events(EventsWanted(account="nobody")).items == ()


def dead(world: World) -> None:
    """One delivery of the newest event is given up."""
    [newest] = world.outbox.deliveries(limit=1)
    [claimed] = world.outbox.claim_deliveries([newest.id], until=world.clock() + MINUTE)
    world.outbox.delivery_dead(claimed, HandlerRefusedError("gone"))


def test_deliveries_are_narrowed_and_say_whose_mail_they_tell_of(world: World, lists: SqlLists) -> None:
    first = world.finished(handlers=("log", "crm"))
    world.clock.forward(MINUTE)
    world.finished(handlers=("log",))
    dead(world)

    def told(**narrowed: Any) -> list[tuple[str, str]]:
        found = lists.deliveries(DeliveriesWanted(**narrowed)).items
        assert {(one.account, one.subject) for one in found} <= {("sales", "Read")}
        return sorted((one.delivery.handler, one.delivery.state.value) for one in found)

    assert told() == [("crm", "pending"), ("log", "dead"), ("log", "pending")]
    assert told(state=DeliveryState.DEAD) == [("log", "dead")]
    assert told(state=DeliveryState.DEAD, handler="crm") == []
    assert told(handler="crm", account="sales") == [("crm", "pending")]
    assert told(account="nobody") == []
    assert told(event_id=first.event.id) == [("crm", "pending"), ("log", "pending")]
    assert told(since=START + MINUTE) == [("log", "dead")]
    assert told(until=START + MINUTE, handler="log") == [("log", "pending")]


def test_runs_are_narrowed_and_come_with_their_steps(world: World, lists: SqlLists) -> None:
    first = world.finished(workflows=(workflow("a"), workflow("b")))
    world.clock.forward(MINUTE)
    world.finished(workflows=(workflow("a"),))

    def told(**narrowed: Any) -> list[str]:
        found = lists.runs(RunsWanted(**narrowed)).items
        assert all(len(one.run.specs) == 2 and one.subject == "Read" for one in found)
        return sorted(one.run.workflow for one in found)

    assert told() == ["a", "a", "b"]
    assert told(workflow="b") == ["b"]
    assert told(event_id=first.event.id) == ["a", "b"]
    assert told(state=RunState.FAILED) == []
    assert told(state=RunState.PENDING, account="sales", since=START + MINUTE) == ["a"]


@pytest.mark.parametrize(
    ("ask", "index"),
    [
        (lambda lists: lists.messages(ALL), "ix_messages_seen_at_id"),
        (lambda lists: lists.messages(MessagesWanted(until=START)), "ix_messages_seen_at_id"),
        (lambda lists: lists.messages(MessagesWanted(account="sales")), "ix_messages_account_id_seen_at_id"),
        (
            lambda lists: lists.messages(MessagesWanted(account="sales", state=MessageState.QUARANTINED)),
            "ix_messages_state_seen_at_id",
        ),
        (lambda lists: lists.messages(MessagesWanted(search="word")), "ix_messages_seen_at_id"),
        (lambda lists: lists.events(EventsWanted()), "ix_events_created_at_id"),
        (lambda lists: lists.events(EventsWanted(account="sales")), "ix_events_account_created_at_id"),
        (lambda lists: lists.deliveries(DeliveriesWanted()), "ix_deliveries_created_at_id"),
        (
            lambda lists: lists.deliveries(DeliveriesWanted(state=DeliveryState.DEAD)),
            "ix_deliveries_state_created_at_id",
        ),
        (lambda lists: lists.deliveries(DeliveriesWanted(handler="log")), "ix_deliveries_handler_created_at_id"),
        (lambda lists: lists.runs(RunsWanted()), "ix_workflow_runs_created_at_id"),
        (lambda lists: lists.runs(RunsWanted(state=RunState.FAILED)), "ix_workflow_runs_state_created_at_id"),
    ],
)
def test_each_list_goes_along_its_index(ask: Callable[[SqlLists], object], index: str) -> None:
    """On SQLite: PostgreSQL reads small tables whole, whatever indexes there are."""
    world = World(memory_database())
    world.finished()

    with plans(world.engine) as told:
        ask(SqlLists(world.engine))

    # What is left of a thousand rows may be sorted; what an index has in order must not be.
    (first,) = [plan for plan in told if index in plan][:1]
    assert "CO-ROUTINE" in first or "USE TEMP B-TREE FOR ORDER BY" not in first


def test_a_mark_is_any_place_whether_its_row_is_there_or_not(world: World, lists: SqlLists) -> None:
    come(world, 1, 2, 3)
    gone = Mark(START + MINUTE, 10**9)

    assert uids(lists.messages(ALL, View(before=gone))) == [2, 1]
    assert uids(lists.messages(ALL, View(before=replace(gone, id=0)))) == [1]


def test_rules_that_matched_lately_are_counted_with_their_last_mail(world: World, lists: SqlLists) -> None:
    first = world.finished(matched=("orders", "all"))
    world.clock.forward(MINUTE)
    last = world.finished(matched=("all",))
    world.finished(matched=())

    lately = lists.rule_hits()

    assert lately.judged == 3
    assert {name: hits.amount for name, hits in lately.hits.items()} == {"orders": 1, "all": 2}
    assert lately.hits["all"].message_id == last.claim.message.id
    assert lately.hits["all"].at == START + MINUTE
    assert lately.hits["orders"].message_id == first.claim.message.id


def test_only_the_newest_steps_are_looked_at_for_rules(world: World, lists: SqlLists) -> None:
    world.finished(matched=("old",))
    world.finished(matched=("new",))
    (steps,) = {len(world.steps(message.id)) for message in lists.messages(ALL).items}

    assert set(lists.rule_hits(steps=steps).hits) == {"new"}
