"""What every mailbox promises: the same rules for the one in memory and for Dovecot over each kind of connection."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Protocol

import pytest

from concord.errors import FolderRenumberedError, MailboxFolderError, PollBudgetError
from concord.model.account import Account, Tls
from concord.model.message import FetchedMail
from concord.ports import MailFacts, MailSource, MailSources, Unreadable
from tests.fakes.mailbox import MemoryMailboxes
from tests.servers.dovecot import Dovecot
from tests.servers.imap_accounts import Polls, account_on, open_folder

MAX = 50 * 1024 * 1024
HELLO = b"Subject: hello\r\nFrom: a@example.com\r\n\r\nHello, world.\r\n"
_users = itertools.count(1)


class Server(Protocol):
    """The test's side of a mail server."""

    def add_user(self, name: str, password: str = ...) -> str: ...
    def deliver(self, user: str, raw: bytes, folder: str = ..., *, flags: Sequence[str] = ...) -> int: ...
    def append_many(self, user: str, mails: Sequence[bytes], folder: str = ...) -> list[int]: ...
    def create_folder(self, user: str, folder: str, *, uses: Sequence[str] = ...) -> None: ...
    def flags(self, user: str, folder: str = ...) -> dict[int, tuple[str, ...]]: ...
    def reset_uidvalidity(self, user: str, folder: str = ...) -> None: ...


@dataclass(kw_only=True)
class Mailbox:
    """One user's mailbox, from both sides."""

    server: Server
    sources: MailSources
    account: Account

    @property
    def user(self) -> str:
        return self.account.user

    def open(self, seconds: float = 60) -> AbstractContextManager[MailSource]:
        return self.sources.open(self.account, deadline=datetime.now(UTC) + timedelta(seconds=seconds))

    def put(self, *mails: bytes, folder: str = "INBOX") -> list[int]:
        return self.server.append_many(self.user, mails, folder)


@pytest.fixture(params=["memory", Tls.IMPLICIT, Tls.STARTTLS, Tls.NONE])
def mailbox(request: pytest.FixtureRequest) -> Iterator[Mailbox]:
    name = f"contract{next(_users)}"
    if request.param == "memory":
        memory = MemoryMailboxes()
        account = Account(id=1, name=name, host="memory.example", user=memory.add_user(name))
        memory.mailboxes[name].lists_statuses = True
        yield Mailbox(server=memory, sources=memory, account=account)
        return
    dovecot: Dovecot = request.getfixturevalue("dovecot")
    polls: Polls = request.getfixturevalue("polls")
    account = account_on(dovecot, dovecot.add_user(name), request.param)
    yield Mailbox(server=dovecot, sources=polls.sources, account=account)


def read(item: FetchedMail | Unreadable) -> bytes:
    assert isinstance(item, FetchedMail), item
    return item.content.read_bytes() if isinstance(item.content, Path) else item.content


def test_a_mail_arrives_with_its_very_octets(mailbox: Mailbox) -> None:
    """P4."""
    [uid] = mailbox.put(HELLO)

    with mailbox.open() as source:
        open_folder(source)
        [mail] = source.fetch([uid], max_size=MAX)

    assert read(mail) == HELLO
    assert isinstance(mail, FetchedMail)
    assert (mail.uid, mail.size, mail.sha256) == (uid, len(HELLO), hashlib.sha256(HELLO).hexdigest())
    assert mail.internal_date is not None
    assert abs(datetime.now(UTC) - mail.internal_date) < timedelta(minutes=1)


def test_reading_leaves_mails_unseen(mailbox: Mailbox) -> None:
    r"""P3, P4: \Seen stays as it is."""
    uids = mailbox.put(HELLO, HELLO)

    with mailbox.open() as source:
        open_folder(source, writable=True)
        assert len(list(source.fetch(uids, max_size=MAX))) == 2

    assert mailbox.server.flags(mailbox.user) == {uids[0]: (), uids[1]: ()}


def test_flags_come_with_the_mail(mailbox: Mailbox) -> None:
    uid = mailbox.server.deliver(mailbox.user, HELLO, flags=("\\Seen", "\\Flagged"))

    with mailbox.open() as source:
        open_folder(source)
        [mail] = source.fetch([uid], max_size=MAX)

    assert isinstance(mail, FetchedMail)
    assert set(mail.flags) == {"\\Seen", "\\Flagged"}


def test_uids_beyond_the_last_are_none(mailbox: Mailbox) -> None:
    """P3, trap 11: `n:*` names the last mail even where n is greater."""
    uids = mailbox.put(HELLO, HELLO, HELLO)

    with mailbox.open() as source:
        source.select("INBOX")
        assert source.uids(uids[-1] + 1) == []
        assert source.uids(uids[1]) == uids[1:]
        assert source.uids(1, uids[1]) == uids[:2]
        assert source.uids(uids[1], uids[1]) == [uids[1]]


def test_fetch_names_the_same_uids_as_search(mailbox: Mailbox) -> None:
    uids = mailbox.put(HELLO, HELLO, HELLO, HELLO)
    with mailbox.open() as source:
        open_folder(source, writable=True)
        source.delete([uids[1]])

        assert source.fetched_uids(1) == source.uids(1) == [uids[0], *uids[2:]]
        assert source.fetched_uids(uids[2], uids[2]) == [uids[2]]
        assert source.fetched_uids(uids[1], uids[1]) == []
        assert source.fetched_uids(uids[-1] + 1) == []


def test_internal_dates_are_those_of_the_mails(mailbox: Mailbox) -> None:
    """P13."""
    uids = mailbox.put(HELLO, HELLO)
    with mailbox.open() as source:
        open_folder(source)
        dates = source.internal_dates([*uids, uids[-1] + 1])
        mails = [mail for mail in source.fetch(uids, max_size=MAX) if isinstance(mail, FetchedMail)]

    assert dates == {mail.uid: mail.internal_date for mail in mails}
    assert all(date and date.utcoffset() is not None for date in dates.values())


def test_special_uses_are_listed(mailbox: Mailbox) -> None:
    """P14, RFC 6154."""
    mailbox.server.create_folder(mailbox.user, "Junk", uses=("\\junk",))
    mailbox.server.create_folder(mailbox.user, "Junk mail")

    with mailbox.open() as source:
        uses = {folder.name: folder.uses for folder in source.folders()}

    assert "\\junk" in uses["Junk"]
    assert "\\junk" not in uses["Junk mail"]


def test_an_empty_folder_has_no_uids(mailbox: Mailbox) -> None:
    with mailbox.open() as source:
        status = open_folder(source)
        assert source.uids(1) == []
        assert source.fetched_uids(1) == []
        assert source.uids_since(date(2020, 1, 1)) == []

    assert status.messages == 0


def test_mails_since_a_day_are_found(mailbox: Mailbox) -> None:
    """P13."""
    uids = mailbox.put(HELLO, HELLO)

    with mailbox.open() as source:
        source.select("INBOX")
        assert source.uids_since(datetime.now(UTC).date() - timedelta(days=1)) == uids
        assert source.uids_since(datetime.now(UTC).date() + timedelta(days=2)) == []


def test_vanished_uids_are_left_out(mailbox: Mailbox) -> None:
    first, second, third = mailbox.put(HELLO, HELLO, HELLO)
    with mailbox.open() as source:
        open_folder(source, writable=True)
        source.delete([second])

    with mailbox.open() as source:
        open_folder(source)
        items = list(source.fetch([first, second, third, third + 7], max_size=MAX))

    assert [item.uid for item in items] == [first, third]


def test_mails_come_in_the_order_asked_for(mailbox: Mailbox) -> None:
    uids = mailbox.put(*(b"Subject: %d\r\n\r\n%d\r\n" % (number, number) for number in range(120)))
    wanted = uids[::-2]

    with mailbox.open() as source:
        open_folder(source)
        items = list(source.fetch(wanted, max_size=MAX))

    assert [item.uid for item in items] == wanted
    assert read(items[0]) == b"Subject: 119\r\n\r\n119\r\n"


def test_a_big_mail_comes_as_a_file(mailbox: Mailbox) -> None:
    """P17."""
    big = b"Subject: big\r\n\r\n" + b"".join(b"%074d\r\n" % number for number in range(20_000))
    [uid] = mailbox.put(big)
    paths = []

    with mailbox.open() as source:
        open_folder(source)
        for item in source.fetch([uid], max_size=MAX):
            assert isinstance(item, FetchedMail)
            assert isinstance(item.content, Path)
            assert item.content.read_bytes() == big
            assert item.sha256 == hashlib.sha256(big).hexdigest()
            paths.append(item.content)

    assert len(paths) == 1
    assert not paths[0].exists()


def test_an_oversized_mail_is_told_not_fetched(mailbox: Mailbox) -> None:
    """P17."""
    small, big = mailbox.put(HELLO, b"Subject: big\r\n\r\n" + b"x" * 76 + b"\r\n" * 600_000)

    with mailbox.open() as source:
        open_folder(source)
        first, second = source.fetch([small, big], max_size=1_000_000)

    assert isinstance(first, FetchedMail)
    assert isinstance(second, Unreadable)
    assert second.oversized
    assert second.size == 16 + 76 + 1_200_000


def test_marking_adds_a_flag(mailbox: Mailbox) -> None:
    """P12."""
    uids = mailbox.put(HELLO, HELLO)

    with mailbox.open() as source:
        open_folder(source, writable=True)
        source.mark(uids[:1], "\\Seen")
        source.mark(uids[:1], "\\Flagged")

    assert mailbox.server.flags(mailbox.user) == {uids[0]: ("\\Flagged", "\\Seen"), uids[1]: ()}


def test_moving_makes_the_missing_folder(mailbox: Mailbox) -> None:
    """P12, P14."""
    uids = mailbox.put(HELLO, HELLO)

    with mailbox.open() as source:
        open_folder(source, writable=True)
        source.move(uids[:1], "Erledigt/Entwürfe")
        source.move(uids[1:], "Erledigt/Entwürfe")

    assert mailbox.server.flags(mailbox.user) == {}
    assert len(mailbox.server.flags(mailbox.user, "Erledigt/Entwürfe")) == 2


def test_deleting_spares_what_others_marked(mailbox: Mailbox) -> None:
    r"""P12: a plain EXPUNGE would remove every \Deleted mail."""
    theirs = mailbox.server.deliver(mailbox.user, HELLO, flags=("\\Deleted",))
    ours = mailbox.server.deliver(mailbox.user, HELLO)

    with mailbox.open() as source:
        open_folder(source, writable=True)
        source.delete([ours])

    assert mailbox.server.flags(mailbox.user) == {theirs: ("\\Deleted",)}


@pytest.mark.parametrize("folder", ["Archive", "收件", "Entwürfe", "R&D", 'quo"ted', "2024", "007", "two words"])
def test_any_folder_name_can_be_used(mailbox: Mailbox, folder: str) -> None:
    """P14."""
    [uid] = mailbox.put(HELLO, folder=folder)

    with mailbox.open() as source:
        assert folder in [one.name for one in source.folders()]
        assert source.status(folder).messages == 1
        open_folder(source, folder)
        [mail] = source.fetch([uid], max_size=MAX)

    assert read(mail) == HELLO


def test_a_missing_folder_is_named(mailbox: Mailbox) -> None:
    """A5."""
    with mailbox.open() as source:
        with pytest.raises(MailboxFolderError) as asked:
            source.status("Nirgends")
        with pytest.raises(MailboxFolderError) as opened:
            source.select("Nirgends")
        # The session goes on.
        assert source.select("INBOX").messages == 0

    assert asked.value.facts["folder"] == opened.value.facts["folder"] == "Nirgends"


def test_status_and_select_say_the_same(mailbox: Mailbox) -> None:
    """P3: an idle poll compares what STATUS says with what was true after the last reading."""
    mailbox.put(HELLO, HELLO)

    with mailbox.open() as source:
        opened = source.select("INBOX")
        asked = source.status("INBOX")

    assert asked == opened
    assert opened.messages == 2


def test_many_folders_at_once_say_what_each_says(mailbox: Mailbox) -> None:
    """RFC 5819: a poll of many folders asks for all of them in one round trip."""
    mailbox.put(HELLO, HELLO)
    names = ["INBOX", "2024", "Entwürfe", 'quo"ted', "收件", "two words"]
    for name in names[1:]:
        mailbox.server.create_folder(mailbox.user, name)

    with mailbox.open() as source:
        together = source.statuses([*names, "gone"])
        one_by_one = {name: source.status(name) for name in names}

    assert together == one_by_one
    assert together["INBOX"].messages == 2


def test_any_change_shows_in_the_status(mailbox: Mailbox) -> None:
    """P3, CONDSTORE."""
    [uid] = mailbox.put(HELLO)
    with mailbox.open() as source:
        before = source.status("INBOX")
        open_folder(source, writable=True)
        source.mark([uid], "\\Seen")
    with mailbox.open() as source:
        marked = source.status("INBOX")
    mailbox.put(HELLO)
    with mailbox.open() as source:
        grown = source.status("INBOX")

    assert before.modseq is not None
    assert marked.modseq is not None
    assert marked.modseq > before.modseq
    assert grown.messages == 2
    assert grown.uidnext == uid + 2


def test_new_mail_shows_while_its_folder_is_open(mailbox: Mailbox) -> None:
    """P3: STATUS of the selected folder may be stale on a real server."""
    mailbox.put(HELLO)

    with mailbox.open() as source:
        source.select("INBOX")
        mailbox.put(HELLO)
        assert source.status("INBOX").messages == 2


def test_a_renumbered_folder_has_another_uidvalidity(mailbox: Mailbox) -> None:
    """P15."""
    mailbox.put(HELLO, HELLO)
    with mailbox.open() as source:
        before = source.status("INBOX")

    mailbox.server.reset_uidvalidity(mailbox.user)

    with mailbox.open() as source:
        after = source.select("INBOX")
        assert source.uids(1) == [1, 2]
    assert after.uidvalidity != before.uidvalidity


def test_uids_of_another_uidvalidity_are_refused(mailbox: Mailbox) -> None:
    """P15: after a renumbering the same numbers name other messages."""
    [uid] = mailbox.put(HELLO)
    with mailbox.open() as source:
        before = source.status("INBOX").uidvalidity
    mailbox.server.reset_uidvalidity(mailbox.user)

    with mailbox.open() as source:
        with pytest.raises(FolderRenumberedError):
            source.select("INBOX", uidvalidity=before, writable=True)
        with pytest.raises(RuntimeError):
            source.delete([uid])

    assert mailbox.server.flags(mailbox.user) == {1: ()}


@pytest.mark.parametrize("verb", ["fetch", "describe", "mark", "move", "delete"])
def test_messages_are_named_by_compared_uids_only(mailbox: Mailbox, verb: str) -> None:
    """P15: a selection that compared no UIDVALIDITY gives UIDs and takes none; leaving the folder ends a comparison."""
    [uid] = mailbox.put(HELLO)

    with mailbox.open() as source:
        commands: dict[str, Callable[[], object]] = {
            "fetch": lambda: list(source.fetch([uid], max_size=MAX)),
            "describe": lambda: source.describe([uid]),
            "mark": lambda: source.mark([uid], "\\Seen"),
            "move": lambda: source.move([uid], "Archive"),
            "delete": lambda: source.delete([uid]),
        }
        status = source.select("INBOX", writable=True)
        with pytest.raises(RuntimeError):
            commands[verb]()
        source.select("INBOX", uidvalidity=status.uidvalidity, writable=True)
        source.select("INBOX", writable=True)
        with pytest.raises(RuntimeError):
            commands[verb]()

    assert mailbox.server.flags(mailbox.user) == {uid: ()}


def test_messages_are_described_without_their_octets(mailbox: Mailbox) -> None:
    uids = mailbox.put(HELLO, HELLO + b"more\r\n")
    marked = mailbox.server.deliver(mailbox.user, HELLO, flags=("\\Deleted",))

    with mailbox.open() as source:
        open_folder(source)
        found = source.describe([*uids, marked, marked + 7])

    assert found == {
        uids[0]: MailFacts(size=len(HELLO)),
        uids[1]: MailFacts(size=len(HELLO) + 6),
        marked: MailFacts(size=len(HELLO), is_deleted=True),
    }


def test_a_poll_without_time_is_refused(mailbox: Mailbox) -> None:
    """P3: the wall-clock budget."""
    with pytest.raises(PollBudgetError), mailbox.open(seconds=-1) as source:
        source.status("INBOX")
