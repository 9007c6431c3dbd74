"""One poll's session with one account's server: what `ports.MailSource` promises, said in IMAP."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from typing import Any, Final, TypeVar

from concord.adapters.imap import folder_names
from concord.adapters.imap.errors import RAISED, facts_of, is_refusal, lost, refused
from concord.adapters.imap.fetch import Fetcher, read_facts
from concord.adapters.imap.pool import Line
from concord.adapters.imap.uid_set import batches, uid_set
from concord.adapters.imap.watchdog import Guard
from concord.adapters.imap.wire import Client
from concord.errors import (
    FolderRenumberedError,
    MailboxDownError,
    MailboxError,
    MailboxFolderError,
    MailboxProtocolError,
    MoveUnfinishedError,
    PollBudgetError,
)
from concord.model.message import FetchedMail
from concord.ports import Clock, FolderStatus, MailFacts, Unreadable
from concord.settings import PollSettings

# A store, move or delete names so many UIDs at most: some servers take command lines of 8,000 octets only.
UIDS_PER_COMMAND: Final = 500
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

T = TypeVar("T")


class ImapSession:
    """Keeps `ports.MailSource`. `renew` makes a fresh line in place of a kept one that turns out to be dead."""

    def __init__(
        self,
        line: Line,
        *,
        settings: PollSettings,
        clock: Clock,
        deadline: datetime,
        guard: Guard,
        renew: Callable[[], Line] | None = None,
    ) -> None:
        self.line = line
        self.is_broken = False
        self._settings = settings
        self._clock = clock
        self._deadline = deadline
        self._guard = guard
        self._renew = renew
        self._odd_names: dict[str, bytes] = {}
        self._uidvalidity: int | None = None  # as compared in the present selection
        if renew:
            # A kept line may be dead without knowing it, so the wait for its first answer is short.
            line.client.wire.sock.settimeout(settings.connect_timeout)

    # Folders.

    def folders(self) -> list[str]:
        """Names of all folders that can be selected, decoded."""
        found = self._run(lambda client: list(folder_names.selectable(client.wire.list('""', '"*"')[1])))
        names = {folder_names.decode(raw): raw for raw in found}
        self._odd_names = {name: raw for name, raw in names.items() if folder_names.encode(name) != raw}
        return list(names)

    def status(self, folder: str) -> FolderStatus:
        """STATUS without selecting. Raises MailboxFolderError."""
        self._leave(folder)
        items = ["MESSAGES", "UIDNEXT", "UIDVALIDITY"]
        if b"CONDSTORE" in self.line.capabilities:
            items.append("HIGHESTMODSEQ")
        found = self._run(lambda client: client.folder_status(self._wire_name(folder), items), folder=folder)
        return self._status(found, found.get(b"MESSAGES"), folder)

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

    def uids_since(self, day: date) -> list[int]:
        """UIDs whose INTERNALDATE is on or after that day, ascending."""
        return self._search(f"SINCE {day.day}-{_MONTHS[day.month - 1]}-{day.year}")

    def fetch(self, uids: Sequence[int], *, max_size: int) -> Iterator[FetchedMail | Unreadable]:
        """Every UID's mail or why not, in order; UIDs that vanished are left out."""
        fetcher = Fetcher(
            command=self._fetch,
            search=self._search,
            batch_messages=self._settings.batch_messages,
            chunk=self._settings.chunk_bytes,
            max_size=max_size,
        )
        return fetcher.run(uids)

    def describe(self, uids: Sequence[int]) -> dict[int, MailFacts]:
        """Size and state of each message that is there now; UIDs that vanished are left out."""
        found: dict[int, MailFacts] = {}
        for batch in batches(uids, UIDS_PER_COMMAND):
            kind, data = self._fetch(uid_set(batch), "(UID FLAGS RFC822.SIZE)")
            if kind != "OK":
                raise refused(data[-1] if data else kind, facts_of(self.line.account))
            found |= {uid: facts for uid, facts in read_facts(data) if uid in batch}
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
            raise MoveUnfinishedError(
                "Messages are copied to their folder, and the originals could not be deleted",
                uids=tuple(uids),
                cause=error.code,
                **facts_of(self.line.account),
            ) from error

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
        data = self._uid("SEARCH", criteria)
        # A server may spread its answer over several lines.
        return sorted({int(word) for line in data if line for word in line.split(b"(")[0].split()})

    def _fetch(self, uids: str, items: str) -> tuple[str, list[Any]]:
        """UID FETCH that leaves a refusal to the caller, with what came before it."""

        def command(client: Client) -> tuple[str, list[Any]]:
            try:
                kind, data = client.wire.uid("FETCH", uids, items)
            except RAISED as error:
                if not is_refusal(error):
                    raise
                kind, data = "BAD", [str(error)]
            # imaplib keeps what it has read of a refused command, and would mix it into the next.
            came = client.wire.untagged_responses.pop("FETCH", [])
            return kind, [*came, *data] if kind != "OK" else data

        self._compare_again()
        kind, data = self._run(command)
        self._compare_again()
        if kind != "OK":
            failure = refused(data[-1], facts_of(self.line.account))
            if not isinstance(failure, MailboxProtocolError):
                raise failure
        return kind, data

    def _change(self, verb: str, *words: str | bytes, into: str | None = None) -> None:
        """A command that changes the messages that it names by their UIDs."""
        self._compare_again()
        self._uid(verb, *words, into=into)

    def _compare_again(self) -> None:
        """Refuse UIDs that were not compared, and those that the server has outdated since (RFC 9051 section 7.1)."""
        if self._uidvalidity is None:
            raise RuntimeError("a command that names UIDs wants select(folder, uidvalidity=...) before it")
        said = self.line.client.wire.untagged_responses.get("UIDVALIDITY", [])
        self._compare({int(number) for number in said if isinstance(number, bytes) and number.isdigit()})

    def _compare(self, said: set[int]) -> None:
        was, self._uidvalidity = self._uidvalidity, None
        if was is not None and said - {was}:
            raise FolderRenumberedError(
                "The folder's UIDVALIDITY has changed",
                folder=self.line.selected,
                was=was,
                now=max(said - {was}),
                **facts_of(self.line.account),
            )
        self._uidvalidity = was

    def _uid(self, verb: str, *words: str | bytes, into: str | None = None) -> list[Any]:
        def command(client: Client) -> list[Any]:
            kind, data = client.wire.uid(verb, *words)  # type: ignore[arg-type]  # imaplib takes bytes as well
            if kind != "OK":
                raise client.Error(f"{verb} failed: {_text(data)}")
            return list(data)

        return self._run(command, folder=into or self.line.selected)

    def _run(self, command: Callable[[Client], T], *, folder: str | None = None) -> T:
        """Carry out one exchange with the server, inside the time and with its errors translated."""
        self._mind_the_time()
        renew, self._renew = self._renew, None
        try:
            answer = self._translated(command, folder)
        except MailboxDownError:
            if renew is None:
                raise
            # The kept line was dead. Nothing has been done on it yet, so the same can be asked on a new one.
            self.line, self.is_broken = renew(), False
            return self._translated(command, folder)
        if renew:
            self.line.client.wire.sock.settimeout(self._settings.timeout)
        return answer

    def _translated(self, command: Callable[[Client], T], folder: str | None) -> T:
        facts = {**facts_of(self.line.account), "folder": folder}
        try:
            return command(self.line.client)
        except RAISED as error:
            if self._guard.expired:
                self.is_broken = True
                raise self._out_of_time() from error
            if is_refusal(error):
                raise refused(error, facts) from error
            self.is_broken = True
            raise lost(error, facts) from error

    def _mind_the_time(self) -> None:
        if self._guard.expired or self._clock() >= self._deadline:
            self.is_broken = self.is_broken or self._guard.expired
            raise self._out_of_time()

    def _out_of_time(self) -> PollBudgetError:
        return PollBudgetError("The poll's time is used up", **facts_of(self.line.account))

    def _wire_name(self, folder: str) -> bytes:
        return self._odd_names.get(folder) or folder_names.encode(folder)

    @staticmethod
    def _status(found: dict[bytes, Any], messages: int | None, folder: str) -> FolderStatus:
        validity = found.get(b"UIDVALIDITY")
        if not isinstance(validity, int):
            raise MailboxProtocolError("The IMAP server names no UIDVALIDITY for a folder", folder=folder)
        return FolderStatus(
            uidvalidity=validity,
            uidnext=found.get(b"UIDNEXT"),
            messages=messages,
            modseq=found.get(b"HIGHESTMODSEQ") or None,  # 0 where the folder keeps none
        )


def _text(data: Sequence[object]) -> str:
    last = data[-1] if data else b""
    return last.decode("utf-8", "replace") if isinstance(last, bytes) else str(last)
