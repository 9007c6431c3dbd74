"""An account: one mailbox on one IMAP server, how to reach it, what to take from it, and how it is doing."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Final, Self
from uuid import UUID, uuid5

NAMESPACE: Final = UUID("b0f6f1c2-4f0e-5d6b-9c62-0e6a54f6d3a1")

ALL_FOLDERS: Final = "*"
INBOX: Final = "INBOX"


def folder_name(name: str) -> str:
    """A folder's one name: INBOX is the same folder in any spelling (RFC 9051 section 5.1); others stay as they are."""
    return INBOX if name.isascii() and name.upper() == INBOX else name


def one_inbox(names: Iterable[str]) -> tuple[str, ...]:
    """Folders as people list them, with INBOX spelled so, and once."""
    spelled = [folder_name(name) for name in names]
    return tuple(name for place, name in enumerate(spelled) if name != INBOX or INBOX not in spelled[:place])


class Tls(StrEnum):
    """How the connection is protected."""

    IMPLICIT = "implicit"
    STARTTLS = "starttls"
    NONE = "none"


class AuthKind(StrEnum):
    """How the account logs in."""

    PASSWORD = "password"  # noqa: S105 - the name of a method, not a password
    OAUTH2 = "oauth2"  # somebody signs in at the provider, once (A2)
    OAUTH2_APP = "oauth2-app"  # the application's own secret opens it

    @property
    def is_oauth(self) -> bool:
        """Whether a token takes the password's place."""
        return self is not AuthKind.PASSWORD


class Priority(StrEnum):
    """How urgent a message is (P10)."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class StartKind(StrEnum):
    """Where a new account begins (P13)."""

    NEW = "new"
    ALL = "all"
    SINCE = "since"


@dataclass(frozen=True, slots=True, kw_only=True)
class StartPoint:
    """`new`, `all`, or `since:2026-01-31`."""

    kind: StartKind = StartKind.NEW
    since: date | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the form people type. Raises ValueError with the accepted forms."""
        kind, _, day = text.partition(":")
        if kind == StartKind.SINCE and day:
            return cls(kind=StartKind.SINCE, since=date.fromisoformat(day))
        if text in (StartKind.NEW, StartKind.ALL):
            return cls(kind=StartKind(text))
        raise ValueError("a start point is 'new', 'all' or 'since:YYYY-MM-DD'")

    def __str__(self) -> str:
        return f"since:{self.since.isoformat()}" if self.since else self.kind.value


class AfterKind(StrEnum):
    """What happens to a message on the server once it is processed and durable (P12)."""

    LEAVE = "leave"
    SEEN = "seen"
    FLAG = "flag"
    MOVE = "move"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class AfterAction:
    """`leave`, `seen`, `flag`, `move:FOLDER` or `delete`."""

    kind: AfterKind = AfterKind.LEAVE
    folder: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read the form people type. Raises ValueError with the accepted forms."""
        kind, _, folder = text.partition(":")
        if kind == AfterKind.MOVE and folder:
            return cls(kind=AfterKind.MOVE, folder=folder_name(folder))
        if text in (AfterKind.LEAVE, AfterKind.SEEN, AfterKind.FLAG, AfterKind.DELETE):
            return cls(kind=AfterKind(text))
        raise ValueError("an after-action is 'leave', 'seen', 'flag', 'move:FOLDER' or 'delete'")

    def __str__(self) -> str:
        return f"move:{self.folder}" if self.folder else self.kind.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """A mailbox as configured. `secret` is ciphertext; only the vault can open it."""

    id: int = 0
    key: UUID | None = None  # stays the same while host and user are edited; events are named after it
    name: str
    host: str
    port: int = 993
    tls: Tls = Tls.IMPLICIT
    user: str
    auth: AuthKind = AuthKind.PASSWORD
    oauth_client: str | None = None  # the OAuth2 client's name
    secret: bytes = field(default=b"", repr=False)
    ca_file: str | None = None  # a path of the machine's
    ca_pem: str | None = field(default=None, repr=False)  # certificates that somebody pasted, in its place
    folders: tuple[str, ...] = (INBOX,)  # "*" stands for every folder but All Mail, Drafts, Junk and Trash
    start: StartPoint = StartPoint()
    start_at: datetime | None = None  # when it was added: `start: new` takes mail from this moment on
    after: AfterAction = AfterAction()
    interval: int | None = None  # seconds; None: poll.interval
    priority: Priority = Priority.NORMAL
    enabled: bool = True


class Mailbox(StrEnum):
    """What a changed host or login means: nobody but a person can tell."""

    SAME = "same"  # it was moved with its mail, or its login was renamed
    ANOTHER = "another"


def account_key(name: str, host: str, user: str) -> UUID:
    """Name an account's identity, so that removing and adding it again cannot make a mail's event twice."""
    return uuid5(NAMESPACE, f"{name}\n{host.lower()}\n{user}")


class AccountState(StrEnum):
    """How polling this account goes (A5)."""

    NEW = "new"  # never polled
    OK = "ok"
    BACKING_OFF = "backing_off"
    AUTH_FAILED = "auth_failed"
    TLS = "tls"
    DNS = "dns"
    UNREACHABLE = "unreachable"
    THROTTLED = "throttled"
    FOLDER_MISSING = "folder_missing"
    QUOTA = "quota"
    INTERNAL_ERROR = "internal_error"  # Concord itself failed: a defect


class AccountNote(StrEnum):
    """What was found out about an account's server, that explains how it is polled and needs no repair here."""

    SEARCH_UNRELIABLE = "search_unreliable"  # UID SEARCH leaves out mail, or names mail that is not there


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountStatus:
    """What the last polls found. `failures` counts failed polls in a row."""

    state: AccountState = AccountState.NEW
    failures: int = 0
    last_success: datetime | None = None
    last_poll: datetime | None = None
    last_error: str | None = None  # the sentence and its remedy, without secrets
    last_error_code: str | None = None
    last_error_at: datetime | None = None
    next_try: datetime | None = None  # None: at the next scheduled poll
    # Mails that the server had then and the ledger should have had, and those `lost` (O7). None: not counted, or not
    # to the end.
    unaccounted: int | None = None
    lost: int = 0  # messages whose bytes the archive lacks now
    reconciled_at: datetime | None = None
    notes: tuple[AccountNote, ...] = ()
    # When the last poll began, however it went; no part of how the account does.
    begun_at: datetime | None = field(default=None, compare=False)
    # Rises when host, user or secret change: what a poll finds out is of one of them. Not part of how the account does.
    login_version: int = field(default=0, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountTurn:
    """A poll that found the account in another state than the poll before it."""

    at: datetime
    state: AccountState
    error: str | None = None  # the sentence and its remedy, where it is a trouble


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountFilter:
    """What a list of accounts is narrowed to; None means any."""

    search: str | None = None  # in name, host and user
    state: AccountState | None = None  # of those that are switched on
    enabled: bool | None = None
    failing: bool = False  # switched on, and the last poll failed
    after: str | None = None  # keyset pagination by name: those that follow it
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class PollLease:
    """The right to poll one account until `until`. `fence` outdates whoever held it before."""

    account_id: int
    fence: int
    until: datetime
    background: bool = False  # a backfill's or a count's, no poll's
    follows_crash: bool = False  # the one before it, of the same kind, was never given back: its process may have died


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderCursor:
    """How far one folder has been read, within one UIDVALIDITY (RFC 9051 section 2.3.1.1).

    New mail is UID > `last_uid`. The backfill, if any, works downwards: UIDs in
    `backfill_low <= uid < backfill_next` are still to be fetched. What lies below `backfill_low` is not ours to take.
    """

    account_id: int
    folder: str
    uidvalidity: int
    last_uid: int
    backfill_next: int | None = None
    backfill_low: int = 1
    begun_at: datetime
    # The highest UID that was there when reading began: up to it the start point decides what is ours. None: unknown.
    begun_uid: int | None = None
    # `start: new`: of the mails up to `begun_uid`, those with this INTERNALDATE or a later one are ours. None: the
    # folder began before there was this rule, or with another start point.
    start_at: datetime | None = None
    # What STATUS said when the folder was last found fully read; an equal answer means nothing new.
    uidnext: int | None = None
    messages: int | None = None
    modseq: int | None = None
    checked_at: datetime | None = None
    visited_at: datetime | None = None  # the last poll that had no time for all folders, and had some for this one
    # Where a session ended: these UIDs are fetched one by one. `died_uid` ended the last `deaths` sessions alone.
    careful_low: int | None = None
    careful_high: int | None = None
    died_uid: int | None = None
    deaths: int = 0
    # What is being fetched alone at this moment: the message that the process may die of.
    fetching_uid: int | None = None
