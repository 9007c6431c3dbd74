"""Borders: what goes wrong with one mail, one folder or one poll stops no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest

from concord.errors import ArchiveDownError, MailboxDownError, MailboxProtocolError, MailboxThrottledError
from concord.model.account import AccountState, StartKind, StartPoint
from concord.model.fault import in_english
from concord.model.message import MessageState
from concord.pipeline.poll import PollOutcome
from tests.factories import mail
from tests.fakes.mailbox import MemorySession
from tests.fakes.world import USER, World


@pytest.fixture(params=[StartKind.NEW, StartKind.ALL], ids=["new mail", "backfill"])
def full(request: pytest.FixtureRequest, world: World) -> World:
    """33 mails that are new, or were there before the account began."""
    world.change_account(start=StartPoint(kind=request.param))
    if request.param is StartKind.NEW:
        world.poll()
    for number in range(1, 34):
        world.deliver(mail(f"Mail {number}"))
    return world


def hang_up(*uids: int) -> Callable[[int], None]:
    """The server ends the session when it is asked for one of these."""

    def act(uid: int) -> None:
        if uid in uids:
            raise MailboxDownError("hung_up")

    return act


def polled(world: World, times: int) -> None:
    """Poll as the schedule would, a minute apart."""
    for _ in range(times):
        world.poll()
        world.wait(minutes=1)


def archived(world: World) -> list[int]:
    return sorted(message.uid for message in world.messages(MessageState.ARCHIVED))


# A mail that ends the session.


def test_mail_that_ends_the_session_costs_no_other_mail(full: World) -> None:
    """C: after ten polls all but the one are there, and that one waits with its own due time."""
    full.mailbox.before_fetch = hang_up(6)

    polled(full, 10)

    assert archived(full) == [uid for uid in range(1, 34) if uid != 6]
    [left] = [message for message in full.messages() if message.uid == 6]
    assert left.error_code == "message_ends_session"
    assert left.state is MessageState.UNFETCHED
    assert left.due_at is not None
    assert full.accounts.status(full.account.id).state is AccountState.OK


def test_several_mails_that_end_the_session_are_passed_one_after_the_other(full: World) -> None:
    full.mailbox.before_fetch = hang_up(1, 6, 7, 33)

    polled(full, 25)

    assert archived(full) == [uid for uid in range(1, 34) if uid not in (1, 6, 7, 33)]


def test_mail_that_ends_two_sessions_is_read_in_the_third(full: World) -> None:
    """C: a server that restarts blames nobody."""
    left = [3]

    def restart(uid: int) -> None:
        if uid == 6 and left[0]:
            left[0] -= 1
            raise MailboxDownError("hung_up")

    full.mailbox.before_fetch = restart

    polled(full, 6)

    assert archived(full) == list(range(1, 34))
    assert full.messages(MessageState.UNFETCHED) == []


def test_what_came_whole_before_the_loss_is_kept(full: World) -> None:
    full.mailbox.before_fetch = hang_up(6)

    full.poll()

    backfill = full.account.start.kind is StartKind.ALL
    assert archived(full) == (list(range(7, 34)) if backfill else list(range(1, 6)))


def test_account_says_that_a_session_ended_and_where(world: World) -> None:
    """C: 'unreachable: check the host' is not what is wrong."""
    world.poll()
    world.deliver(mail())
    world.mailbox.before_fetch = hang_up(1)

    world.poll()

    status = world.accounts.status(world.account.id)
    assert (status.state, status.last_error_code) == (AccountState.BACKING_OFF, "session_lost")
    assert "uid=1" in (in_english(status.last_error) or "")
    assert "folder=INBOX" in (in_english(status.last_error) or "")
    assert status.next_try is not None
    assert status.next_try - world.time <= timedelta(seconds=world.poll_settings.backoff_base)


@pytest.mark.parametrize("seconds", [31, 60], ids=["socket time-out", "budget"])
def test_mail_that_hangs_costs_no_other_mail(full: World, seconds: int) -> None:
    """C: until the time-out of the socket, or, dripping, until the budget is used up."""

    def hang(uid: int) -> None:
        if uid == 6:
            full.wait(seconds=seconds)
            if seconds < full.poll_settings.budget:
                raise MailboxDownError("timeout")

    full.mailbox.before_fetch = hang

    for _ in range(10):
        full.poll(forced=True)
        full.wait(minutes=1)

    assert archived(full) == [uid for uid in range(1, 34) if uid != 6]


def test_budget_that_ends_in_a_busy_poll_blames_no_mail(world: World) -> None:
    """A poll that brought something and ran out of time says nothing of the mail it was at."""
    world.poll()
    for number in range(30):
        world.deliver(mail(f"Mail {number}"))
    world.mailbox.before_fetch = lambda _uid: world.wait(seconds=6)

    polled(world, 4)

    assert len(world.messages(MessageState.ARCHIVED)) == 30
    assert world.accounts.cursors(world.account.id)["INBOX"].deaths == 0


def test_throttling_blames_no_mail(world: World) -> None:
    world.poll()
    world.deliver(mail())

    def throttle(_uid: int) -> None:
        raise MailboxThrottledError(retry_after=60.0)

    world.mailbox.before_fetch = throttle
    for _ in range(5):
        world.poll()
        world.wait(minutes=2)

    cursor = world.accounts.cursors(world.account.id)["INBOX"]
    assert (cursor.last_uid, cursor.deaths, cursor.careful_low) == (0, 0, None)
    world.mailbox.before_fetch = None
    assert world.poll().archived == 1


# What was not handed over is asked for again.


def test_retry_that_ends_the_session_holds_up_nobody(world: World) -> None:
    """C: it is asked for behind all new mail, counts for that mail alone, and the account is well."""
    world.poll()
    for number in range(1, 4):
        world.deliver(mail(f"Mail {number}"))
    world.mailbox.unreadable |= {1, 2}
    world.poll()
    world.mailbox.unreadable.clear()
    world.mailbox.before_fetch = hang_up(1)
    world.wait(hours=1)
    world.deliver(mail("New"))

    report = world.poll()

    assert (report.outcome, world.accounts.status(world.account.id).state) == (PollOutcome.DONE, AccountState.OK)
    assert "New" in world.subjects()
    [first] = [message for message in world.messages() if message.uid == 1]
    assert (first.state, first.error_code, first.failures) == (MessageState.UNFETCHED, "message_ends_session", 2)
    world.wait(minutes=1)
    world.poll()
    assert archived(world) == [2, 3, 4]


def test_retry_that_ends_every_session_is_quarantined_in_the_end(world: World) -> None:
    """P16."""
    world.poll()
    world.deliver(mail())
    world.mailbox.before_fetch = hang_up(1)

    for _ in range(12):
        world.poll()
        world.wait(hours=1)

    [message] = world.messages()
    assert (message.state, message.error_code) == (MessageState.QUARANTINED, "message_ends_session")


def test_retry_begins_only_where_time_is_left(world: World) -> None:
    """A poll that is nearly over must not count against a mail."""
    world.poll()
    world.deliver(mail("Unreadable"))
    world.mailbox.unreadable.add(1)
    world.poll()
    world.wait(hours=1)
    world.deliver(mail("Slow"))
    asked: list[int] = []

    def slow(uid: int) -> None:
        asked.append(uid)
        world.wait(seconds=45)

    world.mailbox.before_fetch = slow
    report = world.poll()

    assert (report.outcome, report.archived) == (PollOutcome.PARTIAL, 1)
    assert asked == [2]


# The unexpected.


def test_unexpected_about_one_mail_is_its_own_row(full: World, caplog: pytest.LogCaptureFixture) -> None:
    """C: a number or a date that nobody thought of."""

    def break_down(uid: int) -> None:
        if uid == 6:
            raise OverflowError("date value out of range")

    full.mailbox.before_fetch = break_down

    report = full.poll()

    assert (report.outcome, report.archived, report.unreadable) == (PollOutcome.DONE, 32, 1)
    [left] = full.messages(MessageState.UNFETCHED)
    assert (left.uid, left.error_code) == (6, "poll_fault")
    assert "cause=OverflowError" in (in_english(left.error) or "")
    assert "date value out of range" in caplog.text


def test_mail_that_the_archive_refuses_is_its_own_row(full: World, monkeypatch: pytest.MonkeyPatch) -> None:
    put = full.archive.put
    [bad] = [message.raw for uid, message in full.mailbox.folders["INBOX"].messages.items() if uid == 6]

    def refuse(blobs: Any) -> None:
        if any(blob.content == bad for blob in blobs):
            raise ValueError("a key of no kind")
        put(blobs)

    monkeypatch.setattr(full.archive, "put", refuse)

    report = full.poll()

    assert (report.archived, report.unreadable) == (32, 1)
    assert [message.uid for message in full.messages(MessageState.UNFETCHED)] == [6]


def test_mail_that_the_database_refuses_is_its_own_row(full: World, monkeypatch: pytest.MonkeyPatch) -> None:
    record = type(full.ledger).record

    def refuse(self: Any, lease: Any, cursor: Any, mails: Any, **options: bool) -> Any:
        if any(one.uid == 6 and one.state is MessageState.ARCHIVED for one in mails):
            raise ValueError("out of range")
        return record(self, lease, cursor, mails, **options)

    monkeypatch.setattr(type(full.ledger), "record", refuse)

    report = full.poll()

    assert (report.archived, report.unreadable) == (32, 1)
    assert [message.uid for message in full.messages(MessageState.UNFETCHED)] == [6]
    assert len(full.queue.messages) == 32


def test_mail_whose_head_cannot_be_read_is_archived_all_the_same(full: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_head: bytes) -> None:
        raise RecursionError("too deep")

    monkeypatch.setattr("concord.mime.peek", fail)

    assert full.poll().archived == 33


def test_unexpected_in_one_folder_leaves_the_others_alone(world: World, caplog: pytest.LogCaptureFixture) -> None:
    """C: the account says it with a typed state, and the log has the traceback."""
    world.change_account(folders=("Bad", "INBOX", "Last"))
    for folder in ("Bad", "INBOX", "Last"):
        world.mailboxes.create_folder(USER, folder)
    world.poll()
    for folder in ("Bad", "INBOX", "Last"):
        world.deliver(mail(folder), folder)

    def break_down(folder: str) -> None:
        if folder == "Bad":
            raise LookupError("no such codec")

    world.mailbox.before_status = break_down
    report = world.poll()

    status = world.accounts.status(world.account.id)
    assert sorted(filter(None, world.subjects())) == ["INBOX", "Last"]
    assert report.outcome is PollOutcome.FAILED
    assert (status.state, status.last_error_code) == (AccountState.INTERNAL_ERROR, "poll_fault")
    assert "folder=Bad" in (in_english(status.last_error) or "")
    assert status.next_try is not None
    assert "no such codec" in caplog.text


@pytest.mark.parametrize("kind", [MailboxDownError, MailboxProtocolError])
def test_folder_that_ends_the_session_leaves_the_others_alone(world: World, kind: type[Exception]) -> None:
    world.change_account(folders=("Bad", "INBOX", "Last"))
    for folder in ("Bad", "INBOX", "Last"):
        world.mailboxes.create_folder(USER, folder)
    world.poll()
    for folder in ("Bad", "INBOX", "Last"):
        world.deliver(mail(folder), folder)

    def end(folder: str) -> None:
        if folder == "Bad":
            raise kind("The IMAP server hung up")

    world.mailbox.before_status = end
    before = world.mailbox.opened
    report = world.poll()

    assert sorted(filter(None, world.subjects())) == ["INBOX", "Last"]
    assert report.outcome is PollOutcome.FAILED
    assert world.mailbox.opened == before + 2


def test_folders_that_end_the_session_do_not_take_every_turn(world: World) -> None:
    """C: more of them than a poll has sessions; the next poll begins with those that had no turn."""
    bad = [f"Bad {number}" for number in range(4)]
    world.change_account(folders=(*bad, "INBOX"))
    for name in bad:
        world.mailboxes.create_folder(USER, name)
    world.poll()
    world.deliver(mail())

    def end(folder: str) -> None:
        if folder in bad:
            raise MailboxDownError("hung_up")

    world.mailbox.before_status = end
    for _ in range(2):
        world.wait(hours=1)
        world.poll()

    assert len(world.messages()) == 1


def test_piece_that_came_before_a_cut_is_no_death(world: World) -> None:
    """A big mail on a line that breaks gets on a little each time."""
    world.poll()
    world.deliver(mail())
    left = [6]

    def break_off(_uid: int) -> None:
        if left[0]:
            left[0] -= 1
            cut = MailboxDownError("hung_up")
            cut.kept = 100_000
            raise cut

    world.mailbox.before_fetch = break_off
    polled(world, 8)
    world.wait(hours=2)
    world.poll()

    assert archived(world) == [1]
    assert [step.what for step in world.ledger.trail(world.messages()[0].id)] == ["message.archived"]


def test_server_that_ends_every_session_is_not_hammered(world: World) -> None:
    world.change_account(folders=tuple(f"Folder {number}" for number in range(20)))
    for number in range(20):
        world.mailboxes.create_folder(USER, f"Folder {number}")

    def end(_folder: str, _writable: bool) -> None:  # noqa: FBT001 - the knob's signature
        raise MailboxDownError("hung_up")

    world.mailbox.before_select = end
    world.poll()

    assert world.mailbox.opened == 3


def test_unexpected_in_a_poll_is_a_state_with_a_back_off(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """C: anything but a mailbox's trouble left the state `ok`."""
    world.poll()
    before = world.accounts.status(world.account.id).last_success

    def broken(*_: object, **__: object) -> Iterator[MemorySession]:
        raise AttributeError("'NoneType' object has no attribute 'group'")

    monkeypatch.setattr(world.mailboxes, "open", broken)
    world.wait(minutes=1)
    report = world.poll()

    status = world.accounts.status(world.account.id)
    assert report.outcome is PollOutcome.FAILED
    assert (status.state, status.failures, status.last_success) == (AccountState.INTERNAL_ERROR, 1, before)
    assert "cause=AttributeError" in (in_english(status.last_error) or "")
    assert world.poll().outcome is PollOutcome.WAITING


def test_infrastructure_that_is_down_touches_no_state(world: World) -> None:
    """O6: neither well nor ill, and the lease is free."""
    world.poll()
    before = world.accounts.status(world.account.id)
    world.deliver(mail())
    world.archive.down = True
    world.wait(minutes=5)

    with pytest.raises(ArchiveDownError):
        world.poll()

    assert world.accounts.status(world.account.id) == before
    world.archive.down = False
    assert world.poll().archived == 1


@pytest.mark.parametrize("end", [SystemExit(), KeyboardInterrupt()])
def test_stopped_poll_gives_its_lease_back(world: World, end: BaseException) -> None:
    world.poll()
    world.deliver(mail())

    def stop(_uid: int) -> None:
        raise end

    world.mailbox.before_fetch = stop
    with pytest.raises(type(end)):
        world.poll()
    world.mailbox.before_fetch = None

    assert world.poll().archived == 1


# Many folders.


def test_folder_that_was_checked_is_progress(world: World) -> None:
    """A5: 1,500 folders that all have nothing new are no unreachable server, and each has its turn."""
    names = [f"Folder {number:02}" for number in range(20)]
    for name in names:
        world.mailboxes.create_folder(USER, name)
    world.change_account(folders=tuple(names))
    world.poll()
    checked: list[str] = []

    def slow(folder: str) -> None:
        checked.append(folder)
        world.wait(seconds=6)

    world.mailbox.before_status = slow
    outcomes = [world.poll().outcome for _ in range(3)]

    assert outcomes == [PollOutcome.PARTIAL] * 3
    assert set(checked) == set(names)
    assert world.accounts.status(world.account.id).state is AccountState.OK


# A login that changes during a poll.


def test_password_corrected_during_a_poll_is_not_called_refused(world: World) -> None:
    """A5: the refusal is of the old one."""
    world.mailbox.denied = True
    opened = world.mailboxes.open

    @contextmanager
    def correct(account: Any, *, deadline: datetime) -> Iterator[MemorySession]:
        world.change_account(secret=b"the right one")
        with opened(account, deadline=deadline) as session:
            yield session

    world.mailboxes.open = correct  # type: ignore[method-assign]  # a person is quicker than the server
    world.poll()

    status = world.accounts.status(world.account.id)
    assert (status.state, status.next_try) == (AccountState.NEW, None)
    world.mailboxes.open = opened  # type: ignore[method-assign]
    world.mailbox.denied = False
    assert world.poll().outcome is PollOutcome.DONE


def test_next_try_that_a_wrong_clock_wrote_holds_nobody_up(world: World) -> None:
    world.mailbox.down = True
    world.wait(days=3650)
    world.poll()
    world.wait(days=-3650)
    world.mailbox.down = False

    assert world.poll().outcome is PollOutcome.DONE
