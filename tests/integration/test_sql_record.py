"""Recording what a poll took: rows and cursor in one transaction (P5), old mail known again by content (P15)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from threading import Event, Thread

from sqlalchemy import func, select, text

from concord.adapters.sql import leases
from concord.adapters.sql.engine import reading, transaction
from concord.adapters.sql.leases import RENUMBERED
from concord.adapters.sql.recording import FETCH_ATTEMPTS
from concord.adapters.sql.tables import messages
from concord.model.account import PollLease, Priority
from concord.model.message import AfterState, MessageKey, MessageRef, MessageState, Peek
from concord.ports import MessageFilter
from tests.sql_world import MINUTE, START, World, digest, plans, processed, seen, statements, unread


def rows_in(world: World) -> int:
    """How many messages the ledger has."""
    with reading(world.engine) as connection:
        return connection.execute(select(func.count()).select_from(messages)).scalar_one()


# New mail.


def test_new_mail_becomes_a_row_with_a_trail_and_is_to_be_queued(world: World) -> None:
    refs = world.record([seen(7, priority=Priority.HIGH, flags=("\\Seen", "$junk"))])

    kept = world.ledger.get(refs[0].id)
    assert refs == [MessageRef(id=kept.id, priority=Priority.HIGH, size=1007)]
    assert (kept.account, kept.folder, kept.uidvalidity, kept.uid) == ("sales", "INBOX", 1, 7)
    assert (kept.state, kept.attempts, kept.failures) == (MessageState.ARCHIVED, 0, 0)
    assert (kept.sha256, kept.size, kept.archive_key) == (digest(7), 1007, "raw/7")
    assert (kept.message_id, kept.subject, kept.sender) == ("<7@example.com>", "Mail 7", "alice@example.com")
    assert (kept.internal_date, kept.sent_at, kept.seen_at) == (START, START, START)
    assert (kept.flags, kept.after) == (("\\Seen", "$junk"), AfterState.NONE)
    assert world.steps(kept.id) == ["message.archived"]


def test_a_message_is_named_after_its_key(world: World) -> None:
    [ref] = world.record([seen(7)])
    assert world.account.key is not None
    key = MessageKey(account=world.account.key, folder="INBOX", uidvalidity=1, uid=7)

    assert world.ledger.get(ref.id).event_id == key.event_id


def test_rows_and_cursor_move_together(world: World) -> None:
    world.record([seen(1), seen(2)])

    assert world.accounts.cursors(world.account.id)["INBOX"].last_uid == 2


def test_the_cursor_moves_without_mail_too(world: World) -> None:
    assert world.record([]) == []
    assert set(world.accounts.cursors(world.account.id)) == {"INBOX"}


def test_recording_twice_changes_nothing(world: World) -> None:
    refs = world.record([seen(1), seen(2)])

    assert world.record([seen(1, sha256=digest(99)), seen(2)]) == []
    assert world.steps(refs[0].id) == ["message.archived"]
    assert rows_in(world) == 2


def test_what_was_skipped_is_kept_with_its_reason(world: World) -> None:
    """P17: never silently."""
    big = replace(unread(3), state=MessageState.SKIPPED, size=2**40, error_code="oversized", error="Too big")

    assert world.record([big]) == []

    [kept] = world.ledger.search(MessageFilter())
    assert (kept.state, kept.size, kept.error_code, kept.error) == (MessageState.SKIPPED, 2**40, "oversized", "Too big")
    assert world.steps(kept.id) == ["message.skipped"]


def test_fifty_mails_cost_as_many_statements_as_one(world: World) -> None:
    with statements(world.engine) as for_one:
        world.record([seen(1)])
    with statements(world.engine) as for_fifty:
        world.record([seen(uid) for uid in range(2, 52)])

    assert len(for_fifty) <= len(for_one)
    assert len(for_fifty) <= 10


def test_mail_that_no_database_likes_is_recorded(world: World) -> None:
    """P6: any bytes at all."""
    nasty = Peek(
        message_id="<\x00@x>",
        subject="\ud800 half a pair " + "x" * 2000,
        sender="a\x00b",
        date=datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=9))),
    )

    [ref] = world.record([seen(1, peek=nasty, flags=("\x00",), internal_date=datetime(9999, 12, 31, 23, tzinfo=UTC))])

    kept = world.ledger.get(ref.id)
    assert kept.message_id == "<\N{REPLACEMENT CHARACTER}@x>"
    assert kept.subject is not None
    assert len(kept.subject) == 998
    assert kept.sent_at is None
    assert kept.internal_date == datetime(9999, 12, 31, 23, tzinfo=UTC)


def test_times_come_back_aware_and_exact_whatever_their_zone(world: World) -> None:
    said = datetime(2026, 3, 29, 2, 30, 0, 123456, tzinfo=timezone(timedelta(hours=8)))

    [ref] = world.record([seen(1, internal_date=said)])

    kept = world.ledger.get(ref.id).internal_date
    assert kept == said
    assert kept is not None
    assert kept.utcoffset() == timedelta(0)


# The lease guards.


def test_a_stolen_lease_records_nothing(world: World) -> None:
    """P3: the poll that was too slow writes neither rows nor cursor."""
    world.clock.forward(timedelta(hours=2))
    world.take_lease()

    assert world.ledger.record(world.lease, world.cursor(last_uid=9), [seen(9)]) is None
    assert rows_in(world) == 0
    assert world.accounts.cursors(world.account.id) == {}


def test_a_lapsed_lease_records_nothing_even_if_nobody_took_it(world: World) -> None:
    world.clock.forward(timedelta(hours=2))

    assert world.ledger.record(world.lease, world.cursor(), [seen(9)]) is None


def test_a_lease_cannot_be_stolen_while_its_holder_records(world: World) -> None:
    """The thief waits until the record is committed: what it then reads has the rows."""
    held, stolen = Event(), Event()

    def steal() -> None:
        held.wait(30)
        later = world.clock() + timedelta(hours=2)
        with transaction(world.engine) as connection:
            terms = leases.LeaseTerms()
            leases.lease(connection, world.account.id, now=later, until=later + MINUTE, terms=terms, background=False)
        stolen.set()

    thief = Thread(target=steal)
    thief.start()
    with transaction(world.engine) as connection:
        assert leases.hold(connection, world.lease, world.clock())
        held.set()
        assert not stolen.wait(0.3)
    thief.join(30)

    assert stolen.is_set()


# What the server would not hand over.


def test_an_unread_mail_is_asked_for_again_ever_more_slowly(world: World) -> None:
    world.record([unread(5)])
    waits = []
    for _ in range(FETCH_ATTEMPTS - 2):
        waits.append(_minutes_until_due(world))
        world.record([unread(5)])

    assert waits == [5, 10, 20]


def _minutes_until_due(world: World) -> int:
    for minutes in range(1, 100):
        world.clock.forward(MINUTE)
        if world.ledger.unfetched(world.account.id, "INBOX", 1, limit=10):
            world.lease = world.lease if world.clock() < world.lease.until else world.take_lease()
            return minutes
    raise AssertionError("never due")


def test_a_mail_that_is_never_handed_over_is_quarantined_in_the_end(world: World) -> None:
    """P16."""
    for _ in range(FETCH_ATTEMPTS):
        world.record([unread(5), seen(6)])

    [_, kept] = world.ledger.search(MessageFilter())
    assert (kept.state, kept.failures, kept.error) == (MessageState.QUARANTINED, 5, "It would not say")
    assert world.steps(kept.id) == ["message.unfetched"] * 4 + ["message.quarantined"]
    world.clock.forward(timedelta(minutes=50))
    assert world.ledger.unfetched(world.account.id, "INBOX", 1, limit=10) == []


def test_an_unread_mail_that_is_read_at_last_goes_on(world: World) -> None:
    world.record([unread(5)])

    [ref] = world.record([seen(5)])

    kept = world.ledger.get(ref.id)
    assert (kept.state, kept.failures, kept.error, kept.due_at) == (MessageState.ARCHIVED, 0, None, None)
    assert (kept.sha256, kept.subject) == (digest(5), "Mail 5")
    assert world.steps(ref.id) == ["message.unfetched", "message.archived"]


def test_an_unread_mail_that_vanished_is_skipped(world: World) -> None:
    world.record([unread(5)])

    world.record([replace(unread(5), state=MessageState.SKIPPED, error="It was removed")])

    [kept] = world.ledger.search(MessageFilter())
    assert (kept.state, kept.error) == (MessageState.SKIPPED, "It was removed")


# A new UIDVALIDITY.


def test_after_renumbering_only_new_mail_is_new(world: World) -> None:
    """P15, small: 40 old mails and 5 new ones make exactly 5 new rows."""
    old = world.record([seen(uid) for uid in range(1, 41)])
    before = {ref.id: world.ledger.get(ref.id).event_id for ref in old}
    renumbered = [seen(1000 - uid, sha256=digest(uid)) for uid in range(1, 46)]

    new = world.record(renumbered, uidvalidity=2)

    assert {ref.size for ref in new} == {seen(1000 - uid).size for uid in range(41, 46)}
    assert rows_in(world) == 45
    first = world.ledger.get(old[0].id)
    assert (first.uidvalidity, first.uid, first.event_id) == (2, 999, before[first.id])
    assert world.steps(first.id) == ["message.archived", "message.remapped"]


def test_equal_mails_are_remapped_one_to_one(world: World) -> None:
    world.record([seen(1, sha256=digest(0)), seen(2, sha256=digest(0))])

    new = world.record([seen(uid, sha256=digest(0)) for uid in (11, 12, 13)], uidvalidity=2)

    assert len(new) == 1
    assert sorted((kept.uidvalidity, kept.uid) for kept in world.ledger.search(MessageFilter())) == [
        (2, 11),
        (2, 12),
        (2, 13),
    ]


def test_a_remapped_batch_recorded_again_changes_nothing(world: World) -> None:
    world.record([seen(1)])
    world.record([seen(11, sha256=digest(1))], uidvalidity=2)

    assert world.record([seen(11, sha256=digest(1))], uidvalidity=2) == []
    assert rows_in(world) == 1


def test_old_mail_of_another_folder_keeps_its_row(world: World) -> None:
    [first] = world.record([seen(1)])

    other = replace(world.cursor(uidvalidity=2), folder="Archive")

    assert world.ledger.record(world.lease, other, [seen(11, sha256=digest(1))]) == []
    assert world.ledger.get(first.id).folder == "INBOX"


def test_a_number_given_twice_loses_no_mail(world: World) -> None:
    """UIDVALIDITY goes 1, 2, and back to 1, where UID 1 is another mail by now."""
    [first] = world.record([seen(1, sha256=digest(1))])
    world.record([seen(5, sha256=digest(1))], uidvalidity=2)

    [again] = world.record([seen(1, sha256=digest(99))], uidvalidity=1)

    assert world.ledger.get(again.id).event_id != world.ledger.get(first.id).event_id


def test_what_could_not_be_read_before_the_renumbering_is_not_waited_for(world: World) -> None:
    world.record([unread(5)])
    assert world.accounts.save_cursor(world.lease, world.cursor(uidvalidity=2))

    [kept] = world.ledger.search(MessageFilter())

    assert (kept.state, kept.error) == (MessageState.SKIPPED, RENUMBERED)
    assert world.ledger.retry([kept.id]) == []


def test_an_unread_mail_that_turns_out_to_be_old_takes_the_old_row(world: World) -> None:
    [old] = world.record([seen(1)])
    world.record([unread(11)], uidvalidity=2)

    assert world.record([seen(11, sha256=digest(1))], uidvalidity=2) == []

    [kept] = world.ledger.search(MessageFilter())
    assert (kept.id, kept.uid) == (old.id, 11)


def test_a_claim_survives_the_renumbering(world: World) -> None:
    [claim] = world.claimed()
    world.record([seen(900, sha256=claim.message.sha256)], uidvalidity=2)

    queued = world.ledger.finish([processed(claim)])

    assert len(queued.deliveries) == 1


# The same mail in two folders.


def test_mail_in_another_folder_is_a_copy(world: World) -> None:
    """P24: recorded, with its own row, and not to be processed."""
    [first] = world.record([seen(1)])
    archive = world.cursor(folder="Archive")

    assert world.ledger.record(world.lease, archive, [seen(11, sha256=digest(1)), unread(12)]) == []
    assert world.ledger.record(world.lease, archive, [seen(12, sha256=digest(1))]) == []

    copies = [kept for kept in world.ledger.search(MessageFilter()) if kept.folder == "Archive"]
    assert {(kept.uid, kept.state, kept.error_code) for kept in copies} == {
        (11, MessageState.SKIPPED, "copy"),
        (12, MessageState.SKIPPED, "copy"),
    }
    last = {kept.uid: world.ledger.trail(kept.id)[-1] for kept in copies}
    assert {uid: step.detail["copy_of"] for uid, step in last.items()} == {11: first.id, 12: first.id}


def test_copy_is_remapped_after_renumbering(world: World) -> None:
    world.record([seen(1)])
    world.ledger.record(world.lease, world.cursor(folder="Archive"), [seen(11, sha256=digest(1))])
    renumbered = world.cursor(folder="Archive", uidvalidity=2, last_uid=5)

    assert world.ledger.record(world.lease, renumbered, [seen(5, sha256=digest(1))]) == []
    assert rows_in(world) == 2


def test_contents_are_archived_once(world: World) -> None:
    world.record([seen(1), seen(2)])

    assert world.ledger.archive_keys(world.account.id, [digest(1), digest(3)]) == {digest(1): "raw/1"}
    assert world.ledger.archive_keys(world.account.id, []) == {}


def test_copies_are_found_by_an_index(world: World) -> None:
    world.record([seen(uid, state=MessageState.SKIPPED) for uid in range(1, 400)])
    with transaction(world.engine) as connection:
        connection.execute(text("ANALYZE"))

    with plans(world.engine) as asked:
        world.ledger.archive_keys(world.account.id, [digest(7)])

    assert "ix_messages_account_id_sha256" in asked[0]


# What every poll asks stays cheap.


def test_an_idle_polls_questions_use_the_small_indexes(world: World) -> None:
    world.record([seen(uid, state=MessageState.SKIPPED) for uid in range(1, 400)])
    with transaction(world.engine) as connection:
        connection.execute(text("ANALYZE"))

    with plans(world.engine) as asked:
        world.ledger.unfetched(world.account.id, "INBOX", 1, limit=20)
        world.ledger.after_pending(world.account.id, "INBOX", 1, limit=20)
        world.ledger.stale(queued_before=START, limit=20)

    assert "ix_messages_unfetched" in asked[0]
    assert "ix_messages_after_pending" in asked[1]
    assert "ix_messages_waiting" in asked[2]


def test_a_foreign_lease_is_no_lease(world: World) -> None:
    forged = PollLease(account_id=world.account.id, fence=world.lease.fence + 1, until=START + MINUTE)

    assert world.ledger.record(forged, world.cursor(), [seen(1)]) is None
