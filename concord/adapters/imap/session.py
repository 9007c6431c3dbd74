"""One poll's session with one account's server: what `ports.MailSource` promises, said in IMAP."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from typing import Any, Final, TypeVar

import structlog

from concord.adapters.imap import folder_names
from concord.adapters.imap.answers import Answer
from concord.adapters.imap.errors import RAISED, facts_of, is_refusal, lost, refused
from concord.adapters.imap.facts import read_dates
from concord.adapters.imap.fetch import HIGHEST_SIZE, HIGHEST_UID, Answered, Fetcher, read_facts
from concord.adapters.imap.list_status import read_statuses
from concord.adapters.imap.pace import Pace
from concord.adapters.imap.pool import Line
from concord.adapters.imap.spool import Spool
from concord.adapters.imap.uid_set import batches, uid_set
from concord.adapters.imap.watchdog import Guard
from concord.adapters.imap.wire import Client
from concord.errors import (
    FolderRenumberedError,
    MailboxDownError,
    MailboxError,
    MailboxFolderError,
    MailboxProtocolError,
    MailboxServerError,
    MoveUnfinishedError,
    PollBudgetError,
)
from concord.model.account import INBOX, folder_name
from concord.model.message import FetchedMail
from concord.ports import Clock, FolderStatus, MailFacts, MailFolder, Unreadable
from concord.settings import PollSettings

# A store, move or delete names so many UIDs at most: some servers take command lines of 8,000 octets only.
UIDS_PER_COMMAND: Final = 500
# From so many on, one LIST of all folders is cheaper than a STATUS for each.
MANY_FOLDERS: Final = 5
# What a line for each of a million messages takes, the memory for it counted.
EVERY_MAIL_OCTETS: Final = 128 * 1024 * 1024
_DIGITS: Final = len(str(HIGHEST_SIZE))
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

T = TypeVar("T")

log = structlog.get_logger(__name__)


class ImapSession:
    """Keeps `ports.MailSource`. `renew` makes a fresh line in place of a kept one that turns out to be dead."""

    def __init__(  # noqa: PLR0913 - the parts of a session; only ImapSources makes one
        self,
        line: Line,
        *,
        settings: PollSettings,
        clock: Clock,
        deadline: datetime,
        guard: Guard,
        spool: Spool,
        pace: Pace,
        renew: Callable[[], Line] | None = None,
    ) -> None:
        self.line = line
        self.is_broken = False
        self._settings = settings
        self._clock = clock
        self._deadline = deadline
        self._guard = guard
        self._spool = spool
        self.pace = pace
        self._renew = renew
        self._odd_names: dict[str, bytes] = {}
        self._uidvalidity: int | None = None  # as compared in the present selection
        if renew:
            # A kept line may be dead without knowing it, so the wait for its first answer is short.
            line.client.wire.sock.settimeout(settings.connect_timeout)

    # Folders.

    def folders(self) -> list[MailFolder]:
        """All folders that can be selected, their names decoded, INBOX spelled so."""
        uses = dict(self._listed())
        names = {folder_name(name): raw for name, raw in folder_names.readable(uses).items()}
        self._odd_names = {name: raw for name, raw in names.items() if folder_names.encode(name) != raw}
        return [MailFolder(name=name, uses=uses[raw]) for name, raw in names.items()]

    def _listed(self) -> list[tuple[bytes, frozenset[str]]]:
        """LIST. A server may keep special uses to itself unless asked for them (RFC 6154 section 2)."""
        asks = {b"SPECIAL-USE", b"LIST-EXTENDED"} <= set(self.line.capabilities)
        pattern = '"*" RETURN (SPECIAL-USE)' if asks else '"*"'
        try:
            return self._run(lambda client: _listing(client, pattern))
        except (MailboxProtocolError, MailboxServerError):
            if not asks:
                raise
        return self._run(lambda client: _listing(client, '"*"'))

    def status(self, folder: str) -> FolderStatus:
        """STATUS without selecting. Raises MailboxFolderError."""
        self._leave(folder)
        items = self._items
        found = self._run(lambda client: client.folder_status(self._wire_name(folder), items), folder=folder)
        return self._status(found, found.get(b"MESSAGES"), folder)

    def statuses(self, folders: Sequence[str]) -> dict[str, FolderStatus]:
        """STATUS of many folders in one round trip (RFC 5819); what is left out is asked for by `status`."""
        if b"LIST-STATUS" not in self.line.capabilities or len(folders) < MANY_FOLDERS:
            return {}
        self.leave()
        pattern = f'"*" RETURN (STATUS ({" ".join(self._items)}))'
        try:
            data = self._run(lambda client: _listed_statuses(client, pattern))
        except MailboxServerError as error:
            log.warning("folder.list_status_refused", error=error)
            return {}
        names = {_canonical(self._wire_name(name)): name for name in folders}
        found: dict[str, FolderStatus] = {}
        for raw, items in read_statuses(data):
            name = names.get(_canonical(raw))
            if name and _number(items.get(b"UIDVALIDITY")) is not None:
                found[name] = self._status(items, items.get(b"MESSAGES"), name)
        return found

    @property
    def _items(self) -> list[str]:
        """What STATUS is asked for."""
        modseq = ["HIGHESTMODSEQ"] if b"CONDSTORE" in self.line.capabilities else []
        return ["MESSAGES", "UIDNEXT", "UIDVALIDITY", *modseq]

    def select(self, folder: str, *, uidvalidity: int | None = None, writable: bool = False) -> FolderStatus:
        """Open a folder, to look only unless `writable`. Raises MailboxFolderError, FolderRenumberedError."""
        self.line.selected = self._uidvalidity = None
        condstore = b"CONDSTORE" in self.line.capabilities
        found = self._run(
            lambda client: client.open_folder(self._wire_name(folder), readonly=not writable, condstore=condstore),
            folder=folder,
        )
        self.line.selected = folder
        status = self._status(found, found.get(b"EXISTS"), folder)
        self._uidvalidity = uidvalidity
        self._compare({status.uidvalidity})
        return status

    # Messages.

    def uids(self, low: int, high: int | None = None) -> list[int]:
        """Existing UIDs with low <= uid <= high, ascending."""
        top = "*" if high is None else high
        # `n:*` always names the last message, even where n is beyond it (RFC 9051 6.4.9).
        return [uid for uid in self._search(f"UID {low}:{top}") if low <= uid and (high is None or uid <= high)]

    def fetched_uids(self, low: int, high: int | None = None) -> list[int]:
        """Existing UIDs as `UID FETCH low:high (UID)` lists them, ascending."""
        found = self._dates(f"{low}:{'*' if high is None else high}", "(UID)", EVERY_MAIL_OCTETS)
        return sorted(uid for uid in found if low <= uid and (high is None or uid <= high))

    def internal_dates(self, uids: Sequence[int]) -> dict[int, datetime | None]:
        """The INTERNALDATE of each of these that exists, aware; None where it has none."""
        found: dict[int, datetime | None] = {}
        for batch in batches(uids, UIDS_PER_COMMAND):
            dates = self._dates(uid_set(batch), "(UID INTERNALDATE)")
            found |= {uid: dates[uid] for uid in batch if uid in dates}
        return found

    def uids_since(self, day: date) -> list[int]:
        """UIDs whose INTERNALDATE is on or after that day, ascending."""
        return self._search(f"SINCE {day.day}-{_MONTHS[day.month - 1]}-{day.year}")

    def fetch(self, uids: Sequence[int], *, max_size: int) -> Iterator[FetchedMail | Unreadable]:
        """Every UID's mail or why not, in order; UIDs that vanished are left out."""
        fetcher = Fetcher(
            command=self._fetch,
            search=self._search,
            spool=self._spool,
            spool_key=self._spool_key,
            pace=self.pace,
            batch_messages=self._settings.batch_messages,
            chunk=self._settings.chunk_bytes,
            max_size=max_size,
        )
        return fetcher.run(uids)

    def describe(self, uids: Sequence[int]) -> dict[int, MailFacts]:
        """Size and state of each message that is there now; UIDs that vanished are left out."""
        found: dict[int, MailFacts] = {}
        for batch in batches(uids, UIDS_PER_COMMAND):
            answered = self._fetch(uid_set(batch), "(UID FLAGS RFC822.SIZE)", 0)
            if answered.trouble:
                raise answered.trouble
            if answered.kind != "OK":
                said = answered.data[-1] if answered.data else answered.kind
                raise refused(said, facts_of(self.line.account), names_folder=False)
            found |= {uid: facts for uid, facts in read_facts(answered.data) if uid in batch}
            if missing := [uid for uid in batch if uid not in found]:
                # What FETCH passes over in silence is not gone while SEARCH lists it.
                found |= {
                    uid: MailFacts(size=None) for uid in self._search(f"UID {uid_set(missing)}") if uid in missing
                }
        return found

    def mark(self, uids: Sequence[int], flag: str) -> None:
        r"""Add a flag (`\Seen`, `\Flagged`)."""
        for batch in batches(uids, UIDS_PER_COMMAND):
            self._change("STORE", uid_set(batch), "+FLAGS.SILENT", f"({flag})")

    def move(self, uids: Sequence[int], folder: str) -> None:
        """MOVE (RFC 6851), or COPY and delete; makes the folder if it is missing."""
        verb = "MOVE" if b"MOVE" in self.line.capabilities else "COPY"
        for batch in batches(uids, UIDS_PER_COMMAND):
            self._into(folder, verb, uid_set(batch))
            if verb == "COPY":
                self._delete_copied(batch)

    def _delete_copied(self, uids: Sequence[int]) -> None:
        try:
            self.delete(uids)
        except MailboxError as error:
            raise MoveUnfinishedError(uids=tuple(uids), cause=error.code, **facts_of(self.line.account)) from error

    def delete(self, uids: Sequence[int]) -> None:
        """Delete these and only these: never EXPUNGE, which takes what others have marked."""
        for batch in batches(uids, UIDS_PER_COMMAND):
            self._change("STORE", uid_set(batch), "+FLAGS.SILENT", "(\\Deleted)")
            if b"UIDPLUS" in self.line.capabilities:
                self._change("EXPUNGE", uid_set(batch))

    def leave(self) -> None:
        """Close the folder that is open, so that the server need not watch it between polls."""
        if self.line.selected is not None:
            self._leave(self.line.selected)

    # The wire.

    def _into(self, folder: str, verb: str, uids: str) -> None:
        name = folder_names.quoted(self._wire_name(folder))
        try:
            self._change(verb, uids, name, into=folder)
        except MailboxFolderError:
            if not self._is_made(folder):
                raise
            self._change(verb, uids, name, into=folder)

    def _is_made(self, folder: str) -> bool:
        """Make a folder; whether it was missing and now is not."""
        try:
            self._run(lambda client: client.create_folder(self._wire_name(folder)), folder=folder)
        except MailboxFolderError:
            return False
        return True

    def _leave(self, folder: str) -> None:
        """Close a folder without expunging: a STATUS of the selected folder may be stale (RFC 9051 6.3.11)."""
        if self.line.selected != folder:
            return
        self.line.selected = self._uidvalidity = None
        if b"UNSELECT" in self.line.capabilities:
            self._run(lambda client: client.unselect_folder())
        else:
            # CLOSE expunges, but not what is open to look only.
            self._run(lambda client: client.select_folder(self._wire_name(folder), readonly=True), folder=folder)
            self._run(lambda client: client.close_folder())

    def _search(self, criteria: str) -> list[int]:
        """Ascending. A server may spread its answer over several lines; what is no UID is not one."""
        data = self._uid("SEARCH", criteria)
        words = (word for line in data if isinstance(line, bytes) for word in line.split(b"(")[0].split())
        return sorted({int(word) for word in words if is_uid(word)})

    def _fetch(self, uids: str, items: str, octets: int) -> Answered:
        """UID FETCH that leaves a refusal, and the end of the session, to the caller with what came before it."""
        came: list[Any] = []

        def command(client: Client) -> tuple[str, list[Any]]:
            client.wire.expect(octets)
            try:
                return client.wire.uid("FETCH", uids, items)
            except RAISED as error:
                if not is_refusal(error):
                    raise
                return "BAD", [str(error)]
            finally:
                # imaplib keeps what it has read of a command that it did not end, and would mix it into the next.
                came.extend(client.wire.untagged_responses.pop("FETCH", []))

        self._compare_again()
        began = time.monotonic()
        try:
            kind, data = self._run(command, inside=self.line.selected)
        except MailboxError as trouble:
            is_cut = isinstance(trouble, PollBudgetError) or isinstance(trouble.__cause__, TimeoutError)
            self.pace.note(self.line.client.wire.received, time.monotonic() - began, cut=is_cut)
            self._compare_again()
            return Answered(kind="", data=came, trouble=trouble)
        self.pace.note(self.line.client.wire.received, time.monotonic() - began)
        self._compare_again()
        if kind == "OK":
            return Answered(kind=kind, data=data)
        failure = refused(data[-1], {**facts_of(self.line.account), "folder": self.line.selected}, names_folder=False)
        self.is_broken = self.is_broken or isinstance(failure, MailboxDownError)
        came = [*came, *data]
        if Answer.read(data[-1]).may_be_about_one_mail:
            return Answered(kind=kind, data=came, doubt=failure)
        blames_mail = isinstance(failure, MailboxServerError)
        return Answered(kind=kind, data=came, trouble=None if blames_mail else failure)

    def _spool_key(self, uid: int) -> str:
        """What makes the octets of one UID the same in the next poll. UIDVALIDITY is from this very selection."""
        account = self.line.account
        return repr((account.id, account.host, account.user, self.line.selected, self._uidvalidity, uid))

    def _change(self, verb: str, *words: str | bytes, into: str | None = None) -> None:
        """A command that changes the messages that it names by their UIDs."""
        self._compare_again()
        self._uid(verb, *words, into=into)

    def _compare_again(self) -> None:
        """Refuse UIDs that were not compared, and those that the server has outdated since (RFC 9051 section 7.1)."""
        if self._uidvalidity is None:
            raise RuntimeError("a command that names UIDs wants select(folder, uidvalidity=...) before it")
        said = self.line.client.wire.untagged_responses.get("UIDVALIDITY", [])
        self._compare({int(word) for word in said if isinstance(word, bytes) and is_number(word)})

    def _compare(self, said: set[int]) -> None:
        was, self._uidvalidity = self._uidvalidity, None
        if was is not None and said - {was}:
            raise FolderRenumberedError(
                folder=self.line.selected, was=was, now=max(said - {was}), **facts_of(self.line.account)
            )
        self._uidvalidity = was

    def _dates(self, uids: str, items: str, octets: int = 0) -> dict[int, datetime | None]:
        answered = self._fetch(uids, items, octets)
        if answered.trouble:
            raise answered.trouble
        found = read_dates(answered.data)
        if answered.kind != "OK" and not found:
            said = answered.data[-1] if answered.data else answered.kind
            raise refused(said, facts_of(self.line.account), names_folder=False)
        return found

    def _uid(self, verb: str, *words: str | bytes, into: str | None = None) -> list[Any]:
        def command(client: Client) -> list[Any]:
            kind, data = client.wire.uid(verb, *words)  # type: ignore[arg-type]  # imaplib takes bytes as well
            if kind != "OK":
                raise client.Error(f"{verb} failed: {_text(data)}")
            return list(data)

        return self._run(command, folder=into, inside=self.line.selected)

    def _run(self, command: Callable[[Client], T], *, folder: str | None = None, inside: str | None = None) -> T:
        """Carry out one exchange with the server, inside the time and with its errors translated.

        A command that names a `folder` can fail because of it; one that is given `inside` a folder cannot.
        """
        self._mind_the_time()
        renew, self._renew = self._renew, None
        try:
            answer = self._translated(command, folder, inside)
        except MailboxDownError:
            if renew is None:
                raise
            # The kept line was dead. Nothing has been done on it yet, so the same can be asked on a new one.
            self.line, self.is_broken = renew(), False
            return self._translated(command, folder, inside)
        if renew:
            self.line.client.wire.sock.settimeout(self._settings.timeout)
        return answer

    def _translated(self, command: Callable[[Client], T], folder: str | None, inside: str | None) -> T:
        facts = {**facts_of(self.line.account), "folder": folder or inside}
        try:
            return command(self.line.client)
        except RAISED as error:
            if self._guard.expired:
                self.is_broken = True
                raise self._out_of_time() from error
            if is_refusal(error):
                failure = refused(error, facts, names_folder=folder is not None)
                self.is_broken = self.is_broken or isinstance(failure, MailboxDownError)
                raise failure from error
            self.is_broken = True
            raise lost(error, facts) from error

    def _mind_the_time(self) -> None:
        if self._guard.expired or self._clock() >= self._deadline:
            self.is_broken = self.is_broken or self._guard.expired
            raise self._out_of_time()

    def _out_of_time(self) -> PollBudgetError:
        return PollBudgetError(**facts_of(self.line.account))

    def _wire_name(self, folder: str) -> bytes:
        return self._odd_names.get(folder) or folder_names.encode(folder)

    @staticmethod
    def _status(found: dict[bytes, Any], messages: int | None, folder: str) -> FolderStatus:
        validity = _number(found.get(b"UIDVALIDITY"))
        if validity is None:
            raise MailboxProtocolError("no_uidvalidity", folder=folder)
        return FolderStatus(
            uidvalidity=validity,
            uidnext=_number(found.get(b"UIDNEXT")),
            messages=_number(messages),
            modseq=_number(found.get(b"HIGHESTMODSEQ")) or None,  # 0 where the folder keeps none
        )


def _canonical(raw: bytes) -> bytes:
    """INBOX is the one name whose case does not matter (RFC 9051 section 5.1)."""
    return INBOX.encode() if raw.upper() == INBOX.encode() else raw


def _listed_statuses(client: Client, pattern: str) -> list[Any]:
    kind, data = client.wire.list('""', pattern)
    if kind != "OK":
        raise client.Error(f"LIST failed: {_text(data)}")
    return list(client.wire.untagged_responses.pop("STATUS", []))


def _listing(client: Client, pattern: str) -> list[tuple[bytes, frozenset[str]]]:
    kind, data = client.wire.list('""', pattern)
    if kind != "OK":
        raise client.Error(f"LIST failed: {_text(data)}")
    return list(folder_names.selectable(data))


def is_number(word: bytes) -> bool:
    """Whether a word can be a UID or a UIDVALIDITY: Python refuses to convert thousands of digits."""
    return word.isdigit() and len(word) <= _DIGITS


def is_uid(word: bytes) -> bool:
    """Whether a word of a SEARCH can be the UID of a mail."""
    return is_number(word) and 1 <= int(word) <= HIGHEST_UID


def _number(value: object) -> int | None:
    """As counted by servers and kept in the database; None where it is anything else."""
    return value if isinstance(value, int) and 0 <= value <= HIGHEST_SIZE else None


def _text(data: Sequence[object]) -> str:
    last = data[-1] if data else b""
    return last.decode("utf-8", "replace") if isinstance(last, bytes) else str(last)
