"""The ledger: claims, what follows from a processed message, retries, lists, the sweep; on both databases."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from threading import Barrier
from uuid import uuid4

import pytest

from concord.adapters.sql.finishing import Finishing
from concord.adapters.sql.ledger import SqlLedger
from concord.errors import (
    ArchiveDownError,
    ArchiveMissingError,
    DatabaseDownError,
    InfrastructureError,
    NotFoundError,
    PermanentError,
)
from concord.model.account import Priority
from concord.model.fault import dump, in_english
from concord.model.message import AfterState, MessageState, PendingAfter
from concord.ports import Claim, MessageFilter, Processed
from concord.wording import english
from tests.sql_world import MINUTE, START, World, account, processed, renamed, seen, statements, unread, workflow

LATER = START + 10 * MINUTE
BROKEN = ArchiveMissingError("object", key="raw/1")


# Claims.


def test_a_claim_takes_what_waits_in_the_order_asked(world: World) -> None:
    refs = world.record([seen(uid) for uid in (1, 2, 3)])
    asked = [refs[2].id, refs[0].id, 999]

    claims = world.ledger.claim(asked, until=LATER)

    assert [claim.message.id for claim in claims] == asked[:2]
    assert {claim.message.state for claim in claims} == {MessageState.PROCESSING}
    assert [(claim.attempt, claim.message.attempts, claim.message.failures) for claim in claims] == [(1, 1, 0)] * 2
    assert claims[0].message.leased_until == LATER


def test_what_is_claimed_cannot_be_claimed(world: World) -> None:
    [claim] = world.claimed()

    assert world.ledger.claim([claim.message.id], until=LATER) == []
    assert world.ledger.claim([], until=LATER) == []


def test_of_many_claims_at_once_each_message_goes_to_one(world: World) -> None:
    refs = world.record([seen(uid) for uid in range(1, 31)])
    ids = [ref.id for ref in refs]
    barrier = Barrier(6)

    def take(turn: int) -> list[int]:
        barrier.wait()
        # Each asks in an order of its own: no two may wait for each other.
        asked = ids[turn * 5 :] + ids[: turn * 5]
        return [claim.message.id for claim in world.ledger.claim(asked, until=LATER)]

    with ThreadPoolExecutor(6) as threads:
        taken = [message for some in threads.map(take, range(6)) for message in some]

    assert len(taken) == len(set(taken))
    rest = {claim.message.id for claim in world.ledger.claim(ids, until=LATER)}
    assert set(taken) | rest == set(ids)


# Given back.


def test_a_postponed_message_waits_until_it_is_due(world: World) -> None:
    [claim] = world.claimed()

    world.ledger.postpone(claim, BROKEN, due_at=START + MINUTE, counts=True)

    kept = world.ledger.get(claim.message.id)
    assert (kept.state, kept.failures, kept.due_at) == (MessageState.ARCHIVED, 1, START + MINUTE)
    assert kept.error_code == "archive_missing"
    assert kept.error is not None
    assert "raw/1" in kept.error
    assert world.ledger.claim([kept.id], until=LATER) == []
    world.clock.forward(MINUTE)
    assert [again.attempt for again in world.ledger.claim([kept.id], until=LATER)] == [2]
    assert world.steps(kept.id) == ["message.archived", "message.postponed"]


def test_our_own_infrastructure_blames_no_mail(world: World) -> None:
    """O6: the attempt number rises, for it is the fence; what counts does not."""
    [claim] = world.claimed()

    world.ledger.postpone(claim, DatabaseDownError("refused"), due_at=START, counts=False)

    [again] = world.ledger.claim([claim.message.id], until=LATER)
    assert (again.attempt, again.message.failures) == (2, 0)


def test_claims_go_back_together_uncounted_and_their_wait_is_one_step(world: World) -> None:
    claims = world.claimed(3)
    gone = DatabaseDownError("refused")
    world.ledger.give_back([], gone, due_at=START)

    for turn in range(1, 4):
        ids = [claim.message.id for claim in claims]
        world.ledger.give_back(claims, gone, due_at=world.clock() + MINUTE, suspects=ids[:1] if turn == 3 else ())
        world.clock.forward(MINUTE)
        if turn < 3:
            claims = world.ledger.claim(ids, until=world.clock() + MINUTE)

    for claim in claims:
        kept = world.ledger.get(claim.message.id)
        assert (kept.state, kept.failures, kept.error_code) == (MessageState.ARCHIVED, 0, "database_down")
        assert kept.suspect == (claim is claims[0])
        assert world.steps(kept.id) == ["message.archived", "message.waiting"]
        step = world.ledger.trail(kept.id)[-1]
        assert (step.detail["times"], step.detail["since"]) == (3, START.isoformat())
        assert step.at == START + 2 * MINUTE


def test_a_wait_after_something_else_is_a_step_of_its_own(world: World) -> None:
    [claim] = world.claimed()
    for counts in (False, True, False):
        world.ledger.postpone(claim, BROKEN, due_at=world.clock(), counts=counts)
        [claim] = world.ledger.claim([claim.message.id], until=world.clock() + MINUTE)

    world.ledger.give_back([claim], DatabaseDownError("refused"), due_at=START)

    assert world.steps(claim.message.id)[1:] == [
        "message.waiting",
        "message.postponed",
        "message.waiting",
    ]


def test_a_quarantined_message_is_out_of_the_way_with_its_reason(world: World) -> None:
    """P16."""
    [claim] = world.claimed()

    world.ledger.quarantine(claim, ValueError("a bug \x00 told at length " + "x" * 5000))

    kept = world.ledger.get(claim.message.id)
    assert (kept.state, kept.failures, kept.error_code) == (MessageState.QUARANTINED, 1, "unexpected")
    assert kept.error is not None
    assert "(cause=ValueError: a bug \N{REPLACEMENT CHARACTER} told" in (in_english(kept.error) or "")
    assert world.ledger.claim([kept.id], until=LATER) == []
    assert world.steps(kept.id)[-1] == "message.quarantined"


@pytest.mark.parametrize(
    "late",
    [
        lambda ledger, claim: ledger.postpone(claim, BROKEN, due_at=START, counts=True),
        lambda ledger, claim: ledger.quarantine(claim, BROKEN),
        lambda ledger, claim: ledger.finish([processed(claim)]),
    ],
    ids=["postpone", "quarantine", "finish"],
)
def test_who_lost_the_claim_writes_nothing(world: World, late: Callable[[SqlLedger, Claim], object]) -> None:
    [first] = world.claimed()
    world.clock.forward(5 * MINUTE)
    [second] = world.ledger.claim([first.message.id], until=LATER)

    late(world.ledger, first)

    assert world.ledger.get(first.message.id) == second.message
    assert world.outbox.event_of(first.message.id) is None
    assert world.steps(first.message.id) == ["message.archived"]


# What follows.


def test_what_follows_from_a_message_is_written_with_it(world: World) -> None:
    [claim] = world.claimed()
    result = processed(
        claim,
        handlers=("log", "hook", "log"),
        workflows=(workflow(), workflow()),
        priority=Priority.HIGH,
        after=AfterState.PENDING,
    )

    queued = world.ledger.finish([result])

    kept = world.ledger.get(claim.message.id)
    assert (kept.state, kept.priority, kept.after) == (MessageState.PROCESSED, Priority.HIGH, AfterState.PENDING)
    assert (kept.subject, kept.processed_at, kept.leased_until) == ("Read", START, None)
    event = world.outbox.event_of(kept.id)
    assert event is not None
    assert (event.id, event.account, event.subject) == (kept.event_id, "sales", "Read")
    assert (event.archive_key, event.time, event.created_at) == (f"records/{kept.id}", START, START)
    assert sorted(delivery.id for delivery in world.outbox.deliveries()) == [ref.id for ref in queued.deliveries]
    assert {delivery.handler for delivery in world.outbox.deliveries()} == {"log", "hook"}
    assert {delivery.priority for delivery in world.outbox.deliveries()} == {Priority.HIGH}
    assert {(ref.lane, ref.account, ref.priority) for ref in queued.deliveries} == {
        ("log", "sales", Priority.HIGH),
        ("hook", "sales", Priority.HIGH),
    }
    assert {run.priority for run in world.outbox.runs()} == {Priority.HIGH}
    assert [run.id for run in world.outbox.runs()] == [ref.id for ref in queued.runs]
    step = world.ledger.trail(kept.id)[-1]
    assert step.what == "message.processed"
    assert step.detail["matched"] == ["rule"]


def test_finishing_twice_makes_nothing_twice(world: World) -> None:
    [claim] = world.claimed()
    result = processed(claim, workflows=(workflow(),))
    world.ledger.finish([result])

    assert world.ledger.finish([result]).deliveries == ()
    assert len(world.outbox.deliveries()) == len(world.outbox.runs()) == 1


def test_a_message_processed_anew_keeps_its_event_and_rounds(world: World) -> None:
    """Skipped by a rule once; the rule was changed, and it is tried again."""
    [claim] = world.claimed()
    world.ledger.finish([processed(claim, handlers=(), skipped=True)])
    assert world.state(claim.message.id) is MessageState.SKIPPED
    world.ledger.retry([claim.message.id])
    [again] = world.ledger.claim([claim.message.id], until=LATER)

    queued = world.ledger.finish([processed(again, record_key="records/new")])

    event = world.outbox.event_of(claim.message.id)
    assert event is not None
    assert (event.id, event.archive_key) == (claim.message.event_id, "records/new")
    assert len(queued.deliveries) == 1


def test_a_lost_claim_in_a_batch_leaves_the_others(world: World) -> None:
    lost, kept = world.claimed(2)
    world.ledger.postpone(lost, BROKEN, due_at=START, counts=False)

    queued = world.ledger.finish([processed(lost), processed(kept)])

    assert len(queued.deliveries) == 1
    assert world.state(lost.message.id) is MessageState.ARCHIVED
    assert world.state(kept.message.id) is MessageState.PROCESSED


@pytest.mark.parametrize(
    "spoil",
    [
        lambda result: replace(result, record_key=None),
        lambda result: replace(result, record_key="\ud800"),
        lambda result: replace(result, handlers=("log", None)),
    ],
    ids=["missing", "unencodable", "no handler"],
)
def test_a_result_that_the_database_refuses_harms_no_other(
    world: World, spoil: Callable[[Processed], Processed]
) -> None:
    """P16: its neighbours are processed, and the caller learns which one it was."""
    good, bad, fine = world.claimed(3)

    queued = world.ledger.finish([processed(good), spoil(processed(bad)), processed(fine)])

    assert [claim for claim, _ in queued.failed] == [bad]
    assert "message" in str(queued.failed[0][1])
    assert world.state(good.message.id) is world.state(fine.message.id) is MessageState.PROCESSED
    assert world.state(bad.message.id) is MessageState.PROCESSING
    assert world.outbox.event_of(bad.message.id) is None


def test_what_fails_for_every_result_is_no_message_s_fault(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A defect of ours, or a schema that is not what it should be: all wait, and none is quarantined."""
    claims = world.claimed(3)

    def stumble(*_: object) -> None:
        raise TypeError("a defect of ours")

    monkeypatch.setattr(Finishing, "finish", stumble)
    queued = world.ledger.finish([processed(claim) for claim in claims])
    alone = world.ledger.finish([processed(claims[0])])

    assert [claim for claim, _ in queued.failed] == claims
    for _, error in (*queued.failed, *alone.failed):
        assert isinstance(error, InfrastructureError)
        assert "a defect of ours" in english.explain(error)
    monkeypatch.undo()
    assert len(world.ledger.finish([processed(claim) for claim in claims]).deliveries) == 3


def test_what_fails_alone_is_its_own_fault_once_another_has_passed(world: World) -> None:
    """High-priority mail always travels alone: its neighbours in time tell."""
    good, bad = world.claimed(2)
    spoilt = replace(processed(bad), record_key="\ud800")
    [(_, unproven)] = world.ledger.finish([spoilt]).failed
    world.ledger.finish([processed(good)])
    [(_, proven)] = world.ledger.finish([spoilt]).failed

    assert isinstance(unproven, InfrastructureError)
    assert isinstance(proven, PermanentError)
    world.clock.forward(timedelta(hours=2))
    [(_, stale)] = world.ledger.finish([spoilt]).failed
    assert isinstance(stale, InfrastructureError)


def test_an_event_of_another_message_is_not_taken_over(world: World) -> None:
    first = world.finished()
    [second] = world.claimed()

    queued = world.ledger.finish([renamed(processed(second), first.event.id)])

    assert [claim for claim, _ in queued.failed] == [second]
    event = world.outbox.event(first.event.id)
    assert event.archive_key == first.record_key


def test_fifty_results_cost_as_many_statements_as_one(world: World) -> None:
    one, *fifty = world.claimed(51)
    with statements(world.engine) as for_one:
        world.ledger.finish([processed(one, workflows=(workflow(),))])
    with statements(world.engine) as for_fifty:
        world.ledger.finish([processed(claim, workflows=(workflow(),)) for claim in fifty])

    assert len(for_fifty) == len(for_one)
    assert len(for_fifty) <= 10


def test_what_a_database_cannot_hold_is_cleaned_from_the_summary(world: World) -> None:
    [claim] = world.claimed()
    peek = replace(processed(claim).peek, subject="a\x00b\ud800" + "x" * 2000, sender="\x00")

    world.ledger.finish([processed(claim, peek=peek, defects=("nul\x00",), matched=("\ud800",))])

    kept = world.ledger.get(claim.message.id)
    assert kept.subject is not None
    assert kept.subject.startswith("a\N{REPLACEMENT CHARACTER}b?x")
    assert len(kept.subject) == 998
    assert world.outbox.event(kept.event_id).sender == "\N{REPLACEMENT CHARACTER}"


def test_a_workflow_without_steps_is_done_at_once(world: World) -> None:
    [claim] = world.claimed()

    assert world.ledger.finish([processed(claim, workflows=(workflow(steps=0),))]).runs == ()
    assert [run.state.value for run in world.outbox.runs()] == ["succeeded"]


# Once more.


def test_a_retried_message_begins_anew_and_alone(world: World) -> None:
    [claim] = world.claimed()
    world.ledger.quarantine(claim, BROKEN)

    [ref] = world.ledger.retry([claim.message.id, 999])

    kept = world.ledger.get(ref.id)
    assert (kept.state, kept.failures, kept.error, kept.due_at) == (MessageState.ARCHIVED, 0, None, None)
    assert ref.suspect
    assert world.ledger.claim([ref.id], until=LATER)[0].attempt == 2
    assert world.steps(ref.id)[-1] == "message.retried"


def test_a_retried_message_without_bytes_is_asked_for_again(world: World) -> None:
    for _ in range(5):
        world.record([unread(9)])
    [kept] = world.ledger.search(MessageFilter())

    world.ledger.retry([kept.id])

    assert world.state(kept.id) is MessageState.UNFETCHED
    assert world.ledger.unfetched(world.account.id, "INBOX", 1, limit=10) == [9]


def test_only_what_ended_badly_is_retried(world: World) -> None:
    done = world.finished()
    [claim] = world.claimed()

    assert world.ledger.retry([done.claim.message.id, claim.message.id]) == []
    assert world.ledger.retry([]) == []


def test_a_newer_version_gives_what_was_given_up_one_more_chance(world: World) -> None:
    """P16."""
    [claim] = world.claimed()
    world.ledger.quarantine(claim, BROKEN)

    assert world.ledger.retry_upgraded("1.0") == []
    assert world.ledger.retry_upgraded("0.9.9") == []
    assert [ref.id for ref in world.ledger.retry_upgraded("1.10")] == [claim.message.id]
    assert world.ledger.retry_upgraded("1.10") == []


def test_two_versions_in_one_cluster_try_a_poison_mail_once_each(world: World) -> None:
    """A rolling upgrade: the old version's workers take it too, and its sweep does not take that back."""
    newer = SqlLedger(world.engine, world.clock, version="2.0")
    [claim] = world.claimed()
    world.ledger.quarantine(claim, BROKEN)
    chances = 0
    for turn in range(20):
        for version in ("1.0", "2.0"):
            refs = world.ledger.retry_upgraded(version)
            chances += len(refs)
            ledger = (world.ledger, newer)[turn % 2]
            for again in ledger.claim([ref.id for ref in refs], until=world.clock() + MINUTE):
                ledger.quarantine(again, BROKEN)

    assert chances == 1
    assert [ref.id for ref in world.ledger.retry_upgraded("3.0")] == [claim.message.id]


def test_a_chance_that_an_older_worker_took_comes_again_an_hour_later(world: World) -> None:
    """P16: in a rolling upgrade; the newer version's own try ends it."""
    newer = SqlLedger(world.engine, world.clock, version="2.0")
    [claim] = world.claimed()
    world.ledger.quarantine(claim, BROKEN)
    chances = []
    for ledger in (world.ledger, world.ledger, newer, newer):
        refs = newer.retry_upgraded("2.0")
        chances.append(len(refs))
        for again in ledger.claim([ref.id for ref in refs], until=world.clock() + MINUTE):
            ledger.quarantine(again, BROKEN)
        assert newer.retry_upgraded("2.0") == []
        world.clock.forward(61 * MINUTE)

    assert chances == [1, 1, 1, 0]


def test_an_upgrade_queues_what_was_given_up_bit_by_bit(world: World) -> None:
    claims = world.claimed(5)
    for claim in claims:
        world.ledger.quarantine(claim, BROKEN)

    batches = [[ref.id for ref in world.ledger.retry_upgraded("2.0", limit=2)] for _ in range(4)]

    assert [len(batch) for batch in batches] == [2, 2, 1, 0]
    assert sorted(known for batch in batches for known in batch) == sorted(claim.message.id for claim in claims)


# Waits for a fetch, and those that a clock wrote that was ahead.

UNREAD = unread(7)


def test_a_fetch_that_is_due_in_a_far_future_is_due_now(world: World) -> None:
    """A clock that was a month ahead holds up no mail for a month."""
    world.clock.forward(timedelta(days=31))
    world.lease = world.take_lease()
    world.record([UNREAD])
    world.clock.forward(-timedelta(days=31))

    assert world.ledger.unfetched(world.account.id, "INBOX", 1, limit=5) == [7]


def test_a_fetch_waits_as_long_as_it_should(world: World) -> None:
    world.record([UNREAD])

    assert world.ledger.unfetched(world.account.id, "INBOX", 1, limit=5) == []
    world.clock.forward(6 * MINUTE)
    assert world.ledger.unfetched(world.account.id, "INBOX", 1, limit=5) == [7]


# The sweep.


def test_what_was_never_claimed_is_found_when_its_queueing_is_old(world: World) -> None:
    """P5: all of Redis lost, no mail lost."""
    refs = world.record([seen(1), seen(2, priority=Priority.HIGH)])
    world.clock.forward(10 * MINUTE)

    found = world.ledger.stale(queued_before=world.clock() - 5 * MINUTE, limit=10)

    assert [ref.id for ref in found] == [refs[1].id, refs[0].id]
    assert found[1] == refs[0]
    assert world.ledger.stale(queued_before=world.clock() - 5 * MINUTE, limit=10) == []


def test_what_was_just_queued_is_left_alone(world: World) -> None:
    world.record([seen(1)])

    assert world.ledger.stale(queued_before=world.clock() - MINUTE, limit=10) == []


def test_a_dead_workers_messages_are_found_and_suspect(world: World) -> None:
    [claim] = world.claimed()
    assert world.ledger.stale(queued_before=START + MINUTE, limit=10) == []
    world.clock.forward(6 * MINUTE)

    [found] = world.ledger.stale(queued_before=world.clock() - MINUTE, limit=10)

    assert (found.id, found.suspect) == (claim.message.id, True)


def test_a_postponed_message_is_found_once_it_is_due(world: World) -> None:
    [claim] = world.claimed()
    world.ledger.postpone(claim, BROKEN, due_at=START + MINUTE, counts=True)

    assert world.ledger.stale(queued_before=START, limit=10) == []
    world.clock.forward(MINUTE)
    assert [found.suspect for found in world.ledger.stale(queued_before=START, limit=10)] == [True]


def test_the_sweep_takes_no_more_than_asked(world: World) -> None:
    world.record([seen(uid) for uid in range(1, 11)])
    world.clock.forward(MINUTE)

    assert len(world.ledger.stale(queued_before=world.clock(), limit=4)) == 4


# Lists.


def test_lists_are_newest_first_and_go_on_below(world: World) -> None:
    refs = world.record([seen(uid) for uid in range(1, 8)])

    page = world.ledger.search(MessageFilter(limit=3))
    rest = world.ledger.search(MessageFilter(before_id=page[-1].id))

    assert [kept.id for kept in page + rest] == [ref.id for ref in reversed(refs)]


@pytest.mark.parametrize(
    ("narrowed", "uids"),
    [
        (MessageFilter(account="sales"), [3, 2, 1]),
        (MessageFilter(account="nobody"), []),
        (MessageFilter(state=MessageState.SKIPPED), [3]),
        (MessageFilter(message_id="<2@example.com>"), [2]),
    ],
)
def test_lists_are_narrowed_as_asked(world: World, narrowed: MessageFilter, uids: list[int]) -> None:
    world.record([seen(1), seen(2), seen(3, state=MessageState.SKIPPED)])

    assert [kept.uid for kept in world.ledger.search(narrowed)] == uids


def test_messages_are_counted_by_account_and_state(world: World) -> None:
    world.accounts.add(account("idle"))
    world.record([seen(1), seen(2), seen(3, state=MessageState.SKIPPED)])

    assert world.ledger.counts() == {"sales": {MessageState.ARCHIVED: 2, MessageState.SKIPPED: 1}}


def test_an_unknown_message_is_named_in_the_error(world: World) -> None:
    with pytest.raises(NotFoundError, match="no such message"):
        world.ledger.get(999)
    with pytest.raises(NotFoundError, match="no such message"):
        world.ledger.note(999, "message.seen")


def test_a_note_becomes_a_step(world: World) -> None:
    """P19: whatever the facts are, they can be kept."""
    [ref] = world.record([seen(1)])
    world.clock.forward(MINUTE)

    world.ledger.note(ref.id, "message.replayed", by=uuid4(), at=START, why=("a", None, float("nan")), error=BROKEN)

    step = world.ledger.trail(ref.id)[-1]
    assert (step.what, step.at) == ("message.replayed", START + MINUTE)
    assert step.detail["why"] == ["a", None, "nan"]
    assert step.detail["error"] == dump(BROKEN)


# After-actions.


def test_after_actions_wait_for_processed_messages_and_are_done_once(world: World) -> None:
    """P12."""
    done = world.finished(after=AfterState.PENDING).claim.message
    world.finished()
    pending = world.ledger.after_pending(world.account.id, "INBOX", 1, limit=10)

    world.ledger.after_done([one.message_id for one in pending], AfterState.DONE)
    world.ledger.after_done([one.message_id for one in pending], AfterState.FAILED, "late")

    assert pending == [PendingAfter(message_id=done.id, uid=done.uid, size=done.size, archive_key=done.archive_key)]
    assert world.ledger.get(done.id).after is AfterState.DONE
    assert world.ledger.after_pending(world.account.id, "INBOX", 1, limit=10) == []
    assert world.steps(done.id).count("message.after") == 1


def test_an_after_action_that_failed_waits_until_it_is_due_and_ends(world: World) -> None:
    """P12: bounded, with its reason; what a move has copied is remembered."""
    message = world.finished(after=AfterState.PENDING).claim.message
    error = ArchiveDownError("io")

    def pending() -> list[PendingAfter]:
        return world.ledger.after_pending(world.account.id, "INBOX", 1, limit=10)

    world.ledger.after_failed(message.id, error, due_at=START + 5 * MINUTE, is_copied=True)

    assert pending() == []
    assert world.ledger.get(message.id).after_code == "archive_down"
    world.clock.forward(5 * MINUTE)
    [again] = pending()
    assert (again.failures, again.is_copied) == (1, True)
    world.ledger.after_failed(message.id, error, due_at=None)
    world.ledger.after_failed(message.id, error, due_at=START)  # too late: it is settled
    assert (world.ledger.get(message.id).after, pending()) == (AfterState.FAILED, [])
    assert world.steps(message.id).count("message.after") == 2


def test_unfetched_and_pending_speak_of_one_folder_and_validity(world: World) -> None:
    world.finished(after=AfterState.PENDING)
    world.record([unread(50_000)])
    world.clock.forward(timedelta(minutes=5))

    assert world.ledger.after_pending(world.account.id, "INBOX", 2, limit=10) == []
    assert world.ledger.after_pending(world.account.id, "Archive", 1, limit=10) == []
    assert world.ledger.unfetched(world.account.id, "INBOX", 1, limit=10) == [50_000]
    assert world.ledger.unfetched(world.account.id, "INBOX", 2, limit=10) == []


def test_an_accounts_messages_are_counted_up_to_a_limit(world: World) -> None:
    world.record([seen(uid) for uid in range(1, 6)])

    assert world.ledger.amount(world.account.id, most=100) == 5
    assert world.ledger.amount(world.account.id, most=3) == 3
    assert world.ledger.amount(world.account.id, MessageState.QUARANTINED, most=100) == 0
    assert world.ledger.amount(world.account.id, MessageState.ARCHIVED, most=100) == 5
    assert world.ledger.amount(world.account.id + 1, most=100) == 0
