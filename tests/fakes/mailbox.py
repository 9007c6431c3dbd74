"""Mail servers in memory: users, folders, messages with UIDs and flags, and knobs that make them fail."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from concord.errors import (
    FolderRenumberedError,
    MailboxDeniedError,
    MailboxDownError,
    MailboxError,
    MailboxFolderError,
    MailboxThrottledError,
    MessageUnreadableError,
    MoveUnfinishedError,
    PollBudgetError,
)
from concord.model.account import Account, folder_name
from concord.model.message import FetchedMail
from concord.ports import CheckStep, Clock, FolderStatus, MailFacts, MailFolder, Unreadable


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(kw_only=True)
class MemoryMessage:
    raw: bytes
    flags: set[str]
    internal_date: datetime | None


@dataclass(kw_only=True)
class MemoryFolder:
    uidvalidity: int = 1
    uidnext: int = 1
    modseq: int = 1
    messages: dict[int, MemoryMessage] = field(default_factory=dict)
    uses: frozenset[str] = frozenset()  # as `\\junk`

    def add(self, message: MemoryMessage) -> int:
        """File a message under the next UID."""
        uid, self.uidnext = self.uidnext, self.uidnext + 1
        self.messages[uid] = message
        self.modseq += 1
        return uid

    @property
    def status(self) -> FolderStatus:
        return FolderStatus(
            uidvalidity=self.uidvalidity, uidnext=self.uidnext, messages=len(self.messages), modseq=self.modseq
        )


@dataclass(kw_only=True)
class MemoryMailbox:
    """One user's folders, and what is wrong with the server when this user asks."""

    folders: dict[str, MemoryFolder] = field(default_factory=lambda: {"INBOX": MemoryFolder()})
    down: bool = False
    denied: bool = False
    throttled: float | None = None  # seconds to stay away
    unreadable: set[int] = field(default_factory=set)  # UIDs that are listed and not handed over
    search: Callable[[list[int]], list[int]] | None = None  # what SEARCH makes of the true answer
    lists_statuses: bool = False  # LIST-STATUS (RFC 5819)
    before_fetch: Callable[[int], None] | None = None  # told each UID: raise, advance a clock, deliver more
    sizes: dict[int, int] = field(default_factory=dict)  # UIDs whose size the server announces wrongly
    has_move: bool = True  # MOVE; else COPY and delete
    has_uidplus: bool = True  # UID EXPUNGE; else \\Deleted is set and stays
    before_status: Callable[[str], None] | None = None  # told the folder: raise, change it
    before_select: Callable[[str, bool], None] | None = None  # told the folder, and whether it shall be written to
    before_change: Callable[[str, Sequence[int]], None] | None = None  # told the verb and its UIDs: raise to refuse
    changes: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)  # what was carried out: verb and UIDs
    opened: int = 0

    def refuse(self, account: Account) -> None:
        """Raise what the knobs say."""
        facts: dict[str, Any] = {"host": account.host, "port": account.port, "account": account.name}
        if self.down:
            raise MailboxDownError("timeout", **facts)
        if self.throttled is not None:
            raise MailboxThrottledError(retry_after=self.throttled, **facts)
        if self.denied:
            raise MailboxDeniedError("login", **facts)


class MemoryMailboxes:
    """Keeps `ports.MailSources`. Users are found by `account.user`."""

    def __init__(self, clock: Clock = _now, *, in_memory: int = 256 * 1024) -> None:
        self.mailboxes: dict[str, MemoryMailbox] = {}
        self.closed = False
        self._clock = clock
        self._in_memory = in_memory  # octets; bigger mails come as files

    # The tests' side; a real server in the tests has the same.

    def add_user(self, name: str, password: str = "sesame") -> str:  # noqa: S107 - a test's password
        del password  # there is no login to check: `denied` refuses
        self.mailboxes[name] = MemoryMailbox()
        return name

    def deliver(
        self,
        user: str,
        raw: bytes,
        folder: str = "INBOX",
        *,
        flags: Sequence[str] = (),
        internal_date: datetime | None = None,
    ) -> int:
        """Put one mail into a folder, made if missing; its UID."""
        into = self.mailboxes[user].folders.setdefault(folder, MemoryFolder())
        return into.add(MemoryMessage(raw=raw, flags=set(flags), internal_date=internal_date or self._clock()))

    def append_many(
        self, user: str, mails: Sequence[bytes], folder: str = "INBOX", *, flags: Sequence[str] = ()
    ) -> list[int]:
        return [self.deliver(user, raw, folder, flags=flags) for raw in mails]

    def create_folder(self, user: str, folder: str, *, uses: Sequence[str] = ()) -> None:
        self.mailboxes[user].folders[folder] = MemoryFolder(uses=frozenset(uses))

    def rename_folder(self, user: str, folder: str, name: str) -> None:
        """As RENAME: the mails keep their UIDs."""
        folders = self.mailboxes[user].folders
        folders[name] = folders.pop(folder)

    def refile(self, user: str, uid: int, folder: str, into: str) -> int:
        """Somebody moves a mail: INTERNALDATE and flags go with it."""
        folders = self.mailboxes[user].folders
        return folders.setdefault(into, MemoryFolder()).add(folders[folder].messages.pop(uid))

    def flags(self, user: str, folder: str = "INBOX") -> dict[int, tuple[str, ...]]:
        messages = self.mailboxes[user].folders[folder].messages
        return {uid: tuple(sorted(message.flags)) for uid, message in sorted(messages.items())}

    def expunge(self, user: str, uids: Sequence[int], folder: str = "INBOX") -> None:
        """Somebody else removes mails."""
        for uid in uids:
            del self.mailboxes[user].folders[folder].messages[uid]

    def reset_uidvalidity(self, user: str, folder: str = "INBOX") -> None:
        """The folder gets a new UIDVALIDITY, and its messages new UIDs from 1."""
        old = self.mailboxes[user].folders[folder]
        fresh = MemoryFolder(uidvalidity=old.uidvalidity + 1)
        for _, message in sorted(old.messages.items()):
            fresh.add(message)
        self.mailboxes[user].folders[folder] = fresh

    # The port.

    @contextmanager
    def open(self, account: Account, *, deadline: datetime) -> Iterator[MemorySession]:
        mailbox = self.mailboxes[account.user]
        mailbox.refuse(account)
        mailbox.opened += 1
        session = MemorySession(account, mailbox, clock=self._clock, deadline=deadline, in_memory=self._in_memory)
        yield session

    def test(self, account: Account) -> Iterator[CheckStep]:
        mailbox = self.mailboxes.get(account.user, MemoryMailbox(denied=True))
        down, denied = mailbox.down, mailbox.denied
        yield CheckStep(name="tcp", ok=not down, detail=f"{account.host}:{account.port}", cause="down" if down else "")
        if not down:
            yield CheckStep(name="login", ok=not denied, detail=account.user, cause="denied" if denied else "")

    def close(self) -> None:
        self.closed = True


class MemorySession:
    """Keeps `ports.MailSource`."""

    def __init__(
        self, account: Account, mailbox: MemoryMailbox, *, clock: Clock, deadline: datetime, in_memory: int
    ) -> None:
        self._account = account
        self._mailbox = mailbox
        self._clock = clock
        self._deadline = deadline
        self._in_memory = in_memory
        self._selected: str | None = None
        self._uidvalidity: int | None = None  # as compared in the present selection

    def folders(self) -> list[MailFolder]:
        self._ready()
        found = {folder_name(name): folder.uses for name, folder in self._mailbox.folders.items()}
        return [MailFolder(name=name, uses=uses) for name, uses in found.items()]

    def status(self, folder: str) -> FolderStatus:
        self._ready()
        if self._mailbox.before_status:
            self._mailbox.before_status(folder)
        return self._folder(folder).status

    def statuses(self, folders: Sequence[str]) -> dict[str, FolderStatus]:
        self._ready()
        if not self._mailbox.lists_statuses:
            return {}
        return {name: self._folder(name).status for name in folders if name in self._mailbox.folders}

    def select(self, folder: str, *, uidvalidity: int | None = None, writable: bool = False) -> FolderStatus:
        self._ready()
        if self._mailbox.before_select:
            self._mailbox.before_select(folder, writable)
        self._selected = self._uidvalidity = None
        status = self._folder(folder).status
        self._selected, self._uidvalidity = folder, uidvalidity
        if uidvalidity is not None:
            self._compare()
        return status

    def uids(self, low: int, high: int | None = None) -> list[int]:
        return [uid for uid in self._searched(list(self._messages)) if low <= uid and (high is None or uid <= high)]

    def fetched_uids(self, low: int, high: int | None = None) -> list[int]:
        self._ready()
        self._compare()
        return sorted(uid for uid in self._messages if low <= uid and (high is None or uid <= high))

    def internal_dates(self, uids: Sequence[int]) -> dict[int, datetime | None]:
        self._ready()
        self._compare()
        return {uid: self._messages[uid].internal_date for uid in uids if uid in self._messages}

    def uids_since(self, day: date) -> list[int]:
        dates = {uid: message.internal_date for uid, message in self._messages.items()}
        return self._searched([uid for uid, at in dates.items() if at and at.date() >= day])

    def _searched(self, uids: list[int]) -> list[int]:
        self._ready()
        return sorted(uids if self._mailbox.search is None else self._mailbox.search(uids))

    def fetch(self, uids: Sequence[int], *, max_size: int) -> Iterator[FetchedMail | Unreadable]:
        for uid in uids:
            self._ready()
            self._compare()
            if self._mailbox.before_fetch:
                self._mailbox.before_fetch(uid)
                self._ready()
                self._compare()
            message = self._messages.get(uid)
            if message is None:
                continue
            if uid in self._mailbox.unreadable:
                error = MessageUnreadableError("withheld", uid=uid)
                yield Unreadable(uid=uid, size=len(message.raw), error=error)
            elif len(message.raw) > max_size:
                too_big = MessageUnreadableError("too_large", uid=uid, size=len(message.raw))
                yield Unreadable(uid=uid, size=len(message.raw), error=too_big, oversized=True)
            else:
                yield from self._handed_over(uid, message)

    def describe(self, uids: Sequence[int]) -> dict[int, MailFacts]:
        self._ready()
        self._compare()
        return {
            uid: MailFacts(
                size=self._mailbox.sizes.get(uid, len(self._messages[uid].raw)),
                is_deleted="\\Deleted" in self._messages[uid].flags,
            )
            for uid in uids
            if uid in self._messages
        }

    def mark(self, uids: Sequence[int], flag: str) -> None:
        self._begin("STORE", uids)
        for uid in uids:
            if uid in self._messages:
                self._messages[uid].flags.add(flag)
                self._current.modseq += 1

    def move(self, uids: Sequence[int], folder: str) -> None:
        if not self._mailbox.has_move:
            self._begin("COPY", uids)
            self._copy(uids, folder)
            try:
                self.delete(uids)
            except MailboxError as error:
                raise MoveUnfinishedError(uids=tuple(uids)) from error
            return
        self._begin("MOVE", uids)
        self._copy(uids, folder)
        for uid in uids:
            self._messages.pop(uid, None)

    def _copy(self, uids: Sequence[int], folder: str) -> None:
        into = self._mailbox.folders.setdefault(folder, MemoryFolder())
        for uid in uids:
            if uid in self._messages:
                into.add(self._messages[uid])
                self._current.modseq += 1

    def delete(self, uids: Sequence[int]) -> None:
        self._begin("DELETE", uids)
        for uid in uids:
            if uid in self._messages and not self._mailbox.has_uidplus:
                self._messages[uid].flags.add("\\Deleted")
            else:
                self._messages.pop(uid, None)
            self._current.modseq += 1

    def _begin(self, verb: str, uids: Sequence[int]) -> None:
        self._ready()
        self._compare()
        if self._mailbox.before_change:
            self._mailbox.before_change(verb, uids)
            self._compare()
        self._mailbox.changes.append((verb, tuple(uids)))

    def _handed_over(self, uid: int, message: MemoryMessage) -> Iterator[FetchedMail]:
        with tempfile.TemporaryDirectory() as place:
            content: bytes | Path = message.raw
            if len(message.raw) > self._in_memory:
                content = Path(place) / "mail"
                content.write_bytes(message.raw)
            yield FetchedMail(
                uid=uid,
                size=len(message.raw),
                sha256=hashlib.sha256(message.raw).hexdigest(),
                internal_date=message.internal_date,
                flags=tuple(sorted(message.flags)),
                content=content,
            )

    def _ready(self) -> None:
        if self._clock() >= self._deadline:
            raise PollBudgetError(account=self._account.name)
        self._mailbox.refuse(self._account)

    def _compare(self) -> None:
        """Refuse UIDs of another UIDVALIDITY, and those of none."""
        if self._uidvalidity is None:
            raise RuntimeError("select with the UIDVALIDITY that the UIDs belong to")
        if self._current.uidvalidity != self._uidvalidity:
            was, self._uidvalidity = self._uidvalidity, None
            raise FolderRenumberedError(folder=self._selected, was=was)

    def _folder(self, name: str) -> MemoryFolder:
        """INBOX in any spelling, like a real server."""
        for known, folder in self._mailbox.folders.items():
            if folder_name(known) == folder_name(name):
                return folder
        raise MailboxFolderError("absent", account=self._account.name, folder=name)

    @property
    def _current(self) -> MemoryFolder:
        assert self._selected is not None, "select a folder first"
        return self._folder(self._selected)

    @property
    def _messages(self) -> dict[int, MemoryMessage]:
        return self._current.messages
