"""Accounts, their states, the poll lease and the cursors, on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, timedelta
from threading import Barrier
from typing import Any

import pytest

from concord.adapters.sql.account_lists import KEPT_TURNS
from concord.errors import ExistsError, NotFoundError
from concord.model.account import (
    Account,
    AccountFilter,
    AccountNote,
    AccountState,
    AccountStatus,
    AfterAction,
    AfterKind,
    FolderCursor,
    PollLease,
    Priority,
    StartKind,
    StartPoint,
    Tls,
)
from concord.model.message import MessageState
from concord.ports import MessageFilter
from concord.wording import english
from tests.sql_world import MINUTE, START, World, account, seen

FULL = Account(
    name="buero",
    host="Mail.Example.COM",
    port=143,
    tls=Tls.STARTTLS,
    user="büro@example.com",
    secret=b"\x00\xff sealed",
    ca_file="/etc/ssl/own.pem",
    ca_pem="-----BEGIN CERTIFICATE-----",
    folders=("INBOX", "Entwürfe", "收件箱"),
    start=StartPoint(kind=StartKind.SINCE, since=date(2026, 1, 31)),
    after=AfterAction(kind=AfterKind.MOVE, folder="Archiv"),
    interval=30,
    priority=Priority.HIGH,
    enabled=False,
)
REFUSED = AccountStatus(
    state=AccountState.AUTH_FAILED,
    failures=1,
    last_error="no",
    last_error_code="mailbox_denied",
    last_error_at=START,
    next_try=START + MINUTE,
)


# What an operator wrote.


def test_an_account_comes_back_as_it_was_written(world: World) -> None:
    added = world.accounts.add(FULL)

    assert replace(added, id=0, key=None, start_at=None) == FULL
    assert world.accounts.get(added.id) == world.accounts.get("buero") == added


def test_accounts_are_listed_by_name(world: World) -> None:
    world.accounts.add(FULL)

    assert [found.name for found in world.accounts.all()] == world.accounts.names() == ["buero", "sales"]
    assert [found.name for found in world.accounts.all(enabled_only=True)] == ["sales"]


def test_a_name_is_taken_once(world: World) -> None:
    with pytest.raises(ExistsError) as caught:
        world.accounts.add(account(host="other.example.com"))

    assert "sales" in english.explain(caught.value)


@pytest.mark.parametrize("unknown", [999, "nobody"])
def test_an_unknown_account_is_named_in_the_error(world: World, unknown: int | str) -> None:
    with pytest.raises(NotFoundError) as caught:
        world.accounts.get(unknown)

    assert str(unknown) in english.explain(caught.value)


def test_saving_keeps_id_key_and_name(world: World) -> None:
    changed = replace(FULL, id=world.account.id, name="another", key=None)

    saved = world.accounts.save(changed)

    kept = replace(FULL, id=world.account.id, name="sales", key=world.account.key, start_at=START)
    assert saved == kept
    assert world.accounts.get("sales") == saved


def test_saving_a_removed_account_is_refused(world: World) -> None:
    world.accounts.remove("sales")

    with pytest.raises(NotFoundError):
        world.accounts.save(world.account)


@pytest.mark.parametrize("change", [{"secret": b"new"}, {"user": "new"}, {"host": "new.example.com"}, {"port": 1143}])
def test_a_changed_login_forgives_a_refusal(world: World, change: dict[str, object]) -> None:
    """A5: the refusal was of the old login."""
    world.accounts.set_status(world.account.id, REFUSED)

    world.accounts.save(replace(world.account, **change))  # type: ignore[arg-type]  # one field each, of its own type

    assert world.accounts.status(world.account.id) == AccountStatus(state=AccountState.NEW)


def test_a_changed_interval_forgives_nothing(world: World) -> None:
    world.accounts.set_status(world.account.id, REFUSED)

    world.accounts.save(replace(world.account, interval=5))

    assert world.accounts.status(world.account.id) == REFUSED


def test_a_changed_login_leaves_other_troubles_alone(world: World) -> None:
    slow = replace(REFUSED, state=AccountState.THROTTLED)
    world.accounts.set_status(world.account.id, slow)

    world.accounts.save(replace(world.account, secret=b"new"))

    assert world.accounts.status(world.account.id) == slow


# Removed, and perhaps back.


def test_a_removed_account_is_gone_and_its_messages_stay(world: World) -> None:
    [ref] = world.record([seen(1)])

    world.accounts.remove("sales")

    assert world.accounts.all() == []
    assert world.accounts.names() == []
    assert world.accounts.statuses() == {}
    assert world.ledger.get(ref.id).account == "sales"
    with pytest.raises(NotFoundError):
        world.accounts.remove("sales")


def test_a_removed_name_is_free_again(world: World) -> None:
    world.accounts.remove("sales")

    other = world.accounts.add(account(host="other.example.com"))

    assert other.key != world.account.key
    assert other.id != world.account.id


def test_the_same_mailbox_added_again_makes_no_mail_twice(world: World) -> None:
    """P5: the same key, so the same events; and cursors begin anew."""
    [ref] = world.record([seen(1)])
    world.accounts.remove("sales")

    again = world.accounts.add(account(interval=7, secret=b"new"))
    world.lease = world.take_lease()

    assert (again.key, again.interval, again.secret) == (world.account.key, 7, b"new")
    assert world.accounts.cursors(again.id) == {}
    assert world.record([seen(1)]) == []
    assert world.ledger.get(ref.id).state is MessageState.ARCHIVED


def test_a_mailbox_that_moved_before_it_was_removed_is_known_again(world: World) -> None:
    world.accounts.save(replace(world.account, host="new.example.com"))
    world.accounts.remove("sales")

    again = world.accounts.add(account(host="NEW.example.com"))

    assert again.id == world.account.id


def test_removing_an_account_stops_a_poll_under_way(world: World) -> None:
    world.accounts.remove("sales")

    assert world.ledger.record(world.lease, world.cursor(), [seen(1)]) is None
    assert world.accounts.lease(world.account.id, until=START + MINUTE) is None


# How they do.


def test_a_note_stays_until_it_no_longer_holds(world: World) -> None:
    """A status that a poll writes does not touch it."""
    note = AccountNote.SEARCH_UNRELIABLE
    for _ in range(2):
        world.accounts.note(world.account.id, note, holds=True)
    world.accounts.set_status(world.account.id, REFUSED)
    assert world.accounts.status(world.account.id).notes == (note,)

    world.accounts.note(world.account.id, note, holds=False)

    assert world.accounts.status(world.account.id).notes == ()


def test_a_new_account_has_never_been_polled(world: World) -> None:
    assert world.accounts.status(world.account.id) == AccountStatus()
    assert world.accounts.statuses() == {world.account.id: AccountStatus()}


def test_a_status_comes_back_as_it_was_set(world: World) -> None:
    full = replace(REFUSED, last_success=START, last_poll=START + MINUTE)

    world.accounts.set_status(world.account.id, full)

    assert world.accounts.status(world.account.id) == full


def test_an_error_from_outside_is_made_fit_to_keep(world: World) -> None:
    world.accounts.set_status(world.account.id, replace(REFUSED, last_error="\x00\ud800" + "x" * 9000))

    kept = world.accounts.status(world.account.id).last_error

    assert kept is not None
    assert len(kept) == 2000
    assert kept.startswith("\N{REPLACEMENT CHARACTER}?xx")


# The lease.


def test_one_poll_at_a_time_holds_the_lease(world: World) -> None:
    """P3."""
    assert world.accounts.lease(world.account.id, until=START + MINUTE) is None


def test_a_lapsed_lease_is_free_and_its_holder_writes_nothing(world: World) -> None:
    old = world.lease
    world.clock.forward(timedelta(hours=2))

    new = world.take_lease()

    assert new.fence > old.fence
    assert world.accounts.renew(old, until=world.clock() + MINUTE) is None
    assert not world.accounts.save_cursor(old, world.cursor())
    world.accounts.release(old, REFUSED)
    assert world.accounts.status(world.account.id) == AccountStatus()
    assert world.accounts.renew(new, until=world.clock() + MINUTE) == replace(new, until=world.clock() + MINUTE)


def test_a_renewed_lease_holds_longer(world: World) -> None:
    renewed = world.accounts.renew(world.lease, until=START + timedelta(hours=3))
    world.clock.forward(timedelta(hours=2))

    assert renewed is not None
    assert world.accounts.save_cursor(renewed, world.cursor())


def test_a_released_lease_tells_how_it_went_and_is_free(world: World) -> None:
    world.accounts.release(world.lease, REFUSED)

    assert world.accounts.status(world.account.id) == REFUSED
    assert world.take_lease().fence > world.lease.fence


def test_a_lease_released_without_words_changes_no_status(world: World) -> None:
    world.accounts.set_status(world.account.id, REFUSED)

    world.accounts.release(world.lease)

    assert world.accounts.status(world.account.id) == REFUSED


def test_of_many_that_ask_at_once_one_gets_the_lease(world: World) -> None:
    world.accounts.release(world.lease)
    barrier = Barrier(8)

    def ask(_number: int) -> bool:
        barrier.wait()
        return world.accounts.lease(world.account.id, until=START + MINUTE) is not None

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(ask, range(8)))

    assert answers.count(True) == 1


# Cursors.


def test_a_cursor_comes_back_as_it_was_saved(world: World) -> None:
    """P14: one for each folder, whatever its name."""
    full = replace(
        world.cursor(folder="收件箱", uidvalidity=4_294_967_295, last_uid=4_294_967_295),
        backfill_next=7,
        backfill_low=3,
        uidnext=9,
        messages=8,
        modseq=2**63 - 1,
        checked_at=START + timedelta(microseconds=1),
    )

    assert world.accounts.save_cursor(world.lease, world.cursor())
    assert world.accounts.save_cursor(world.lease, replace(full, last_uid=1))
    assert world.accounts.save_cursor(world.lease, full)

    assert world.accounts.cursors(world.account.id) == {"INBOX": world.cursor(), "收件箱": full}


def test_failing_accounts_come_with_how_they_do_the_latest_failure_first(world: World) -> None:
    for minute, (name, state) in enumerate(
        [("tls", AccountState.TLS), ("well", AccountState.OK), ("denied", AccountState.AUTH_FAILED)]
    ):
        made = world.accounts.add(account(name))
        world.accounts.set_status(made.id, AccountStatus(state=state, last_error_at=START + minute * MINUTE))
    off = world.accounts.add(account("off", enabled=False))
    world.accounts.set_status(off.id, AccountStatus(state=AccountState.DNS, last_error_at=START))

    found = world.accounts.failing(limit=5)

    assert [(one.name, status.state) for one, status in found] == [
        ("denied", AccountState.AUTH_FAILED),
        ("tls", AccountState.TLS),
    ]
    assert len(world.accounts.failing(limit=1)) == 1


def test_accounts_are_narrowed_and_paged_by_name(world: World) -> None:
    world.accounts.remove(world.account.name)
    first, second, third = (world.accounts.add(account(name)) for name in ("ann", "bob", "eve"))
    world.accounts.save(replace(third, enabled=False))
    for one in (second, third):
        world.accounts.set_status(one.id, AccountStatus(state=AccountState.TLS, failures=2))

    def found(**narrowed: Any) -> list[str]:
        return [one.name for one, _ in world.accounts.search(AccountFilter(**narrowed))]

    assert found() == ["ann", "bob", "eve"]
    assert found(search="BO") == ["bob"]
    assert found(search=first.host.upper(), limit=2) == ["ann", "bob"]
    assert found(search="%") == []
    assert found(after="ann") == ["bob", "eve"]
    assert found(enabled=False) == ["eve"]
    assert found(state=AccountState.TLS) == ["bob"]
    assert found(failing=True) == ["bob"]
    assert world.accounts.search(AccountFilter(search="bob"))[0][1].failures == 2
    assert world.accounts.counts() == {"new": 1, "tls": 1, "disabled": 1}


def released(world: World, account_id: int, status: AccountStatus) -> None:
    """A poll a minute later, and what it found."""
    world.clock.forward(MINUTE)
    lease = world.accounts.lease(account_id, until=world.clock() + MINUTE)
    assert lease
    world.accounts.release(lease, status)


def test_turns_of_an_accounts_state_are_kept(world: World) -> None:
    """A5: what happened when, not only how it is now."""
    one = world.accounts.add(account("ann"))
    down = AccountStatus(state=AccountState.DNS, failures=1, last_error="no address")
    well = AccountStatus(state=AccountState.OK, last_error="no address")
    for status in (well, well, down, replace(down, failures=2), well):
        released(world, one.id, status)

    told = world.accounts.turns(one.id)

    assert [(turn.state, turn.error) for turn in told] == [
        (AccountState.OK, None),
        (AccountState.DNS, "no address"),
        (AccountState.OK, None),
    ]
    assert [turn.at for turn in told] == [START + 5 * MINUTE, START + 3 * MINUTE, START + MINUTE]


def test_a_status_of_an_old_login_is_not_recorded(world: World) -> None:
    """A5: the password was corrected during the poll that met the old one."""
    one = world.accounts.add(account("ann"))
    began = world.accounts.status(one.id)
    lease = world.accounts.lease(one.id, until=world.clock() + MINUTE)
    assert lease
    world.accounts.save(replace(one, secret=b"corrected"))

    world.accounts.release(lease, replace(REFUSED, login_version=began.login_version))

    assert world.accounts.status(one.id) == AccountStatus()
    assert world.accounts.turns(one.id) == []
    again = world.accounts.lease(one.id, until=world.clock() + MINUTE)
    assert again  # it was given back all the same
    now = world.accounts.status(one.id)
    world.accounts.release(again, replace(REFUSED, login_version=now.login_version))
    assert world.accounts.status(one.id) == REFUSED


def test_folders_that_had_their_turn_are_remembered_while_the_lease_holds(world: World) -> None:
    one = world.accounts.add(account("ann"))
    lease = world.accounts.lease(one.id, until=world.clock() + MINUTE)
    assert lease
    for name in ("INBOX", "Other"):
        begun = FolderCursor(account_id=one.id, folder=name, uidvalidity=1, last_uid=0, begun_at=START)
        world.accounts.save_cursor(lease, begun)

    world.accounts.note_visits(lease, ["INBOX", "Never begun"])
    world.clock.forward(2 * MINUTE)
    world.accounts.note_visits(lease, ["Other"])

    visited = {name: cursor.visited_at for name, cursor in world.accounts.cursors(one.id).items()}
    assert visited == {"INBOX": START, "Other": None}


def test_a_cursor_remembers_where_a_session_ended(world: World) -> None:
    one = world.accounts.add(account("ann"))
    lease = world.accounts.lease(one.id, until=world.clock() + MINUTE)
    assert lease
    place = FolderCursor(
        account_id=one.id,
        folder="INBOX",
        uidvalidity=2**32 - 1,
        last_uid=5,
        begun_at=START,
        careful_low=6,
        careful_high=2**32 - 1,
        died_uid=6,
        deaths=2,
    )

    world.accounts.save_cursor(lease, place)

    assert world.accounts.cursors(one.id) == {"INBOX": place}


def test_a_poll_that_lost_its_lease_turns_nothing(world: World) -> None:
    one = world.accounts.add(account("ann"))
    lease = world.accounts.lease(one.id, until=world.clock() + MINUTE)
    assert lease
    world.clock.forward(2 * MINUTE)

    world.accounts.release(lease, AccountStatus(state=AccountState.OK))

    assert world.accounts.turns(one.id) == []


def test_only_the_last_turns_are_kept(world: World) -> None:
    one = world.accounts.add(account("ann"))
    for number in range(KEPT_TURNS + 3):
        released(world, one.id, AccountStatus(state=AccountState.OK if number % 2 else AccountState.QUOTA))

    assert len(world.accounts.turns(one.id, limit=1000)) == KEPT_TURNS


# Another mailbox under the same name.


def test_another_mailbox_has_its_own_row_and_key(world: World) -> None:
    """P24: its UIDs are not those of the former one, however equal they are."""
    world.record([seen(1)])
    world.clock.forward(MINUTE)

    other = world.accounts.replace(replace(world.account, user="eve@example.com"))

    assert (other.name, other.user, other.secret) == ("sales", "eve@example.com", world.account.secret)
    assert other.id != world.account.id
    assert other.key != world.account.key
    assert other.start_at == START + MINUTE
    assert world.accounts.cursors(other.id) == {}
    assert world.accounts.get("sales") == other
    assert [kept.account for kept in world.ledger.search(MessageFilter())] == ["sales"]
    with pytest.raises(NotFoundError):
        world.accounts.get(world.account.id)


def test_going_back_to_the_former_mailbox_knows_its_mail(world: World) -> None:
    world.record([seen(1)])
    other = world.accounts.replace(replace(world.account, user="eve@example.com"))

    back = world.accounts.replace(replace(other, user=world.account.user))

    assert (back.id, back.key) == (world.account.id, world.account.key)


def test_another_mailbox_where_this_one_once_was_gets_a_key_of_its_own(world: World) -> None:
    """The mailbox moved to a new host and kept its key; now the name goes to one on the old host."""
    moved = world.accounts.save(replace(world.account, host="new.example.com"))

    other = world.accounts.replace(replace(moved, host=world.account.host))

    assert other.id != moved.id
    assert other.key != moved.key


def test_a_lease_knows_whether_the_last_one_of_its_kind_was_given_back(world: World) -> None:
    """C: a worker that died in a poll left it open; background work says nothing of polls."""
    one = world.accounts.add(account("ann"))

    def lease(*, background: bool = False) -> PollLease:
        taken = world.accounts.lease(one.id, until=world.clock() + MINUTE, background=background)
        assert taken
        return taken

    first = lease()
    world.clock.forward(2 * MINUTE)  # its process has died
    backfill = lease(background=True)
    world.accounts.release(backfill)
    second = lease()
    world.accounts.release(second)
    third = lease()

    crashes = [one.follows_crash for one in (first, backfill, second, third)]
    assert crashes == [False, False, True, False]
