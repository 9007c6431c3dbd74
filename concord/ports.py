"""Promises: what the pipeline asks of the world. Adapters keep them; tests keep them in memory.

Whatever an implementation meets (botocore, imaplib, SQLAlchemy, redis), only the errors of `concord.errors` come out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Final, Protocol
from uuid import UUID

from concord.errors import ArchiveLossError, ConcordError
from concord.model.account import (
    Account,
    AccountFilter,
    AccountNote,
    AccountStatus,
    AccountTurn,
    FolderCursor,
    PollLease,
    Priority,
)
from concord.model.audit import EVERYTHING, AuditEntry, AuditFilter, AuditMark, AuditVerdict
from concord.model.binding import Binding
from concord.model.daemon import DaemonState
from concord.model.delivery import Delivery, DeliveryState, OutboxRef
from concord.model.discovery import Discovery
from concord.model.event import EventRow, UnifiedEvent
from concord.model.listing import (
    DeliveriesWanted,
    EventsWanted,
    Lately,
    ListedDelivery,
    ListedRun,
    Listing,
    MessagesWanted,
    Reason,
    RunsWanted,
    View,
)
from concord.model.loss import Loss, Verdict
from concord.model.message import (
    AfterState,
    FetchedMail,
    Message,
    MessageRef,
    MessageState,
    Peek,
    PendingAfter,
    SeenMail,
    Step,
)
from concord.model.number import Latest, Readings
from concord.model.oauth import Departure, OAuthClient, OAuthGrant, OAuthRequest, Tokens
from concord.model.rule import HandlerSpec, Rule, WorkflowSpec
from concord.model.worker import WorkerLimits
from concord.model.workflow import RunState, WorkflowRun

Clock = Callable[[], datetime]
"""Says what time it is: aware, UTC."""


# ── the archive ──────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Blob:
    """Something to be stored. `content` is the bytes, or the file that holds them."""

    key: str
    sha256: str  # lower-case hex
    size: int  # octets
    content: bytes | Path = field(repr=False)
    content_type: str = "application/octet-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What the archive knows of an object without reading it."""

    key: str
    size: int
    modified_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveName:
    """An archive's id. Pending: a process chose it, and may have died before it wrote the marker."""

    id: str
    pending: bool = False


class Archive(Protocol):
    """Bytes, written once, read ever after. Keys are relative, slash-separated, of `[A-Za-z0-9._/-]`."""

    def put(self, blobs: Sequence[Blob]) -> None:
        """Store all of them; on return each is durable and verified (length and SHA-256).

        Storing the same again is free and changes nothing. A stored object that is not what its key names is set
        aside and replaced. Raises ArchiveDownError, and ArchiveDamagedError where the content given is not what
        `sha256` and `size` say.
        """
        ...

    def repair(self, blob: Blob) -> None:
        """Store verified bytes in place of a damaged or missing object; what lay there is set aside, never deleted.

        Unlike `put` it compares the stored octets themselves, whatever the store says of them.
        """
        ...

    def read(self, key: str, *, sha256: str | None = None) -> bytes:
        """All octets. Raises ArchiveMissingError, ArchiveDownError; ArchiveDamagedError where `sha256` differs."""
        ...

    def open(self, key: str) -> BinaryIO:
        """A stream of the octets; the caller closes it. Raises ArchiveMissingError, ArchiveDownError."""
        ...

    def stat(self, key: str) -> Stored | None:
        """What is known of it; None where there is nothing."""
        ...

    def delete(self, key: str) -> None:
        """Remove it, if it is there."""
        ...

    def keys(self, prefix: str = "") -> Iterator[str]:
        """Every key that begins so, in no particular order."""
        ...

    def check(self, octets: int = 0) -> None:
        """Write, read back and remove a probe of at least that size. Raises ArchiveDownError with what to do."""
        ...

    def require(self) -> None:
        """Raise ArchiveDownError while it is away, takes nothing, or is not the database's own.

        Cheap enough to ask before every poll. Where the last call failed, this probes, at most once in some seconds.
        """
        ...


class ArchiveRegistry(Protocol):
    """What the database knows of its archive."""

    def load(self) -> ArchiveName | None:
        """The archive's id; None where this database has none yet."""
        ...

    def propose(self, archive_id: str) -> ArchiveName:
        """Make this the id, unless there is one; the id that counts, for two processes that start at once."""
        ...

    def confirm(self, archive_id: str) -> None:
        """The archive carries the marker with this id."""
        ...

    def adopt(self, archive_id: str) -> None:
        """Use the archive with this id from now on, whatever was used before."""
        ...

    def sample_keys(self) -> list[str]:
        """Keys of some objects that should be in the archive, old and new ones."""
        ...


# ── the mailbox ──────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class FolderStatus:
    """What the server says of a folder. Only UIDVALIDITY is trusted; the rest merely hints that nothing changed."""

    uidvalidity: int
    uidnext: int | None
    messages: int | None
    modseq: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class MailFolder:
    r"""A folder that the server lists. `uses` are its special uses (RFC 6154), as `\junk`, in lower case."""

    name: str
    uses: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unreadable:
    """A UID whose bytes the server would not hand over, or that is over the size limit."""

    uid: int
    size: int | None
    error: ConcordError
    oversized: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MailFacts:
    r"""What the server says of a message without handing over its octets."""

    size: int | None  # RFC822.SIZE; None where the server lists the message and does not say
    is_deleted: bool = False  # it has the flag \Deleted


class MailSource(Protocol):
    r"""A logged-in session with one account's server. Every call has a time-out; all raise MailboxError's children.

    Nothing here sets \Seen except `mark`: message bytes are read with BODY.PEEK.

    A UID means a message only together with a UIDVALIDITY (RFC 9051 section 2.3.1.1). The calls that take UIDs work
    only after `select(folder, uidvalidity=...)`, which compares it in this very selection, and raise
    FolderRenumberedError where the server changes it later in the session. Without the comparison they raise
    RuntimeError: that is a defect of the caller.
    """

    def folders(self) -> list[MailFolder]:
        """All folders that can be selected, their names decoded, INBOX spelled so."""
        ...

    def status(self, folder: str) -> FolderStatus:
        """STATUS without selecting. Raises MailboxFolderError."""
        ...

    def statuses(self, folders: Sequence[str]) -> dict[str, FolderStatus]:
        """STATUS of many folders in one round trip, where the server can (RFC 5819).

        A folder that is left out is asked for by `status`; where the server cannot, all are.
        """
        ...

    def select(self, folder: str, *, uidvalidity: int | None = None, writable: bool = False) -> FolderStatus:
        """Open a folder; the calls below speak of it. Raises MailboxFolderError.

        `uidvalidity` is the one that the caller's UIDs belong to: raises FolderRenumberedError where the folder has
        another. None: the caller has no UIDs yet, and may only ask for some.
        """
        ...

    def uids(self, low: int, high: int | None = None) -> list[int]:
        """What SEARCH answers of UIDs with low <= uid <= high (None: no limit), ascending.

        `n:*` is filtered (RFC 9051 6.4.9). Servers leave mail out: `pipeline.listing` checks the answer.
        """
        ...

    def fetched_uids(self, low: int, high: int | None = None) -> list[int]:
        """Existing UIDs as `UID FETCH low:high (UID)` lists them, ascending: slower than SEARCH, and more reliable."""
        ...

    def internal_dates(self, uids: Sequence[int]) -> dict[int, datetime | None]:
        """The INTERNALDATE of each of these that exists, aware, in the server's zone; None where it has none."""
        ...

    def uids_since(self, day: date) -> list[int]:
        """UIDs whose INTERNALDATE is on or after that day, ascending."""
        ...

    def fetch(self, uids: Sequence[int], *, max_size: int) -> Iterator[FetchedMail | Unreadable]:
        """Every UID's mail or why not, in order; UIDs that vanished are left out.

        In batches, big mails in chunks to a temporary file that is removed when the next item is asked for. Raises only
        for what concerns the session as a whole (down, throttled, budget used up).
        """
        ...

    def describe(self, uids: Sequence[int]) -> dict[int, MailFacts]:
        """Size and state of each message that is there now; UIDs that vanished are left out."""
        ...

    def mark(self, uids: Sequence[int], flag: str) -> None:
        r"""Add a flag (`\Seen`, `\Flagged`)."""
        ...

    def move(self, uids: Sequence[int], folder: str) -> None:
        """MOVE (RFC 6851), or COPY and delete; makes the folder if it is missing.

        Raises MoveUnfinishedError where messages are copied and the originals could not be deleted.
        """
        ...

    def delete(self, uids: Sequence[int]) -> None:
        """Delete these and only these (UID EXPUNGE, RFC 4315; without UIDPLUS the flag is set and stays)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckStep:
    """One step of a connection test (A4)."""

    name: str  # dns, tcp, tls, token (OAuth2 only), login, capabilities, folders
    ok: bool
    detail: str = ""  # what it found
    cause: str = ""
    error: ConcordError | None = None  # why it failed
    facts: Mapping[str, Any] = field(default_factory=dict)  # the same for pages and programs


class MailSources(Protocol):
    """Opens sessions; keeps some for the next poll, inside the budget of host and login (A6)."""

    def open(self, account: Account, *, deadline: datetime) -> AbstractContextManager[MailSource]:
        """A session for one poll. After `deadline` its calls raise PollBudgetError, the one in progress included."""
        ...

    def test(self, account: Account) -> Iterator[CheckStep]:
        """Go step by step and say what each found; stops after the first failure."""
        ...

    def close(self) -> None:
        """Log out of everything kept."""
        ...


class Discoverer(Protocol):
    """Finds the IMAP servers of a mail address."""

    def find(self, address: str) -> Discovery:
        """Ask everybody who may know, for seconds only. Raises UsageError where it is no mail address."""
        ...


class TokenSource(Protocol):
    """Access tokens for accounts that log in with OAuth2 (A2)."""

    def token(self, account: Account, *, refused: str | None = None) -> str:
        """One that is good for a while yet; never the one that the mail server has just `refused`.

        Raises TokenRefusedError, ProviderDownError, MailboxForbiddenError.
        """
        ...

    def expiry(self, account: Account) -> datetime | None:
        """When the token that is kept now expires; None where there is none."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptSlots:
    """What became of slots that were to be renewed: the others have lapsed, and somebody else may count on them."""

    kept: frozenset[int] = frozenset()
    wanted: frozenset[int] = frozenset()  # somebody asks for these


class Connections(Protocol):
    """The connection budget of the whole cluster: numbered slots for each host and login, held by leases that lapse."""

    def acquire(self, host: str, login: str, *, per_login: int, per_host: int, until: datetime) -> int | None:
        """Take a slot; its number, or None where all are in use."""
        ...

    def ask(self, host: str, login: str, *, per_login: int) -> bool:
        """Ask for a slot that an idle connection fills, anywhere; whether there is one that would help."""
        ...

    def renew(self, slots: Collection[int], *, idle: Collection[int], until: datetime) -> KeptSlots:
        """Keep them longer, and say which of their connections are idle."""
        ...

    def release(self, slot: int) -> None: ...


# ── the truth ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Accounts(Protocol):
    """Accounts as configured, how they do, the poll lease and the folder cursors."""

    def all(self, *, enabled_only: bool = False) -> list[Account]: ...

    def names(self) -> list[str]:
        """All accounts', in order: lists that people choose from want no more."""
        ...

    def get(self, account: int | str) -> Account:
        """By id or name. Raises NotFoundError."""
        ...

    def add(self, account: Account) -> Account:
        """Raises ExistsError. The answer has its id and key."""
        ...

    def save(self, account: Account) -> Account:
        """Change everything but id, key and name; a changed login or secret also clears an auth_failed state."""
        ...

    def replace(self, account: Account) -> Account:
        """Give its name to another mailbox, which begins now; the answer has the new id and key.

        The former mailbox is forgotten as with `remove`: its messages stay, and none of its cursors is used again.
        """
        ...

    def remove(self, name: str) -> None:
        """Forget the account; its messages stay. Raises NotFoundError."""
        ...

    def status(self, account_id: int) -> AccountStatus: ...

    def failing(self, *, limit: int) -> list[tuple[Account, AccountStatus]]:
        """Enabled ones whose last poll failed, the latest failure first."""
        ...

    def statuses(self) -> dict[int, AccountStatus]: ...

    def search(self, narrowed: AccountFilter) -> list[tuple[Account, AccountStatus]]:
        """By name."""
        ...

    def counts(self) -> dict[str, int]:
        """How many are in each state; those that are switched off count as `disabled`, whatever state they had."""
        ...

    def turns(self, account_id: int, *, limit: int = 20) -> list[AccountTurn]:
        """When its state became another one, the newest first."""
        ...

    def set_status(self, account_id: int, status: AccountStatus) -> None:
        """Everything but what the reconciliation found."""
        ...

    def reconciled(self, account_id: int, unaccounted: int | None) -> None:
        """How many mails the server has now that the ledger should have and has not; None: not counted to the end."""
        ...

    def note(self, account_id: int, note: AccountNote, *, holds: bool) -> None:
        """Add a note on the account's server, or take it away."""
        ...

    def lease(self, account_id: int, *, until: datetime, background: bool = False) -> PollLease | None:
        """The right to poll, if nobody has it. A poll's beginning is noted; `background` work is none.

        The lease knows whether the last one of its kind was never given back (`follows_crash`).
        """
        ...

    def wait_to_poll(self, account_id: int) -> bool:
        """Have the lease's holder know that a poll waits, until one has the lease; False where nobody has it now."""
        ...

    def poll_waits(self, lease: PollLease) -> bool:
        """Whether a poll waits for this lease."""
        ...

    def renew(self, lease: PollLease, *, until: datetime) -> PollLease | None:
        """Longer, if it is still ours."""
        ...

    def release(self, lease: PollLease, status: AccountStatus | None = None) -> None:
        """Give it back and record how it went; nothing happens if it is no longer ours.

        A status of an older `login_version` is not recorded: it is of a login that is no longer the account's.
        """
        ...

    def note_visits(self, lease: PollLease, folders: Sequence[str]) -> None:
        """Record that these had their turn in a poll that had no time for all, while the lease is ours."""
        ...

    def cursors(self, account_id: int) -> dict[str, FolderCursor]: ...

    def save_cursor(self, lease: PollLease, cursor: FolderCursor) -> bool:
        """Create or change a cursor while the lease is ours."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A message in our hands. `attempt` fences off whoever held it before."""

    message: Message
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Processed:
    """All that follows from one processed message, written in one transaction (the outbox)."""

    claim: Claim
    event: UnifiedEvent
    record_key: str  # archive key of the event document
    peek: Peek
    priority: Priority  # what the event says
    urgency: Priority  # how soon its deliveries and runs go out
    defects: tuple[str, ...]
    matched: tuple[str, ...]
    handlers: tuple[str, ...]
    workflows: tuple[WorkflowSpec, ...]
    skipped: bool
    after: AfterState


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """What a committed `finish` made due, to be queued. And the results that the database would not take."""

    deliveries: tuple[OutboxRef, ...] = ()
    runs: tuple[OutboxRef, ...] = ()
    failed: tuple[tuple[Claim, Exception], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFilter:
    """Which messages are asked for; None means any. What people page through, `Lists` has."""

    account: str | None = None
    state: MessageState | None = None
    message_id: str | None = None
    before_id: int | None = None  # only older ones than that
    limit: int = 50


class Ledger(Protocol):
    """The memory of the pipeline: one row for each message. Every change is conditional and leaves a trail step."""

    def record(
        self, lease: PollLease, cursor: FolderCursor, mails: Sequence[SeenMail], *, events_for_copies: bool = False
    ) -> list[MessageRef] | None:
        """Rows and cursor in one transaction; the ARCHIVED rows that are new. None where the lease is no longer ours.

        A UID recorded before is left alone, except that an UNFETCHED one takes the new state. A mail that the account
        has in another folder, octet for octet, was moved or copied (P24): it is recorded as SKIPPED, with
        `events_for_copies` as a new one.
        """
        ...

    def archive_keys(self, account_id: int, digests: Sequence[str]) -> dict[str, str]:
        """Where the account's mail with these contents (SHA-256) is archived already, by content."""
        ...

    def claim(self, ids: Sequence[int], *, until: datetime) -> list[Claim]:
        """Take those that stand at ARCHIVED and are due, or at PROCESSING with a lapsed lease.

        A lapse makes a message suspect, and a suspect one is claimed alone: of several, those that are not suspect are
        taken, or else one. A lapse counts as a failure only where the message was suspect and `enter` had said which
        foreign code the worker was in.
        """
        ...

    def enter(self, claim: Claim, stage: str | None) -> bool:
        """Say which foreign code (`parse`, `rule`) the worker enters with a suspect message; None: it has left it.

        False where the claim is no longer ours.
        """
        ...

    def finish(self, results: Sequence[Processed]) -> Queued:
        """Messages, events, deliveries and runs in one transaction. Results whose claim lapsed write nothing.

        A result that the database refuses (not: cannot be reached) is left out and named in `failed`: as the message's
        own fault (PermanentError) only where others are taken, else as infrastructure.
        """
        ...

    def postpone(self, claim: Claim, error: Exception, *, due_at: datetime, counts: bool) -> None:
        """Back to ARCHIVED until `due_at`. With `counts` false (our own infrastructure) the attempt is not counted."""
        ...

    def give_back(
        self, claims: Sequence[Claim], error: Exception, *, due_at: datetime, suspects: Collection[int] = ()
    ) -> None:
        """Back to ARCHIVED until `due_at`, all at once and uncounted; `suspects` (ids) travel alone from now on.

        Claims that are no longer ours are left alone. Waits that repeat are one step of the trail, which counts them.
        """
        ...

    def quarantine(self, claim: Claim, error: Exception) -> None: ...

    def get(self, message: int) -> Message:
        """Raises NotFoundError."""
        ...

    def search(self, narrowed: MessageFilter) -> list[Message]: ...

    def counts(self) -> dict[str, dict[MessageState, int]]:
        """By account name."""
        ...

    def amount(self, account_id: int, state: MessageState | None = None, *, most: int) -> int:
        """How many messages an account has, in that state; counting ends at `most`, so that a page need not wait."""
        ...

    def trail(self, message_id: int) -> list[Step]: ...

    def note(self, message_id: int, what: str, **detail: object) -> None:
        """Add a step to a message's trail."""
        ...

    def retry(self, ids: Sequence[int]) -> list[MessageRef]:
        """Quarantined or skipped ones go to ARCHIVED, or UNFETCHED where there are no bytes; attempts start anew."""
        ...

    def retry_upgraded(self, version: str, *, limit: int = 200) -> list[MessageRef]:
        """What an older version of Concord quarantined gets one more chance with each newer one (P16).

        So many at a time: an upgrade must not queue everything at once.
        """
        ...

    def unfetched(self, account_id: int, folder: str, uidvalidity: int, *, limit: int) -> list[int]:
        """UIDs whose next try at fetching is due."""
        ...

    def after_pending(self, account_id: int, folder: str, uidvalidity: int, *, limit: int) -> list[PendingAfter]:
        """Processed messages whose after-action is due."""
        ...

    def after_done(self, ids: Sequence[int], state: AfterState, error: str | None = None) -> None: ...

    def after_failed(
        self, message_id: int, error: Exception, *, due_at: datetime | None, is_copied: bool = False
    ) -> None:
        """One more failure of a pending after-action; it is FAILED where it shall not be tried again (no `due_at`)."""
        ...

    def uids(self, account_id: int, folder: str, uidvalidity: int, *, low: int, high: int) -> set[int]:
        """The UIDs with low <= uid <= high that have a row."""
        ...

    def stale(self, *, queued_before: datetime, limit: int) -> list[MessageRef]:
        """Due messages that were last queued before then; marks them as queued now. The sweep's question."""
        ...


class Losses(Protocol):
    """Messages whose raw bytes the archive lacks. They wait, blamed for nothing, until it has them again."""

    def add(self, message_id: int, error: ArchiveLossError) -> None:
        """Ask the server for it at the account's next poll; nothing changes for one that is known already."""
        ...

    def due(self, account_id: int, *, limit: int) -> list[Loss]:
        """Those that are to be asked for now."""
        ...

    def postpone(self, ids: Sequence[int], *, due_at: datetime, verdict: Verdict | None = None) -> None:
        """Ask again then; `verdict` is what asking brought this time."""
        ...

    def settle(self, ids: Sequence[int]) -> list[MessageRef]:
        """The archive has these again; those that waited for that are due now, and marked as queued."""
        ...


class Outbox(Protocol):
    """Events, deliveries and workflow runs."""

    def event(self, event_id: UUID) -> EventRow:
        """Raises NotFoundError."""
        ...

    def event_of(self, message_id: int) -> EventRow | None: ...

    def events(
        self,
        *,
        account: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        before: tuple[datetime, UUID] | None = None,
        limit: int = 50,
    ) -> list[EventRow]:
        """Newest first; `before` is the last row's (created_at, id)."""
        ...

    def keep_document(self, event_id: UUID, archive_key: str) -> None:
        """The event's document lies there from now on."""
        ...

    def claim_deliveries(self, ids: Sequence[int], *, until: datetime) -> list[Delivery]:
        """Take those that are due. Lapses make suspect, and suspect ones are claimed alone, as `Ledger.claim` says."""
        ...

    def waiting_deliveries(self, ids: Sequence[int]) -> list[OutboxRef]:
        """Those of these that are due and held for no handler, the most urgent first."""
        ...

    def waiting_runs(self, ids: Sequence[int]) -> list[OutboxRef]:
        """Those of these that are due, the most urgent first."""
        ...

    def give_back(
        self, claims: Sequence[Delivery | WorkflowRun], *, due_at: datetime, error: Exception | None = None
    ) -> None:
        """Let claims go that were not settled: uncounted, without a step in the trail. `error` is shown meanwhile."""
        ...

    def renew(self, claims: Sequence[Delivery | WorkflowRun], *, until: datetime) -> None:
        """Hold claims longer. One that somebody else has by now stays with them."""
        ...

    def hold(self, ids: Sequence[int], error: Exception) -> int:
        """Let those of these that wait go on waiting until `unhold`: their handler is disabled, or not there.

        How many; `error` says why.
        """
        ...

    def held_for(self) -> set[str]:
        """The handlers that deliveries are held for."""
        ...

    def unhold(self, handlers: Iterable[str], *, limit: int) -> list[OutboxRef]:
        """So many of the deliveries that are held for these handlers are due now; to be queued."""
        ...

    def waiting_for(self, handler: str) -> int:
        """How many deliveries wait for it, held or not."""
        ...

    def enter_delivery(self, delivery: Delivery, stage: str | None) -> bool:
        """Say that the worker enters a handler with a suspect delivery, or has left it (None).

        False where the claim is no longer ours.
        """
        ...

    def delivered(self, delivery: Delivery, detail: Mapping[str, object]) -> bool:
        """False where the claim lapsed."""
        ...

    def delivery_retry(
        self, delivery: Delivery, error: Exception, *, due_at: datetime, counts: bool = True
    ) -> None: ...

    def delivery_dead(self, delivery: Delivery, error: Exception) -> None: ...

    def deliveries(
        self,
        *,
        state: DeliveryState | None = None,
        handler: str | None = None,
        event_id: UUID | None = None,
        before_id: int | None = None,
        limit: int = 50,
    ) -> list[Delivery]: ...

    def delivery(self, delivery_id: int) -> Delivery:
        """Raises NotFoundError."""
        ...

    def retry_deliveries(self, ids: Sequence[int]) -> list[int]:
        """Dead or waiting ones become due now, attempts anew; the ids that changed."""
        ...

    def replay(self, event_id: UUID, handlers: Sequence[str], *, archive_key: str) -> list[int]:
        """A new round of deliveries of an event, whose document is now this one; their ids."""
        ...

    def claim_run(self, run_id: int, *, until: datetime) -> WorkflowRun | None: ...

    def enter_run(self, run: WorkflowRun, stage: str | None) -> bool:
        """Say that the worker enters a step of a suspect run, or has left it (None)."""
        ...

    def step_done(self, run: WorkflowRun, output: Mapping[str, object]) -> WorkflowRun | None:
        """Record the step's output and stand at the next, still claimed; ends the run after the last.

        The answer is the run as it now stands; None where the claim lapsed.
        """
        ...

    def step_retry(self, run: WorkflowRun, error: Exception, *, due_at: datetime, counts: bool = True) -> None: ...

    def run_failed(self, run: WorkflowRun, error: Exception) -> None: ...

    def runs(
        self,
        *,
        state: RunState | None = None,
        workflow: str | None = None,
        event_id: UUID | None = None,
        before_id: int | None = None,
        limit: int = 50,
    ) -> list[WorkflowRun]: ...

    def run(self, run_id: int) -> WorkflowRun:
        """Raises NotFoundError."""
        ...

    def retry_runs(self, ids: Sequence[int]) -> list[int]:
        """Failed runs become due now at the step where they failed; the ids that changed."""
        ...

    def stale(self, *, queued_before: datetime, limit: int) -> Queued:
        """Due deliveries and runs that were last queued before then; marks them as queued now."""
        ...


class Holdings(Protocol):
    """Something that workers hold, each under the name of its incarnation (`model.worker.Incarnation`)."""

    def holders(self, prefix: str) -> set[str]:
        """The names that hold something, of those that begin so."""
        ...

    def release(self, holder: str) -> int:
        """Free all that a dead worker holds, as if its leases had lapsed; how much. In batches."""
        ...


class Lists(Protocol):
    """What people page through, the newest first. Every question ends within a moment, however many rows there are."""

    def messages(self, wanted: MessagesWanted, view: View = ...) -> Listing[Message]: ...

    def events(self, wanted: EventsWanted, view: View = ...) -> Listing[EventRow]: ...

    def deliveries(self, wanted: DeliveriesWanted, view: View = ...) -> Listing[ListedDelivery]: ...

    def runs(self, wanted: RunsWanted, view: View = ...) -> Listing[ListedRun]: ...

    def amount(self, wanted: MessagesWanted, *, most: int) -> int:
        """How many messages are like that; counting ends at `most`."""
        ...

    def with_content(self, sha256: str, *, limit: int = 50) -> list[Message]:
        """Messages of these octets, wherever they lie."""
        ...

    def quarantined(self, *, most: int = ...) -> tuple[list[Reason], bool]:
        """Quarantined messages by cause, the most frequent first; and whether only the newest `most` were counted."""
        ...

    def folders(self, account: str | None = None) -> list[str]:
        """Folders that were ever read, an account's or all."""
        ...

    def rule_hits(self, *, steps: int = ...) -> Lately:
        """Which rules matched of the mails judged lately: as far as so many of all trails' newest steps tell."""
        ...


class Rulebook(Protocol):
    """Rules, handlers and workflows, as an operator wrote them."""

    def rules(self) -> list[Rule]:
        """In order of position, then name."""
        ...

    def save_rule(self, rule: Rule) -> Rule:
        """Add, or change the one of that name."""
        ...

    def rename_rule(self, name: str, new: str) -> None:
        """All else stays. Raises NotFoundError, and ExistsError where the new name is taken."""
        ...

    def place_rules(self, positions: Mapping[str, int]) -> None:
        """Give these rules these positions, all or none. Raises NotFoundError where one is gone."""
        ...

    def remove_rule(self, name: str) -> None: ...

    def handlers(self) -> list[HandlerSpec]: ...

    def save_handler(self, handler: HandlerSpec) -> HandlerSpec: ...

    def remove_handler(self, name: str) -> None: ...

    def workflows(self) -> list[WorkflowSpec]: ...

    def save_workflow(self, workflow: WorkflowSpec) -> WorkflowSpec: ...

    def remove_workflow(self, name: str) -> None: ...


# ── the hints ────────────────────────────────────────────────────────────────────────────────────────────────────────


# The three queues, by the names that people type. Polling and delivering wait, each for others; processing works.
POLL_QUEUE: Final = "email-poll"
MAIL_QUEUE: Final = "email"
DELIVER_QUEUE: Final = "email-deliver"


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisMemory:
    """Octets that Redis uses, and that it may use (0: as much as there is)."""

    used: int
    limit: int


class Queue(Protocol):
    """Tells workers that work waits. Ids only; losing one delays work and loses none."""

    def poll(self, account_id: int, *, forced: bool = False) -> None:
        """At once, as far as the queue goes; `forced` whatever the account's back-off says. Raises QueueDownError."""
        ...

    def backfill(self, account_id: int) -> None:
        """A slice of its old mail, behind everything else."""
        ...

    def reconcile(self, account_id: int) -> None: ...

    def process(self, messages: Iterable[MessageRef]) -> None:
        """In chunks; high-priority ones alone and first, big ones alone."""
        ...

    def deliver(self, deliveries: Iterable[OutboxRef]) -> None:
        """In chunks, each of one handler; high-priority ones first, suspect ones alone."""
        ...

    def advance(self, runs: Iterable[OutboxRef]) -> None:
        """Like `deliver`, each chunk of one workflow."""
        ...

    def depth(self) -> dict[str, int]:
        """Messages waiting, by queue name; `unacked` are those in workers' hands. Raises QueueDownError."""
        ...

    def memory(self) -> RedisMemory:
        """Raises QueueDownError."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledPoll:
    """One account's entry in the schedule."""

    account_id: int
    interval: int  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncStats:
    """What a sync changed (P2)."""

    added: int
    removed: int
    updated: int
    total: int


class Schedule(Protocol):
    """What Beat fires. Entries are a copy of the accounts; `replace` makes the copy true again."""

    def replace(self, polls: Sequence[ScheduledPoll]) -> SyncStats:
        """Make the schedule equal to these. Doing it twice changes nothing. Raises QueueDownError."""
        ...


# ── the daemons ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Supervisor(Protocol):
    """Who starts and stops daemons on this host: systemd or supervisord. It does as it is told; `manager` allows.

    Daemons are named as in `model.daemon`. Each call waits until the move is over for every daemon named, and ends
    within its time-out. All raise SupervisorDownError where nobody answers, SupervisorRefusedError where we may
    not, and UnknownDaemonError for a daemon that the supervisor does not have.
    """

    @property
    def kind(self) -> str:
        """`systemd` or `supervisord`."""
        ...

    def states(self, names: Sequence[str]) -> list[DaemonState]:
        """One for each name, in that order; ABSENT where there is no such daemon."""
        ...

    def start(self, names: Sequence[str], *, timeout: float) -> None:
        """Until all run. Starting what runs changes nothing. Raises DaemonFailedError with the last log lines."""
        ...

    def stop(self, names: Sequence[str], *, timeout: float) -> None:
        """Until none has a process left: warm, running tasks get their time. Raises DaemonFailedError."""
        ...

    def restart(self, names: Sequence[str], *, timeout: float) -> None:
        """Until all run again, stopped ones too. Raises DaemonFailedError."""
        ...

    def log_tail(self, name: str, lines: int) -> list[str]:
        """The last lines that the daemon wrote, oldest first."""
        ...

    def adopt(self, instances: Sequence[str]) -> None:
        """Take note that the workers are these, whose files are there: from then on a new one can be moved.

        One whose file is gone is known no more. Raises DaemonFailedError where it could not be done.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPulse:
    """What a worker says of itself every few seconds."""

    instance: str  # poll
    node: str  # poll@host
    at: datetime
    started_at: datetime
    tasks: int  # since it started, canaries left out
    memory: int  # octets, its pool processes included
    consumed_at: datetime | None  # when a canary last came back to it
    limits: WorkerLimits | None = None  # what it runs with; None where it does not say


class Pulse(Protocol):
    """Proof that daemons work, not only live. All raise QueueDownError."""

    def workers(self) -> list[WorkerPulse]:
        """Those that spoke within the last two minutes, on any host."""
        ...

    def last_tick(self) -> datetime | None:
        """When the leading Beat last looked at its schedule."""
        ...

    def last_send(self) -> datetime | None:
        """When the leading Beat last had sent all that was due; None where none has said so yet."""
        ...

    def send_canary(self, queue: str) -> str:
        """A task that does nothing but come back, on a queue; its token."""
        ...

    def returned(self, token: str) -> str | None:
        """The node that ran the canary; None as long as none did."""
        ...


class Audit(Protocol):
    """Who asked for what, and what became of it. Rows are added, never changed, and each is tied to the one before."""

    def add(self, entry: AuditEntry) -> AuditEntry:
        """The row as it is kept, with its number and hash. Writers take turns, whatever process they are in."""
        ...

    def entries(self, narrowed: AuditFilter = EVERYTHING) -> list[AuditEntry]:
        """A page, the newest first."""
        ...

    def stream(self, narrowed: AuditFilter = EVERYTHING) -> Iterator[AuditEntry]:
        """All that fit, the oldest first, whatever the filter's limit; as many at once as are needed."""
        ...

    def verify(self, *, noted: AuditMark | None = None) -> AuditVerdict:
        """Look at every row. `noted` is a row's number and hash that was written down elsewhere."""
        ...


# ── the numbers ──────────────────────────────────────────────────────────────────────────────────────────────────────


class Tally(Protocol):
    """What the tables say, by the names of `model.number`. Costs little, however many messages are done."""

    def happened(self, since: datetime, until: datetime) -> dict[str, float]:
        """What was done within a span, and how long mail took; what did not happen may be missing."""
        ...

    def standing(self) -> dict[str, float]:
        """How many wait or have failed now, and for how long."""
        ...

    def totals(self) -> dict[str, float]:
        """How many rows stand where. The one dear question: it counts all of them."""
        ...


class Numbers(Protocol):
    """The series of `model.number`, kept by minute for a month and by hour for a year."""

    def record(self, minute: datetime, values: Mapping[str, float]) -> None:
        """Keep a minute, in place of what was kept of it before, and make its hour anew."""
        ...

    def last(self) -> datetime | None:
        """The newest minute that was counted."""
        ...

    def read(self, names: Sequence[str], *, since: datetime, until: datetime, step: int) -> Readings:
        """A point for every `step` seconds (60, or a multiple that fits hours). Raises KeyError for an unknown name."""
        ...

    def latest(self, names: Sequence[str], *, within: timedelta = timedelta(0)) -> Latest:
        """What the newest look found; or, of what is measured more rarely, the newest value `within` that time."""
        ...

    def prune(self, now: datetime) -> int:
        """Forget what is older than it is kept; how many values that were."""
        ...


# ── secrets and handlers ─────────────────────────────────────────────────────────────────────────────────────────────


class Vault(Protocol):
    """Opens and closes stored secrets. The key is never where the secrets are."""

    def seal(self, plain: str, where: Binding = b"") -> bytes:
        """For one place alone; without any, for what is never kept."""
        ...

    def unseal(self, sealed: bytes, where: Binding = b"") -> str:
        """Raises SecretKeyError, SecretMovedError where it was sealed for another place."""
        ...

    def reseal(self, sealed: bytes, where: Binding = b"") -> bytes:
        """Return the secret sealed with the newest key, bound to its place."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Consignment:
    """What a handler is given: the event document and what identifies this delivery, the same at every try."""

    id: str  # stable: receivers de-duplicate by it
    event: Mapping[str, Any]
    document: bytes = field(repr=False)  # the event, serialised; the same octets at every try
    attempt: int = 1


class OAuthClients(Protocol):
    """Applications that the operator registered with OAuth2 providers."""

    def all(self) -> list[OAuthClient]:
        """By name."""
        ...

    def get(self, client: int | str) -> OAuthClient:
        """By id or name. Raises NotFoundError."""
        ...

    def save(self, client: OAuthClient) -> OAuthClient:
        """Add, or change the one of that name."""
        ...

    def remove(self, name: str) -> None:
        """Raises NotFoundError; ConflictError where an account logs in with it."""
        ...


class OAuthGrants(Protocol):
    """What accounts were granted, and consents under way."""

    def get(self, account_id: int) -> OAuthGrant | None: ...

    def keep(self, grant: OAuthGrant) -> None:
        """A new consent, in place of what was there; a refused login is worth another try."""
        ...

    def hold(self, account_id: int, *, until: datetime) -> bool:
        """The right to fetch a token for it, if nobody has it."""
        ...

    def renewed(self, grant: OAuthGrant) -> None:
        """Its tokens are new. Whoever held it holds it no more; a consent given meanwhile is not touched."""
        ...

    def refused(self, grant: OAuthGrant, *, code: str, error: str) -> bool:
        """The provider refused to renew it; whether that is the first time since it last worked. Held no more."""
        ...

    def release(self, account_id: int) -> None:
        """Hold it no more."""
        ...

    def expiring(self, before: datetime) -> list[int]:
        """Enabled accounts whose token expires before then, and those refused lately not among them."""
        ...

    def ask(self, request: OAuthRequest) -> None:
        """Remember a consent under way, and forget those that are over."""
        ...

    def answered(self, state: bytes, *, user_id: int | None) -> OAuthRequest | None:
        """The consent under way that this user's browser was sent for; once only."""
        ...


class SignIns(Protocol):
    """Speaks with OAuth2 providers. Secrets and tokens are opened here.

    All raise ProviderDownError where there is no usable answer, MailboxForbiddenError where a provider's address must
    not be called, and TokenRefusedError where the provider says no.
    """

    def depart(self, client: OAuthClient, *, redirect_uri: str, hint: str) -> Departure:
        """Where to send the browser; `hint` is the mailbox that is meant."""
        ...

    def arrive(self, client: OAuthClient, secret: str, request: OAuthRequest, *, code: str, verifier: str) -> Tokens:
        """What the code that the browser brought back is good for. Raises ConsentFailedError, too."""
        ...

    def refresh(self, client: OAuthClient, secret: str, refresh_token: str) -> Tokens: ...

    def app_only(self, client: OAuthClient, secret: str) -> Tokens:
        """By the application's own right."""
        ...


class Handler(Protocol):
    """Takes events somewhere. May be called twice for one event: `Consignment.id` tells."""

    def deliver(self, consignment: Consignment) -> Mapping[str, object]:
        """Facts worth keeping, never secrets. HandlerError: offer it again; HandlerRefusedError: give up."""
        ...


class StepHandler(Protocol):
    """Carries out one step of a workflow. May be called twice for one step: `key` tells."""

    def run(
        self,
        event: Mapping[str, Any],
        outputs: Mapping[str, Mapping[str, Any]],
        options: Mapping[str, Any],
        *,
        key: str,
    ) -> Mapping[str, object]:
        """The step's output, for later steps and people. `outputs` has those of earlier steps by name.

        HandlerError: try again; HandlerRefusedError: the run fails.
        """
        ...


class Steps(Protocol):
    """Finds the code for a kind of step."""

    def get(self, kind: str) -> StepHandler:
        """Raises HandlerRefusedError for an unknown kind."""
        ...


RetryDelay = Callable[[int], timedelta]
"""How long to wait after so many failed attempts."""
