"""A mail whose fetch kills the poll worker (out of memory, SIGKILL, a segfault) does not stop its mailbox."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from concord.adapters.sql.holdings import SqlPolls
from concord.adapters.sql.leases import LeaseTerms
from concord.errors import ArchiveDownError
from concord.model.account import StartKind, StartPoint
from concord.model.message import MessageState
from concord.model.worker import Incarnation
from tests.factories import mail
from tests.fakes.world import World


class Killed(BaseException):
    """The process is gone: it writes nothing any more."""


@pytest.fixture(params=[StartKind.NEW, StartKind.ALL], ids=["new mail", "backfill"])
def full(request: pytest.FixtureRequest, world: World) -> World:
    """33 mails that are new, or were there before the account began."""
    world.change_account(start=StartPoint(kind=request.param))
    if request.param is StartKind.NEW:
        world.poll()
    for number in range(1, 34):
        world.deliver(mail(f"Mail {number}"))
    return world


def poll_times(world: World, times: int, monkeypatch: pytest.MonkeyPatch) -> int:
    """Poll as the schedule would; how many workers died. A dead one gives no lease back: leases lapse."""
    deaths = 0
    for _ in range(times):
        with monkeypatch.context() as patch:
            is_dead = False
            release = world.accounts.release

            def die(uid: int, hook: Callable[[int], None] | None = world.mailbox.before_fetch) -> None:
                nonlocal is_dead
                if hook:
                    try:
                        hook(uid)
                    except Killed:
                        is_dead = True
                        raise

            patch.setattr(world.mailbox, "before_fetch", die)
            patch.setattr(world.accounts, "release", lambda *args: None if is_dead else release(*args))  # noqa: B023 - of this turn
            try:
                world.poll()
            except Killed:
                deaths += 1
        world.wait(minutes=2)
    return deaths


def kill(*uids: int) -> Callable[[int], None]:
    def act(uid: int) -> None:
        if uid in uids:
            raise Killed

    return act


def archived(world: World) -> list[int]:
    return sorted(message.uid for message in world.messages(MessageState.ARCHIVED))


def test_mail_that_kills_its_worker_costs_no_other_mail(full: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """C: one death in a batch, three alone; then it waits with its own due time, and all others are there."""
    full.mailbox.before_fetch = kill(6)

    deaths = poll_times(full, 5, monkeypatch)

    assert deaths == 4
    assert archived(full) == [uid for uid in range(1, 34) if uid != 6]
    [left] = [message for message in full.messages() if message.uid == 6]
    assert (left.state, left.error_code) == (MessageState.UNFETCHED, "message_ends_session")
    assert left.due_at is not None
    assert left.due_at > full.time - timedelta(minutes=2)


def test_two_such_mails_are_passed_one_after_the_other(full: World, monkeypatch: pytest.MonkeyPatch) -> None:
    full.mailbox.before_fetch = kill(6, 20)

    poll_times(full, 14, monkeypatch)

    assert archived(full) == [uid for uid in range(1, 34) if uid not in (6, 20)]


def test_its_retries_kill_few_workers_and_end(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each retry is due later than the last; after the last it is quarantined, and no worker dies any more."""
    world.poll()
    world.deliver(mail())
    world.mailbox.before_fetch = kill(1)

    deaths = poll_times(world, 120, monkeypatch)

    [left] = world.messages()
    assert left.state is MessageState.QUARANTINED
    assert deaths == 8  # one in a batch, three alone, four retries


def test_worker_killed_for_other_reasons_blames_no_mail(full: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mail that came through in the end has no row of a failure."""
    left = [3]

    def die_sometimes(uid: int) -> None:
        if uid == 6 and left[0]:
            left[0] -= 1
            raise Killed

    full.mailbox.before_fetch = die_sometimes

    poll_times(full, 5, monkeypatch)

    assert archived(full) == list(range(1, 34))


def test_archive_that_is_down_is_no_death(full: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A poll that ends with an error has not died, however often: its mail is not to blame for a later death."""
    full.mailbox.before_fetch = kill(6)
    poll_times(full, 1, monkeypatch)

    def refuse(*_: object) -> None:
        raise ArchiveDownError("The disk is full")

    full.mailbox.before_fetch = lambda uid: refuse() if uid == 6 else None
    for _ in range(5):
        with pytest.raises(ArchiveDownError):
            full.poll()
        full.wait(minutes=2)
    full.mailbox.before_fetch = None
    full.poll()

    assert archived(full) == list(range(1, 34))


def test_death_is_seen_where_the_lease_was_freed_by_the_next_start(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A worker that starts again frees the leases of its last life at once: the crash is still known."""
    worker = Incarnation("poll@host", "1-2-3")
    world.accounts._terms = LeaseTerms(worker=lambda: worker)  # what bootstrap hands over
    lease = world.accounts.lease(world.account.id, until=world.time + timedelta(minutes=1))
    assert lease is not None
    assert not lease.follows_crash

    SqlPolls(world.engine).release(str(worker))

    after = world.accounts.lease(world.account.id, until=world.time + timedelta(minutes=1))
    assert after is not None
    assert after.follows_crash
    world.accounts.release(after)
    later = world.accounts.lease(world.account.id, until=world.time + timedelta(minutes=1))
    assert later is not None
    assert not later.follows_crash


def test_normal_poll_writes_no_place(world: World) -> None:
    """The place is written before each fetch only where something died before: a good mailbox costs nothing more."""
    world.poll()
    for number in range(3):
        world.deliver(mail(f"Mail {number}"))
    saved = []

    def look(_uid: int) -> None:
        saved.append(world.accounts.cursors(world.account.id)["INBOX"].fetching_uid)

    world.mailbox.before_fetch = look

    world.poll()

    assert saved == [None, None, None]
