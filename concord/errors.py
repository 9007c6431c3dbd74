"""Every failure Concord can name. The family is the retry policy; code and facts say what happened.

An error has no sentence and no remedy: each surface makes its own, from `concord.wording`, by the error's situation.
Secrets are never facts.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from concord.wording import english

Kind = TypeVar("Kind", bound="ConcordError")


class ConcordError(Exception):
    """Root of the tree.

    `detail` is a short stable word that tells the situations of one class apart, none where there is only one.
    Keyword arguments are facts, which JSON can say.
    """

    retry_after: float | None = None  # seconds for which the other side wants to be left alone
    busy: bool = False  # all places are taken: nobody is to blame, so no attempt counts

    def __init__(self, detail: str = "", /, **facts: Any) -> None:
        super().__init__(detail)
        self.detail = detail
        self.facts = _plain(facts)
        self._situation = f"{self.code}.{detail}" if detail else self.code

    @property
    def code(self) -> str:
        """A stable word for this class, for logs, tables and `--json`: `mailbox_denied`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__.removesuffix("Error")).lower()

    @property
    def situation(self) -> str:
        """What happened, in words that tables of sentences and remedies are keyed by: `mailbox_denied.login`."""
        return self._situation

    def add(self, **facts: Any) -> None:
        """Add facts that only a caller knows; those that are there stay."""
        self.facts = _plain(facts) | self.facts

    def recast(self, kind: type[Kind], **facts: Any) -> Kind:
        """Return this situation as an error of another family, with more facts."""
        made = kind(self.detail, **{**facts, **self.facts})
        made._situation = self._situation  # noqa: SLF001 - of the same class
        return made

    def is_like(self, other: ConcordError) -> bool:
        """Whether it says the same."""
        return (self.situation, self.facts) == (other.situation, other.facts)

    def __str__(self) -> str:
        """The English sentence, for tracebacks."""
        return english.sentence(self)


def _plain(facts: Mapping[str, object]) -> dict[str, object]:
    """Facts as JSON can say them; what is not known is no fact."""
    return {name: _fact(value) for name, value in facts.items() if value is not None}


def _fact(value: object) -> object:
    if isinstance(value, str) or (isinstance(value, float) and not math.isfinite(value)):
        return str(value)
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, ConcordError):
        return {"code": value.situation, "facts": value.facts}
    if isinstance(value, Mapping):
        return {str(name): _fact(one) for name, one in value.items()}
    return [_fact(one) for one in value] if isinstance(value, list | tuple | set | frozenset) else str(value)


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The likeliest word that was meant; None where none is near."""
    return next(iter(difflib.get_close_matches(word, sorted(known), n=1)), None)


class TransientError(ConcordError):
    """Try again later; the work stays where it is. Counts as an attempt."""


class PermanentError(ConcordError):
    """Trying again cannot help; park the work and tell an operator."""


class InfrastructureError(TransientError):
    """Our own database, Redis or archive is away: wait, and blame no mail for it."""


# What a person typed or configured.


class UsageError(PermanentError):
    """What was asked for cannot be done as written."""


class SettingsError(UsageError):
    """A setting is missing, misspelt or out of range."""


class NotFoundError(UsageError):
    """There is nothing of that name or number."""


class ExistsError(UsageError):
    """There is one of that name already."""


class ConflictError(UsageError):
    """Somebody else changed it meanwhile, or its present state forbids this."""


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing wrong in a form or document, and where: `("match", "from", 1)` is the second pattern for senders."""

    path: tuple[str | int, ...]
    error: UsageError


class MistakesError(UsageError):
    """A form or document has mistakes: all of them, so that a person can mend them in one go."""

    def __init__(self, detail: str = "", /, *, mistakes: tuple[Mistake, ...], **facts: Any) -> None:
        super().__init__(detail, **facts)
        self.mistakes = mistakes


# Who may.


class SignInRefusedError(PermanentError):
    """The name or the password is wrong, or the user may not sign in."""


class TooManyAttemptsError(TransientError):
    """Somebody guesses, or seems to: attempts must wait. `seconds` says how long."""

    def __init__(self, detail: str = "", /, *, seconds: int | None = None, **facts: Any) -> None:
        super().__init__(detail, seconds=seconds, **facts)
        self.seconds = seconds


class PasswordsBusyError(TransientError):
    """So many passwords are being checked that another would hold up the service. `seconds` says when to come back."""

    def __init__(self, detail: str = "", /, *, seconds: int | None = None, **facts: Any) -> None:
        super().__init__(detail, seconds=seconds, **facts)
        self.seconds = seconds


class ProofNeededError(PermanentError):
    """A sensitive action needs the user's password again: the session has not given it in the last minutes."""


class ConsentFailedError(UsageError):
    """A sign-in at an OAuth2 provider did not end with access to the mailbox."""


class ForbiddenError(PermanentError):
    """The role of the user, or the scope of the token, does not allow this."""


# Secrets. (SecretKeyError is infrastructure.)


class KeyNotSharedError(TransientError):
    """Daemons that run cannot open secrets with the new key yet, so nothing may be sealed with it."""


# Looking things up.


class LookupFailedError(TransientError):
    """A question about a mail address's server was not answered."""


# The audit.


class AuditBrokenError(PermanentError):
    """The audit is not as Concord wrote it."""


# Infrastructure.


class SecretKeyError(InfrastructureError):
    """The key that opens stored secrets is missing, malformed, or the wrong one.

    A daemon does not start without the key. While a daemon works, whatever needs the key waits.
    """


class SecretMovedError(SecretKeyError):
    """A key seals this secret for another place: the database was changed without Concord."""


class DatabaseDownError(InfrastructureError):
    """The database did not answer."""


class SchemaError(UsageError):
    """The database schema is not the one this version needs."""


class ArchiveDownError(InfrastructureError):
    """The archive could not be read or written."""


class WrongArchiveError(ArchiveDownError):
    """The archive is not the one that this database uses, so nothing is read from it or written to it."""


class ArchiveLossError(InfrastructureError):
    """One object of the archive cannot be had. Never the mail's fault: what needs the object waits for it."""


class ArchiveDamagedError(ArchiveLossError):
    """Stored bytes are not the bytes that were written."""


class ArchiveMissingError(ArchiveLossError):
    """An object that should be in the archive is not there."""


class SpoolDownError(InfrastructureError):
    """The directory where big mails are put together cannot be written."""


class QueueDownError(InfrastructureError):
    """Redis did not answer."""


# Daemons.


class SupervisorDownError(InfrastructureError):
    """Neither systemd nor supervisord answered."""


class SupervisorRefusedError(PermanentError):
    """The supervisor says that we may not do this."""


class UnknownDaemonError(UsageError):
    """Not one of Concord's daemons, or not something that may be asked of one."""


class DaemonFailedError(TransientError):
    """A daemon did not do what it was asked; its last log lines stand in `log`."""

    def __init__(self, detail: str = "", /, *, log: tuple[str, ...] = (), **facts: Any) -> None:
        super().__init__(detail, **facts)
        self.log = log


class NotSyncedError(TransientError):
    """The daemons run; their schedule is not equal to the accounts yet."""


class CannotListenError(PermanentError):
    """A daemon cannot have its address or its port."""


class NotConsumingError(DaemonFailedError):
    """A daemon runs and does not work: no task comes back from it, or it does not tick."""


# Mailboxes. One class for each typed account state (A5).


class MailboxError(ConcordError):
    """Something about one account's mailbox."""

    folder: str | None = None  # the one that it is about, where it is about one
    kept: int = 0  # octets of a message that came before the trouble, and are kept

    def __init__(
        self, detail: str = "", /, *, folder: str | None = None, retry_after: float | None = None, **facts: Any
    ) -> None:
        super().__init__(detail, folder=folder, retry_after=retry_after, **facts)
        self.folder = folder
        self.retry_after = retry_after


class MailboxDownError(MailboxError, TransientError):
    """The IMAP server did not answer, or hung up halfway."""


class MailboxDnsError(MailboxDownError):
    """The IMAP server's name has no address."""


class MailboxForbiddenError(MailboxError, PermanentError):
    """The account's host leads to an address that Concord must not call."""


class MailboxTlsError(MailboxError, TransientError):
    """No trusted TLS connection to the IMAP server could be made."""


class MailboxDeniedError(MailboxError, PermanentError):
    """The IMAP server refused the login."""


class MailboxSecretError(MailboxDeniedError):
    """A mailbox's stored password or token was sealed for another server, or for another mailbox."""


class TokenRefusedError(MailboxDeniedError):
    """There is no OAuth2 token for the account: nobody has signed in, or the provider takes that back."""


class ProviderDownError(MailboxDownError):
    """The OAuth2 provider did not answer, or not in a way that can be understood."""


class MailboxThrottledError(MailboxError, TransientError):
    """The IMAP server asks us to come back later."""


class MailboxFolderError(MailboxError, PermanentError):
    """A configured folder is not on the server, or may not be opened."""


class FolderRenumberedError(MailboxError, TransientError):
    """The folder has another UIDVALIDITY than its UIDs were read under: they name other messages now, or none."""


class MoveUnfinishedError(MailboxError, TransientError):
    """Messages are copied to their folder, and the originals could not be deleted. `uids` says which."""

    def __init__(self, detail: str = "", /, *, uids: tuple[int, ...], **facts: Any) -> None:
        super().__init__(detail, **facts)
        self.uids = uids


class MailboxServerError(MailboxError, TransientError):
    """The IMAP server refuses a command that it should carry out, or reports a fault of its own."""


class MailboxQuotaError(MailboxError, TransientError):
    """The mailbox is over its quota, so the server refuses changes."""


class MailboxProtocolError(MailboxError, TransientError):
    """The IMAP server answered something that is not IMAP, or not the answer to what was asked."""


class MailboxBudgetError(MailboxError, TransientError):
    """All connections allowed to this host or login are in use."""


class PollBudgetError(MailboxError, TransientError):
    """The poll's wall-clock budget is used up; it goes on next time."""


class MessageUnreadableError(MailboxError, TransientError):
    """The server lists a message and will not hand it over whole."""


class MessageEndsSessionError(MessageUnreadableError):
    """The session ends whenever the server is asked for this message: it hangs, or the server hangs up."""


class SessionLostError(MailboxError, TransientError):
    """The session ended while messages were fetched. Concord remembers the place and reads on carefully there."""


class PollFaultError(MailboxError, TransientError):
    """Something in Concord failed that should not: a defect, and not the mailbox's fault."""


class AfterSizeError(PermanentError):
    """The message on the server is not the one that was archived, so it is neither moved nor deleted."""


class AfterNotArchivedError(TransientError):
    """The archive lacks the message, so it is neither moved nor deleted on the server."""


class MessageGoneError(MailboxError, PermanentError):
    """The message was removed from the server before it could be read."""


# Deliveries and workflows.


class HandlerError(TransientError):
    """A handler did not take the event; it will be offered again."""

    def __init__(
        self, detail: str = "", /, *, busy: bool = False, retry_after: float | None = None, **facts: Any
    ) -> None:
        super().__init__(detail, busy=busy or None, retry_after=retry_after, **facts)
        self.busy = busy
        self.retry_after = retry_after


class HandlerTimeLimitError(HandlerError):
    """A handler or a step did not come back within dispatch.handler_time_limit."""


class BrokerCrowdedError(HandlerError):
    """Concord's own Redis is so full that handlers must write no more into it."""


class HandlerDisabledError(PermanentError):
    """A handler is disabled: what is for it waits, and goes on when it is enabled."""


class HandlerMissingError(PermanentError):
    """No handler of that name is configured: what is for it waits until there is one."""


class HandlerRefusedError(PermanentError):
    """A handler will never take this event as things stand."""


class AddressForbiddenError(HandlerRefusedError):
    """An address that Concord must not be made to call: private, local or reserved."""
