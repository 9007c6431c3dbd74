"""Polls of real servers, and of one that misbehaves, that have a mail which cannot be had: it costs no other mail."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from concord.model.account import Account, AccountState, AfterAction, AfterKind, StartKind, StartPoint
from concord.model.message import AfterState, MessageState
from concord.pipeline.folder import FolderVisit
from concord.pipeline.poll import PollOutcome, PollReport
from tests.factories import mail
from tests.fakes.world import World
from tests.servers.dovecot import Dovecot
from tests.servers.hostile_imap import Answer, HostileImap, Talk
from tests.servers.imap_accounts import Polls, account_at, account_on, now

EVERYTHING = StartPoint(kind=StartKind.ALL)


class Polled:
    """One account on a server, polled by a pipeline whose clock follows the real one, or runs ahead of it."""

    def __init__(self, polls: Polls, account: Account, **changes: Any) -> None:
        self.world = World()
        self.world.time = now()
        self.world.poll_settings = self.world.poll_settings.model_copy(update={"budget": 20})
        self.polls = polls
        self.account = self.world.accounts.add(replace(account, id=0, **{"start": EVERYTHING, **changes}))

    def poll(self) -> PollReport:
        """A poll, and the slice of backfill that it queues."""
        self.world.time = max(self.world.time, now())
        report = replace(self.world.poller, sources=self.polls.sources).poll(self.account.id)
        if report.backfill:
            replace(self.world.backfiller, sources=self.polls.sources).backfill(self.account.id)
        self.world.wait(minutes=1)
        return report

    def poll_often(self, times: int) -> None:
        for _ in range(times):
            self.poll()

    def uids(self, state: MessageState) -> list[int]:
        return sorted(message.uid for message in self.world.messages(state))

    @property
    def state(self) -> AccountState:
        return self.world.accounts.status(self.account.id).state


@pytest.fixture
def quick() -> Iterator[Polls]:
    """Sources that wait a second for an answer."""
    made = Polls(connect_timeout=2, timeout=1)
    yield made
    made.sources.close()


# What a stock Dovecot cannot hand over.


@pytest.fixture(scope="module")
def zlib_dovecot() -> Iterator[Dovecot]:
    """A server that keeps some mails compressed."""
    with Dovecot(extra="mail_plugins = zlib\n") as server:
        yield server


def file_of(inbox: Path, uid: int) -> Path:
    """The file of one mail."""
    lines = (inbox / "dovecot-uidlist").read_text(encoding="utf-8").splitlines()
    [name] = [line.partition(":")[2] for line in lines if line.startswith(f"{uid} ")]
    [file] = [*inbox.glob(f"cur/{name}*"), *inbox.glob(f"new/{name}*")]
    return file


def make_unreadable(file: Path) -> None:
    file.chmod(0)


def announce_too_much(file: Path) -> None:
    rename(file, re.sub(r",S=\d+", ",S=99999", file.name))


def announce_too_little(file: Path) -> None:
    rename(file, re.sub(r",S=\d+", ",S=10", file.name))


def rename(file: Path, name: str) -> None:
    """Under the same UID."""
    assert name != file.name
    known = file.parents[1] / "dovecot-uidlist"
    text = known.read_text(encoding="utf-8")
    before, after = file.name.partition(":")[0], name.partition(":")[0]
    assert before in text
    known.write_text(text.replace(before, after), encoding="utf-8")
    file.rename(file.with_name(name))


def damage_gzip(file: Path) -> None:
    octets = bytearray(gzip.compress(file.read_bytes() * 20))
    octets[len(octets) // 2 :] = b"\x00" * (len(octets) // 2)
    file.write_bytes(bytes(octets))


@pytest.mark.parametrize("spoil", [make_unreadable, announce_too_much, announce_too_little, damage_gzip])
def test_a_mail_that_dovecot_cannot_hand_over_costs_no_other(
    zlib_dovecot: Dovecot, polls: Polls, spoil: Callable[[Path], None]
) -> None:
    """C: after ten polls 5 of 33 mails were archived, and the state was 'unreachable: check the host'."""
    user = zlib_dovecot.add_user(f"spoiled-{spoil.__name__}".replace("_", "-"))
    uids = zlib_dovecot.append_many(user, [mail(f"Mail {number}", body="text " * 200) for number in range(33)])
    zlib_dovecot.kick(user)
    inbox = zlib_dovecot.folder / "mail" / user / "inbox"
    spoil(file_of(inbox, uids[5]))
    for cache in inbox.glob("dovecot.index.cache*"):
        cache.unlink()
    polled = Polled(polls, account_on(zlib_dovecot, user))

    polled.poll_often(10)

    assert set(polled.uids(MessageState.ARCHIVED)) >= set(uids) - {uids[5]}
    left = set(uids) - set(polled.uids(MessageState.ARCHIVED))
    assert left == set(polled.uids(MessageState.UNFETCHED)) | set(polled.uids(MessageState.QUARANTINED))
    assert polled.state is AccountState.OK


# What a server may do.


def cut(talk: Talk) -> None:
    talk.cut()


def say_goodbye(talk: Talk) -> None:
    talk.say(b"* BYE internal error")
    talk.cut()


def talk_rubbish(talk: Talk) -> None:
    talk.say(b"\x00\xff\xfe this is no IMAP", b"* 1 FETCH (((((")


@pytest.mark.parametrize("act", [cut, Talk.hang, say_goodbye, talk_rubbish])
def test_a_mail_that_ends_the_session_costs_no_other(quick: Polls, act: Answer) -> None:
    """C: whatever the server does when it is asked for this one."""

    async def fetch(talk: Talk) -> None:
        if b"BODY" in talk.words and 6 in talk.server.wanted(talk):
            if waiting := act(talk):
                await waiting
        else:
            talk.server.tell_mails(talk)

    with HostileImap({uid: mail(f"Mail {uid}") for uid in range(1, 34)}, FETCH=fetch) as server:
        polled = Polled(quick, account_at(server.port))
        polled.poll_often(8)

        assert polled.uids(MessageState.ARCHIVED) == [uid for uid in range(1, 34) if uid != 6]
        assert polled.uids(MessageState.UNFETCHED) == [6]
        assert polled.state is AccountState.OK
        quick.sources.close()


# After-actions on a real server.


def test_a_folder_recreated_in_the_middle_of_a_poll_keeps_its_new_mail(
    own_dovecot: Dovecot, polls: Polls, monkeypatch: pytest.MonkeyPatch
) -> None:
    """E: the same UID is another mail now, which was never fetched."""
    user = own_dovecot.add_user("recreated")
    own_dovecot.deliver(user, mail("Processed"), folder="Work")
    delete = AfterAction(kind=AfterKind.DELETE)
    polled = Polled(polls, account_on(own_dovecot, user), after=delete, folders=("Work",))
    polled.poll()
    polled.world.process()
    carry_out = FolderVisit.after_actions

    def recreate(visit: FolderVisit) -> None:
        client = own_dovecot._deliverer(user)
        client.delete_folder("Work")
        own_dovecot.deliver(user, mail("Never fetched"), folder="Work")
        carry_out(visit)

    monkeypatch.setattr(FolderVisit, "after_actions", recreate)
    polled.poll()
    monkeypatch.undo()

    assert own_dovecot.flags(user, "Work") == {1: ()}
    polled.poll()
    assert polled.world.subjects() == ["Processed", "Never fetched"]


@pytest.mark.parametrize("kind", [AfterKind.DELETE, AfterKind.MOVE])
def test_only_the_archived_mail_is_moved_or_deleted(
    dovecot: Dovecot, mailbox_user: str, polls: Polls, kind: AfterKind
) -> None:
    """E, P12: one of the two is not in the archive."""
    uids = dovecot.append_many(mailbox_user, [mail("Archived"), mail("Lost")])
    after = AfterAction(kind=kind, folder="Done" if kind is AfterKind.MOVE else None)
    polled = Polled(polls, account_on(dovecot, mailbox_user), after=after)
    polled.poll()
    polled.world.process()
    [lost] = [message for message in polled.world.messages() if message.subject == "Lost"]
    polled.world.archive.delete(lost.archive_key or "")

    report = polled.poll()

    assert report.outcome is PollOutcome.DONE
    assert len(dovecot.flags(mailbox_user)) == 1
    assert {message.subject: message.after for message in polled.world.messages()} == {
        "Archived": AfterState.DONE,
        "Lost": AfterState.PENDING,
    }
    assert len(uids) == 2
