"""Polling: what is new comes whole into the archive and once into the ledger, whatever goes wrong in between."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta

import pytest

from concord.errors import ArchiveDownError, InfrastructureError, MailboxDownError, QueueDownError, SecretKeyError
from concord.model.account import Account, AccountState, AfterAction, AfterKind, Priority, StartKind, StartPoint
from concord.model.fault import in_english
from concord.model.message import AfterState, MessageState
from concord.model.rule import Match, Rule
from concord.pipeline.poll import LEASE_MARGIN, PollOutcome
from concord.settings import PollSettings
from tests.factories import mail
from tests.fakes.mailbox import MemoryMailbox, MemorySession
from tests.fakes.world import USER, World

DAY = timedelta(days=1)


def begin_at_new_mail(world: World) -> None:
    """A poll that finds nothing: what comes from now on is new."""
    world.change_account(start=StartPoint())
    world.poll()


def test_new_mail_is_archived_recorded_and_queued(world: World) -> None:
    """P3 to P5."""
    raw = mail("Hello")
    world.deliver(raw)

    report = world.poll()

    [message] = world.messages()
    assert (report.outcome, report.archived) == (PollOutcome.DONE, 1)
    assert world.archive.read(message.archive_key or "") == raw
    assert [ref.id for ref in world.queue.messages] == [message.id]
    assert (message.state, message.subject, message.uid) == (MessageState.ARCHIVED, "Hello", 1)


def test_polling_again_takes_nothing_twice(world: World) -> None:
    world.deliver(mail())
    world.poll()

    report = world.poll()

    assert report.archived == 0
    assert len(world.messages()) == 1


def test_seen_and_unseen_mail_are_alike(world: World) -> None:
    """P3: by UID above the cursor, never by flags; and reading sets no flag."""
    world.poll()
    world.mailboxes.deliver(USER, mail("Read elsewhere"), flags=["\\Seen"])
    world.mailboxes.deliver(USER, mail("Not read"))

    world.poll()

    assert world.subjects() == ["Read elsewhere", "Not read"]
    assert world.mailboxes.flags(USER) == {1: ("\\Seen",), 2: ()}


def test_archive_down_moves_nothing_and_blames_nobody(world: World) -> None:
    """P4: neither ledger nor cursor moves before the bytes are safe. The account is not at fault."""
    begin_at_new_mail(world)
    world.deliver(mail("Later"))
    world.archive.down = True

    with pytest.raises(ArchiveDownError):
        world.poll()

    assert world.messages() == []
    assert world.accounts.status(world.account.id).failures == 0
    world.archive.down = False
    assert world.poll().archived == 1


def test_queue_down_leaves_the_mail_to_the_sweep(world: World) -> None:
    """P5: the database is the truth."""
    begin_at_new_mail(world)
    world.deliver(mail())
    world.queue.down = True
    with pytest.raises(QueueDownError):
        world.poll()
    world.queue.down = False
    world.wait(minutes=1)

    swept = world.sweeper.sweep()

    assert swept.messages == 1
    assert world.process() == 1


def test_connection_lost_half_way_keeps_what_came(world: World) -> None:
    """The cursor stands at the last mail that is safe; the rest comes with the next poll."""
    for number in range(10):
        world.deliver(mail(f"Mail {number}"), age=DAY)
    world.change_account(start=StartPoint())
    world.poll()
    for number in range(10, 20):
        world.deliver(mail(f"Mail {number}"))

    def cut(uid: int) -> None:
        if uid == 15:
            raise MailboxDownError("hung_up")

    world.mailbox.before_fetch = cut
    report = world.poll()
    world.mailbox.before_fetch = None

    assert report.outcome is PollOutcome.FAILED
    assert world.subjects() == [f"Mail {number}" for number in range(10, 14)]
    world.poll(forced=True)
    assert world.subjects() == [f"Mail {number}" for number in range(10, 20)]


def test_account_is_polled_by_one_worker_at_a_time(world: World) -> None:
    """P3: the lease; and it lapses."""
    lease = world.accounts.lease(world.account.id, until=world.time + timedelta(seconds=110))
    assert lease is not None

    assert world.poll().outcome is PollOutcome.BUSY

    world.wait(seconds=111)
    assert world.poll().outcome is PollOutcome.DONE


def test_late_poller_writes_nothing_after_its_lease(world: World) -> None:
    """A worker that slept through its lease is fenced off by the one that took over."""
    begin_at_new_mail(world)
    world.deliver(mail("Once"))

    def sleep_long(_uid: int) -> None:
        world.mailbox.before_fetch = None
        world.wait(seconds=50 + LEASE_MARGIN.total_seconds() + 1)
        taken = world.accounts.lease(world.account.id, until=world.time + timedelta(seconds=60))
        assert taken is not None
        world.time -= timedelta(seconds=50 + LEASE_MARGIN.total_seconds() + 1)

    world.mailbox.before_fetch = sleep_long
    report = world.poll()

    assert report.outcome is PollOutcome.PARTIAL
    assert world.messages() == []


def test_budget_ends_a_poll_and_the_next_goes_on(world: World) -> None:
    """P3: a wall-clock budget, with no mail lost or doubled at the seam."""
    world.poll_settings = with_settings(world, batch_messages=5)
    for number in range(20):
        world.deliver(mail(f"Mail {number}"))

    def tick(_uid: int) -> None:
        world.wait(seconds=6)

    world.mailbox.before_fetch = tick
    outcomes = [world.poll().outcome for _ in range(4)]

    assert outcomes[0] is PollOutcome.PARTIAL
    assert sorted(filter(None, world.subjects())) == sorted(f"Mail {number}" for number in range(20))


def test_server_too_slow_for_any_mail_is_told(world: World) -> None:
    """A5: a tarpit is no success; an account that gets nothing done must not look well."""
    begin_at_new_mail(world)
    world.deliver(mail())
    world.mailbox.before_fetch = lambda _uid: world.wait(seconds=60)

    report = world.poll()

    status = world.accounts.status(world.account.id)
    assert report.outcome is PollOutcome.FAILED
    assert status.state is AccountState.UNREACHABLE
    assert "slow" in (in_english(status.last_error) or "")


def test_refused_login_is_told_and_not_hammered(world: World) -> None:
    """A5."""
    world.mailbox.denied = True
    first = world.poll()

    second = world.poll()

    status = world.accounts.status(world.account.id)
    assert first.outcome is PollOutcome.FAILED
    assert second.outcome is PollOutcome.WAITING
    assert status.state is AccountState.AUTH_FAILED
    assert "--password-stdin" in (in_english(status.last_error) or "")


def test_recovered_server_is_polled_again_by_itself(world: World) -> None:
    world.mailbox.down = True
    world.poll()
    world.mailbox.down = False
    world.wait(seconds=world.poll_settings.backoff_base + 1)

    report = world.poll()

    assert report.outcome is PollOutcome.DONE
    assert world.accounts.status(world.account.id).state is AccountState.OK


def test_disabled_account_is_left_alone(world: World) -> None:
    world.change_account(enabled=False)

    assert world.poll().outcome is PollOutcome.DISABLED
    assert world.poller.poll(4711).outcome is PollOutcome.DISABLED
    assert world.mailbox.opened == 0


def test_unreadable_mail_waits_and_neighbours_go_on(world: World) -> None:
    """P16: one mail the server will not hand over blocks nothing, and is asked for again."""
    for number in range(3):
        world.deliver(mail(f"Mail {number}"))
    world.mailbox.unreadable.add(2)

    report = world.poll()

    assert (report.archived, report.unreadable) == (2, 1)
    world.mailbox.unreadable.clear()
    world.wait(hours=1)
    assert world.poll().archived == 1
    assert {message.state for message in world.messages()} == {MessageState.ARCHIVED}


def test_mail_that_stays_unreadable_is_quarantined(world: World) -> None:
    world.deliver(mail())
    world.mailbox.unreadable.add(1)

    for _ in range(6):
        world.poll()
        world.wait(hours=12)

    [message] = world.messages()
    assert message.state is MessageState.QUARANTINED
    assert message.error_code == "message_unreadable"


def test_oversized_mail_is_skipped_with_its_reason(world: World) -> None:
    """P17: never silently."""
    world.poll_settings = with_settings(world, max_message_bytes=2000)
    world.deliver(mail("Big", body="x" * 70 + "\n" + "y\n" * 3000))
    world.deliver(mail("Small"))

    world.poll()

    states = {message.uid: (message.state, message.error_code) for message in world.messages()}
    assert states == {1: (MessageState.SKIPPED, "oversized"), 2: (MessageState.ARCHIVED, None)}


def test_big_mail_arrives_whole_by_file(world: World) -> None:
    raw = mail("Big", attachment=bytes(range(256)) * 4096)
    world.deliver(raw)

    world.poll()

    [message] = world.messages()
    assert world.archive.read(message.archive_key or "", sha256=message.sha256) == raw
    assert message.subject == "Big"


# P13: where an account begins.


def test_new_account_takes_only_what_comes_after(world: World) -> None:
    world.change_account(start=StartPoint())
    world.deliver(mail("Old"), age=DAY)
    world.poll()
    world.deliver(mail("New"))

    world.poll()

    assert world.subjects() == ["New"]


def test_start_since_a_date_takes_what_is_younger(world: World) -> None:
    world.change_account(start=StartPoint(kind=StartKind.SINCE, since=date(2026, 11, 20)))
    for day in (18, 19, 20, 21):
        world.mailboxes.deliver(USER, mail(f"Day {day}"), internal_date=world.time.replace(day=day))

    world.poll()

    assert sorted(filter(None, world.subjects())) == ["Day 20", "Day 21"]


def test_backfill_waits_behind_new_mail(world: World) -> None:
    """A huge backfill starves nothing: new mail is taken first at each poll, and queued before it."""
    world.poll_settings = with_settings(world, batch_messages=2)
    for number in range(10):
        world.deliver(mail(f"Old {number}"))

    def tick(_uid: int) -> None:
        world.wait(seconds=20)

    world.mailbox.before_fetch = tick
    world.poll()
    world.deliver(mail("New"))
    world.poll()

    by_subject = {message.subject: message for message in world.messages()}
    assert by_subject["New"].priority is Priority.NORMAL
    assert {message.priority for subject, message in by_subject.items() if subject != "New"} == {Priority.LOW}
    assert "Old 9" in by_subject
    assert "Old 0" not in by_subject


# P14: folders.


def test_each_folder_has_its_own_cursor(world: World) -> None:
    world.change_account(folders=("INBOX", "收件/测试"))
    world.deliver(mail("In the inbox"))
    world.deliver(mail("Elsewhere"), "收件/测试")

    world.poll()
    world.deliver(mail("Again"), "收件/测试")
    world.poll()

    assert [(message.folder, message.uid) for message in world.messages()] == [
        ("INBOX", 1),
        ("收件/测试", 1),
        ("收件/测试", 2),
    ]


def test_folder_that_was_out_of_time_is_first_next_time(world: World) -> None:
    """A7: a busy folder cannot keep another from ever being read."""
    world.poll_settings = with_settings(world, batch_messages=1)
    world.change_account(folders=("INBOX", "Second"), start=StartPoint())
    world.mailboxes.create_folder(USER, "Second")
    world.poll()
    for number in range(3):
        world.deliver(mail(f"Busy {number}"))
    world.deliver(mail("Patient"), "Second")
    world.mailbox.before_fetch = lambda _uid: world.wait(seconds=30)

    outcomes = [world.poll().outcome for _ in range(4)]

    assert outcomes[0] is PollOutcome.PARTIAL
    assert "Patient" in world.subjects()


def test_missing_folder_is_told_and_others_go_on(world: World) -> None:
    world.change_account(folders=("Nowhere", "INBOX"))
    world.deliver(mail())

    report = world.poll()

    assert (report.outcome, report.archived) == (PollOutcome.FAILED, 1)
    status = world.accounts.status(world.account.id)
    assert (status.state, status.next_try) == (AccountState.FOLDER_MISSING, None)


def test_all_folders_leave_out_where_mail_is_moved(world: World) -> None:
    world.change_account(folders=("*",), after=AfterAction(kind=AfterKind.MOVE, folder="Done"))
    world.deliver(mail("Mine"))
    world.deliver(mail("Filed by hand"), "Done")

    world.poll()

    assert world.subjects() == ["Mine"]


# P12: after processing, and only then.


@pytest.mark.parametrize(
    ("after", "flags"),
    [(AfterKind.LEAVE, ()), (AfterKind.SEEN, ("\\Seen",)), (AfterKind.FLAG, ("\\Flagged",))],
)
def test_flags_change_only_after_processing(world: World, after: AfterKind, flags: tuple[str, ...]) -> None:
    world.change_account(after=AfterAction(kind=after))
    world.deliver(mail())
    world.poll()
    world.poll()
    assert world.mailboxes.flags(USER) == {1: ()}

    world.process()
    world.poll()

    assert world.mailboxes.flags(USER) == {1: flags}


def test_processed_mail_is_moved_and_not_taken_again(world: World) -> None:
    world.change_account(after=AfterAction(kind=AfterKind.MOVE, folder="Done"))
    world.deliver(mail("Once"))
    world.poll()
    world.process()

    world.poll()
    world.poll()

    assert world.mailboxes.flags(USER) == {}
    assert world.mailboxes.flags(USER, "Done") == {1: ()}
    assert [message.after for message in world.messages()] == [AfterState.DONE]


def test_quarantined_mail_stays_on_the_server(world: World) -> None:
    world.change_account(after=AfterAction(kind=AfterKind.DELETE))
    world.deliver(mail())
    world.poll()
    world.quarantine()

    world.poll()

    assert world.messages()[0].state is MessageState.QUARANTINED
    assert world.mailboxes.flags(USER) == {1: ()}


# P15: a new UIDVALIDITY.


def test_renumbered_folder_gives_events_for_new_mail_only(world: World) -> None:
    old = [mail(f"Old {number}") for number in range(6)]
    for raw in old:
        world.deliver(raw)
    world.poll()
    world.process()
    world.mailboxes.reset_uidvalidity(USER)
    world.deliver(mail("New"))

    world.poll()
    world.process()

    assert sorted(filter(None, world.subjects())) == sorted([*(f"Old {number}" for number in range(6)), "New"])
    assert {message.uidvalidity for message in world.messages()} == {2}


def test_new_mail_equal_to_an_old_one_is_new_after_renumbering(world: World) -> None:
    """Content tells old mail from new only among what was there at the renumbering; what comes later is new."""
    twin = mail("The same, octet for octet")
    world.deliver(twin)
    world.poll()
    world.process()
    world.mailboxes.expunge(USER, [1])
    world.mailboxes.reset_uidvalidity(USER)
    world.poll()

    world.deliver(twin)
    world.poll()

    assert len(world.messages()) == 2
    assert world.process() == 1


def test_renumbering_does_not_revive_what_predates_the_account(world: World) -> None:
    world.change_account(start=StartPoint())
    world.deliver(mail("Before"), age=DAY)
    world.wait(minutes=1)
    world.poll()
    world.wait(minutes=1)
    world.mailboxes.reset_uidvalidity(USER)
    world.deliver(mail("After"))

    world.poll()

    states = {message.subject: message.state for message in world.messages()}
    assert states == {"Before": MessageState.SKIPPED, "After": MessageState.ARCHIVED}


# P10: priority before parsing.


def test_urgent_mail_is_queued_as_urgent(world: World) -> None:
    world.rulebook.save_rule(Rule(name="boss", match=Match(from_=("boss@*",)), priority=Priority.HIGH))
    world.poll()
    world.deliver(mail("By header", X_Priority="1"))
    world.deliver(mail("By rule", sender="boss@example.com"))
    world.deliver(mail("Plain"))

    world.poll()

    assert [message.priority for message in world.messages()] == [Priority.HIGH, Priority.HIGH, Priority.NORMAL]


def test_idle_poll_selects_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """P3: STATUS says the same as last time, so that nothing is selected or searched."""
    world.poll()
    selected: list[str] = []
    monkeypatch.setattr(MemorySession, "select", lambda _self, folder, **_: selected.append(folder))

    assert world.poll().outcome is PollOutcome.DONE
    assert selected == []


def with_settings(world: World, **changes: int) -> PollSettings:
    """The world's poll settings with these changed."""
    return world.poll_settings.model_copy(update=changes)


def test_a_key_that_does_not_fit_is_no_accounts_fault(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 9, B: it is infrastructure; the first poll with the right key takes the mail."""
    world.deliver(mail())

    def refuse(_mailbox: MemoryMailbox, _account: Account) -> None:
        raise SecretKeyError("wrong")

    with monkeypatch.context() as patched:
        patched.setattr(MemoryMailbox, "refuse", refuse)
        with pytest.raises(InfrastructureError):
            world.poll()

    assert world.accounts.status(world.account.id).state is AccountState.NEW
    assert world.poll().archived == 1


# One message too many, and clocks.


def test_message_that_came_twice_finds_the_account_polled(world: World) -> None:
    """P1: a mark that was lost, or a message handed out again after its worker died, costs no session."""
    poller = replace(world.poller, interval=lambda: 60)
    outcomes = [poller.poll(world.account.id).outcome]
    world.wait(seconds=29)
    outcomes.append(poller.poll(world.account.id).outcome)
    outcomes.append(poller.poll(world.account.id, forced=True).outcome)
    world.wait(seconds=31)
    outcomes.append(poller.poll(world.account.id).outcome)

    assert outcomes == [PollOutcome.DONE, PollOutcome.FRESH, PollOutcome.DONE, PollOutcome.DONE]


def test_poll_that_began_in_the_future_is_no_reason_to_wait(world: World) -> None:
    """The clock was ahead."""
    poller = replace(world.poller, interval=lambda: 60)
    poller.poll(world.account.id)
    world.time -= timedelta(hours=1)

    assert poller.poll(world.account.id).outcome is PollOutcome.DONE


def test_lease_taken_by_a_clock_that_was_ahead_counts_as_lapsed(world: World) -> None:
    """It would stop the account for an hour."""
    lease = world.accounts.lease(world.account.id, until=world.time + timedelta(hours=1, seconds=65))
    assert lease is not None

    assert world.poll().outcome is PollOutcome.DONE
    assert world.accounts.renew(lease, until=world.time) is None


@pytest.mark.parametrize("ahead", [timedelta(hours=1), timedelta(days=3650)])
def test_next_try_set_by_a_clock_that_was_ahead_holds_nobody_up(world: World, ahead: timedelta) -> None:
    world.mailbox.denied = True
    world.time += ahead
    world.poll()
    world.time -= ahead
    world.mailbox.denied = False

    assert world.poll().outcome is PollOutcome.DONE
