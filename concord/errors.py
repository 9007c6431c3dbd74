"""Every failure Concord can name. The family is the retry policy; the sentence is for a person.

An error says three things: what went wrong (a constant sentence), about what (fields), and what to do (a remedy).
Secrets are never fields.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar


class ConcordError(Exception):
    """Root of the tree. Keyword arguments become log fields, never part of the sentence."""

    remedy: ClassVar[str] = ""

    def __init__(self, message: str, *, remedy: str | None = None, **fields: object) -> None:
        super().__init__(message)
        self.message = message
        self.fields = fields
        self.advice = self.remedy if remedy is None else remedy

    @property
    def code(self) -> str:
        """A stable word for this situation, for logs, tables and `--json`: `mailbox_denied`."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__.removesuffix("Error")).lower()

    def explain(self) -> str:
        """The whole story in one line: sentence, facts, remedy."""
        facts = ", ".join(f"{name}={value}" for name, value in self.fields.items() if value not in (None, ""))
        told = f"{self.message} ({facts})" if facts else self.message
        return f"{told}. {self.advice}" if self.advice else told


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The likeliest word that was meant, as a remedy's sentence; empty where none is near."""
    near = difflib.get_close_matches(word, sorted(known), n=1)
    return f"Did you mean '{near[0]}'?" if near else ""


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

    remedy = "Correct it and run 'concord config check'"


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

    remedy = "Correct what is marked"

    def __init__(
        self, message: str, *, mistakes: tuple[Mistake, ...], remedy: str | None = None, **fields: object
    ) -> None:
        super().__init__(message, remedy=remedy, **fields)
        self.mistakes = mistakes


# Who may.


class SignInRefusedError(PermanentError):
    """The name or the password is wrong, or the user may not sign in."""

    remedy = "Try again; an admin can give a new password with 'concord user password NAME'"


class TooManyAttemptsError(TransientError):
    """Somebody guesses, or seems to: attempts must wait. `seconds` says how long."""

    remedy = "Wait that long, then try again"


class PasswordsBusyError(TransientError):
    """So many passwords are being checked that another would hold up the service. `seconds` says when to come back."""

    remedy = "Try again in a moment"


class ProofNeededError(PermanentError):
    """A sensitive action needs the user's password again: the session has not given it in the last minutes."""

    remedy = "Type your own password with it; through the API use a token, or sign in again"


class ConsentFailedError(UsageError):
    """A sign-in at an OAuth2 provider did not end with access to the mailbox."""

    remedy = "Sign in again at /admin/settings"


class ForbiddenError(PermanentError):
    """The role of the user, or the scope of the token, does not allow this."""

    remedy = "Ask an admin for the role, or for a token with the scope, that it needs"


# Secrets. (SecretKeyError is infrastructure.)


class KeyNotSharedError(TransientError):
    """Daemons that run cannot open secrets with the new key yet, so nothing may be sealed with it."""

    remedy = (
        "See their log and 'concord secrets status'; once they can, or are stopped, run 'concord secrets rotate' "
        "again: it goes on where it stopped"
    )


# Looking things up.


class LookupFailedError(TransientError):
    """A question about a mail address's server was not answered."""

    remedy = "Check this machine's DNS and network, or type host and port yourself"


# The audit.


class AuditBrokenError(PermanentError):
    """The audit is not as Concord wrote it."""

    remedy = (
        "Compare it with an earlier export, or with the journal (event audit.written), and find out who can write to "
        "the database"
    )


# Infrastructure.


class SecretKeyError(InfrastructureError):
    """The key that opens stored secrets is missing, malformed, or the wrong one.

    A daemon does not start without the key. While a daemon works, whatever needs the key waits.
    """

    remedy = "Put the key in the credential file 'secret_key'; 'concord secrets init' makes a new one"


class DatabaseDownError(InfrastructureError):
    """The database did not answer."""

    remedy = "Check that the database runs and that database.url is right; work goes on by itself once it answers"


class SchemaError(UsageError):
    """The database schema is not the one this version needs."""

    remedy = "Run 'concord db upgrade'"


class ArchiveDownError(InfrastructureError):
    """The archive could not be read or written."""

    remedy = "Check the archive's disk or bucket; polling goes on by itself once it answers"


class WrongArchiveError(ArchiveDownError):
    """The archive is not the one that this database uses, so nothing is read from it or written to it."""

    remedy = (
        "Mount the disk that holds archive.path, or correct archive.path, archive.s3.bucket and archive.s3.prefix; "
        "if this is the right archive, say so with 'concord archive adopt'"
    )


class ArchiveLossError(InfrastructureError):
    """One object of the archive cannot be had. Never the mail's fault: what needs the object waits for it."""

    remedy = (
        "Concord asks the mail server for the message again at the next poll; where the server has it no more, restore "
        "the object from a backup of the archive, and work goes on by itself"
    )


class ArchiveDamagedError(ArchiveLossError):
    """Stored bytes are not the bytes that were written."""


class ArchiveMissingError(ArchiveLossError):
    """An object that should be in the archive is not there."""


class SpoolDownError(InfrastructureError):
    """The directory where big mails are put together cannot be written."""

    remedy = (
        "Free some space there, and give the directory poll.spool_directory to Concord's user; polling goes on by "
        "itself afterwards"
    )


class QueueDownError(InfrastructureError):
    """Redis did not answer."""

    remedy = "Check that Redis runs and that redis.url is right; the sweep queues again whatever was not queued"


# Daemons.


class SupervisorDownError(InfrastructureError):
    """Neither systemd nor supervisord answered."""

    remedy = "Check that systemd's D-Bus (/run/dbus/system_bus_socket) or supervisord is there"


class SupervisorRefusedError(PermanentError):
    """The supervisor says that we may not do this."""

    remedy = "Run it as root, or as the user 'concord', whom the installed polkit rule allows Concord's own daemons"


class UnknownDaemonError(UsageError):
    """Not one of Concord's daemons, or not something that may be asked of one."""


class DaemonFailedError(TransientError):
    """A daemon did not do what it was asked; its last log lines stand in `log`."""

    def __init__(self, message: str, *, log: tuple[str, ...] = (), remedy: str | None = None, **fields: object) -> None:
        super().__init__(message, remedy=remedy, **fields)
        self.log = log


class NotSyncedError(TransientError):
    """The daemons run; their schedule is not equal to the accounts yet."""

    remedy = "Mend that; the schedule follows by itself within minutes, or at once with 'concord sync-email-tasks'"


class CannotListenError(PermanentError):
    """A daemon cannot have its address or its port."""


class NotConsumingError(DaemonFailedError):
    """A daemon runs and does not work: no task comes back from it, or it does not tick."""

    remedy = "See 'concord service logs'; check that Redis runs and that redis.url is right"


# Mailboxes. One class for each typed account state (A5).


class MailboxError(ConcordError):
    """Something about one account's mailbox."""


class MailboxDownError(MailboxError, TransientError):
    """The IMAP server did not answer, or hung up halfway."""

    remedy = "Check the host, the port and the network; Concord keeps trying, ever more slowly"


class MailboxDnsError(MailboxDownError):
    """The IMAP server's name has no address."""

    remedy = "Check the spelling of the host name and this machine's DNS"


class MailboxForbiddenError(MailboxError, PermanentError):
    """The account's host leads to an address that Concord must not call."""

    remedy = (
        "Correct the host name; if a mail server really is at that address, list its network in poll.allow_networks"
    )


class MailboxTlsError(MailboxError, TransientError):
    """No trusted TLS connection to the IMAP server could be made."""

    remedy = (
        "If the server uses its own certificate authority, give its file as the account's CA file (--ca-file); "
        "otherwise the certificate is expired, for another name, or not to be trusted"
    )


class MailboxDeniedError(MailboxError, PermanentError):
    """The IMAP server refused the login."""

    remedy = (
        "Check user and password (many providers want an app password), then give the right one on the mailbox's page "
        "or with 'concord account edit NAME --password-stdin'; until then Concord tries rarely, so that nobody is "
        "locked out"
    )


class TokenRefusedError(MailboxDeniedError):
    """There is no OAuth2 token for the account: nobody has signed in, or the provider takes that back."""

    remedy = "Sign in again at /admin/settings, or with 'concord oauth login NAME'"


class ProviderDownError(MailboxDownError):
    """The OAuth2 provider did not answer, or not in a way that can be understood."""

    remedy = "Check this machine's network, DNS and clock, and the provider's status page; Concord keeps trying"


class MailboxThrottledError(MailboxError, TransientError):
    """The IMAP server asks us to come back later."""

    remedy = "Concord waits as long as asked; fewer connections or a longer interval help if it lasts"


class MailboxFolderError(MailboxError, PermanentError):
    """A configured folder is not on the server, or may not be opened."""

    remedy = (
        "'Test' on the mailbox's page, or 'concord account test NAME', lists the folders there are; correct the names "
        "there, or with 'concord account edit NAME --folder …'"
    )


class FolderRenumberedError(MailboxError, TransientError):
    """The folder has another UIDVALIDITY than its UIDs were read under: they name other messages now, or none."""

    remedy = "Nothing to do: the next poll reads the folder again and recognises known messages by their content"


class MoveUnfinishedError(MailboxError, TransientError):
    """Messages are copied to their folder, and the originals could not be deleted. `uids` says which."""

    remedy = "Concord deletes the originals later and does not copy them again; check the mailbox's permissions"

    def __init__(self, message: str, *, uids: tuple[int, ...], remedy: str | None = None, **fields: object) -> None:
        super().__init__(message, remedy=remedy, **fields)
        self.uids = uids


class MailboxServerError(MailboxError, TransientError):
    """The IMAP server refuses a command that it should carry out, or reports a fault of its own."""

    remedy = (
        "Look into the mail server's log, or ask its administrator; a folder may be damaged there. Concord keeps trying"
    )


class MailboxQuotaError(MailboxError, TransientError):
    """The mailbox is over its quota, so the server refuses changes."""

    remedy = "Free some space in the mailbox"


class MailboxProtocolError(MailboxError, TransientError):
    """The IMAP server answered something that is not IMAP, or not the answer to what was asked."""

    remedy = (
        "Check that host and port are an IMAP server's and that the kind of TLS fits the port "
        "(993 implicit, 143 starttls)"
    )


class MailboxBudgetError(MailboxError, TransientError):
    """All connections allowed to this host or login are in use."""

    remedy = "It will be polled when a connection is free; raise poll.connections_per_login if it lasts"


class PollBudgetError(MailboxError, TransientError):
    """The poll's wall-clock budget is used up; it goes on next time."""

    remedy = "Nothing to do: the next poll goes on where this one stopped"


class MessageUnreadableError(MailboxError, TransientError):
    """The server lists a message and will not hand it over whole."""

    remedy = "Try to open it in another mail program; 'concord message retry ID' asks the server again"


class MessageEndsSessionError(MessageUnreadableError):
    """The session ends whenever the server is asked for this message: it hangs, or the server hangs up."""


class SessionLostError(MailboxError, TransientError):
    """The session ended while messages were fetched. Concord remembers the place and reads on carefully there."""

    remedy = (
        "Concord fetches the messages there one by one from now on, and goes on behind one that ends the session; if "
        "it lasts, check the mail server's log"
    )


class PollFaultError(MailboxError, TransientError):
    """Something in Concord failed that should not: a defect, and not the mailbox's fault."""

    remedy = (
        "This is a defect of Concord: report it with the traceback from the poll worker's log; Concord keeps trying, "
        "ever more slowly"
    )


class AfterSizeError(PermanentError):
    """The message on the server is not the one that was archived, so it is neither moved nor deleted."""

    remedy = "Compare the message on the server with the archived one; move or delete it there yourself"


class AfterNotArchivedError(TransientError):
    """The archive lacks the message, so it is neither moved nor deleted on the server."""

    remedy = "Check the archive; Concord tries again by itself"


class MessageGoneError(MailboxError, PermanentError):
    """The message was removed from the server before it could be read."""


# Deliveries and workflows.


class HandlerError(TransientError):
    """A handler did not take the event; it will be offered again."""


class HandlerTimeLimitError(HandlerError):
    """A handler or a step did not come back within dispatch.handler_time_limit."""

    remedy = (
        "Look into what the handler waits for; give it a time-out of its own, or raise dispatch.handler_time_limit. It "
        "may have done its work all the same: it is offered the same id again"
    )


class BrokerCrowdedError(HandlerError):
    """Concord's own Redis is so full that handlers must write no more into it."""

    remedy = (
        "Give the handler a Redis of its own (its option url), or have its stream or queue read and trimmed; the "
        "delivery goes on by itself once there is room (dispatch.broker_bytes)"
    )


class HandlerDisabledError(PermanentError):
    """A handler is disabled: what is for it waits, and goes on when it is enabled."""

    remedy = "Enable the handler; its deliveries go on at once"


class HandlerMissingError(PermanentError):
    """No handler of that name is configured: what is for it waits until there is one."""

    remedy = "Add a handler of that name ('concord apply', or on its page); its deliveries go on at once"


class HandlerRefusedError(PermanentError):
    """A handler will never take this event as things stand."""

    remedy = "Mend the receiver or the handler's configuration, then 'concord delivery retry ID'"


class AddressForbiddenError(HandlerRefusedError):
    """An address that Concord must not be made to call: private, local or reserved."""

    remedy = "If the receiver is meant to be on a private network, list that network in webhook.allow_networks"
