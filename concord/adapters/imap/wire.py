"""From a host name to an IMAP greeting, one step at a time: address, connection, TLS, greeting.

imapclient would do all this in its constructor; done in steps, each failure has its own name and every socket has a
guard from its first byte.
"""

from __future__ import annotations

import contextlib
import imaplib
import socket
import ssl
from typing import Any, Final

import imapclient

from concord.adapters.imap.answers import Answer
from concord.adapters.imap.contexts import context_for
from concord.adapters.imap.errors import RAISED, facts_of, lost, plaintext_refused, untrusted
from concord.adapters.imap.folder_names import quoted
from concord.adapters.imap.watchdog import Guard
from concord.egress.guard import NetworkRule
from concord.errors import (
    MailboxDnsError,
    MailboxDownError,
    MailboxError,
    MailboxForbiddenError,
    MailboxProtocolError,
    MailboxThrottledError,
    MailboxTlsError,
)
from concord.model.account import Account, Tls
from concord.settings import PollSettings

# imaplib gives up on lines over a million octets, which a SEARCH in a folder of 150,000 messages exceeds.
LONGEST_LINE: Final = 32 * 1024 * 1024
# Over the chunk that was asked for: room for literals that were not (folder names, header values).
SPARE_OCTETS: Final = 64 * 1024


class Wire(imaplib.IMAP4):
    """imaplib on a connection that stands already, which believes no server that announces gigabytes."""

    def __init__(self, host: str, port: int, connected: socket.socket, *, longest_literal: int) -> None:
        self._connected = connected
        self._longest_literal = longest_literal
        super().__init__(host, port)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        del timeout  # it is on the socket already
        return self._connected

    def read(self, size: int) -> bytes:
        if size > self._longest_literal:
            raise self.abort(f"unexpected literal of {size} octets")
        return super().read(size)

    def readline(self) -> bytes:
        line = bytes(self.file.readline(LONGEST_LINE + 1))  # type: ignore[arg-type]  # typeshed: IO[str] | IO[bytes]
        if len(line) > LONGEST_LINE:
            raise self.abort("unexpected line without an end")
        return line


class Client(imapclient.IMAPClient):  # type: ignore[misc]  # imapclient ships no types
    """imapclient over a Wire."""

    def __init__(self, wire: Wire, *, timeout: float, secured: bool) -> None:
        self.wire = wire
        super().__init__(wire.host, wire.port, ssl=secured, timeout=timeout)
        # At its own level 5, imaplib formats every line for a log nobody reads, which makes a fetch four times dearer.
        self._imap.debug = 0

    def open_folder(self, name: bytes, *, readonly: bool, condstore: bool) -> dict[bytes, Any]:
        """SELECT or EXAMINE. A server need not tell HIGHESTMODSEQ unless CONDSTORE is asked for (RFC 7162 3.1.8)."""
        parameter = b" (CONDSTORE)" if condstore else b""
        kind, data = self.wire.select(quoted(name) + parameter, readonly)  # type: ignore[arg-type]  # takes bytes as well
        self._checkok("select", kind, data)
        return dict(self._process_select_response(self.wire.untagged_responses))

    def _create_IMAP4(self) -> Wire:  # noqa: N802 - imapclient's name
        return self.wire

    def _normalise_folder(self, folder_name: bytes) -> bytes:
        # Names come encoded: imapclient's own encoding has no way to write back what a careless server listed.
        return quoted(folder_name)


def resolve(account: Account, settings: PollSettings) -> list[tuple[Any, ...]]:
    """The addresses of the account's host, as getaddrinfo gives them. Raises MailboxDnsError, MailboxForbiddenError."""
    try:
        found = list(socket.getaddrinfo(account.host, account.port, type=socket.SOCK_STREAM))
    except (OSError, UnicodeError) as error:
        cause = getattr(error, "strerror", None) or "it is not a host name"
        raise MailboxDnsError("The IMAP server's name has no address", cause=cause, **facts_of(account)) from error
    rule = NetworkRule(deny=settings.deny_networks, allow=settings.allow_networks)
    # One forbidden address refuses the host: mixed answers are made to fool such checks.
    for address in (str(one[4][0]) for one in found):
        if not rule.permits(address):
            raise MailboxForbiddenError(
                "Connecting to this address is not allowed", address=address, **facts_of(account)
            )
    return found


def reach(account: Account, addresses: list[tuple[Any, ...]], *, timeout: float) -> socket.socket:
    """A connection to the first address that answers. Raises MailboxDownError."""
    failure: OSError | None = None
    for family, kind, protocol, _, address in addresses:
        line = socket.socket(family, kind, protocol)
        try:
            line.settimeout(timeout)
            line.connect(address)
            line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        except OSError as error:
            line.close()
            failure = error
        else:
            return line
    slow = isinstance(failure, TimeoutError)
    raise MailboxDownError(
        "The IMAP server did not answer in time" if slow else "The IMAP server cannot be reached",
        cause=None if slow or failure is None else (failure.strerror or str(failure)).lower(),
        **facts_of(account),
    ) from failure


def secure(account: Account, line: socket.socket) -> ssl.SSLSocket:
    """TLS from the first byte, the certificate checked against the host name. Raises MailboxTlsError."""
    try:
        return context_for(account.ca_file).wrap_socket(line, server_hostname=account.host)
    except MailboxTlsError:
        line.close()
        raise
    except (OSError, ValueError) as error:
        line.close()
        cause = error if isinstance(error, OSError) else OSError(str(error))
        raise untrusted(cause, facts_of(account)) from error


def greet(account: Account, line: socket.socket, settings: PollSettings) -> Client:
    """Read the greeting and the capabilities. Raises what they reveal."""
    try:
        wire = Wire(account.host, account.port, line, longest_literal=settings.chunk_bytes + SPARE_OCTETS)
        return Client(wire, timeout=settings.timeout, secured=account.tls is Tls.IMPLICIT)
    except RAISED as error:
        line.close()
        raise _no_greeting(error, account) from error


def _no_greeting(error: Exception, account: Account) -> MailboxError:
    """Of what is no IMAP server, its own words are not told: whoever names a host must not read what answers there."""
    failure = lost(error, facts_of(account))
    if not Answer.read(error).text.startswith("* "):
        failure.fields.pop("answer", None)
        if isinstance(failure, MailboxThrottledError):
            return MailboxProtocolError("The IMAP server answered something that is not IMAP", **facts_of(account))
    return failure


def start_tls(account: Account, client: Client) -> None:
    """TLS on a connection that began in clear. The password is not sent before this has worked."""
    context = context_for(account.ca_file)
    if "STARTTLS" not in client.wire.capabilities:
        raise MailboxTlsError(
            "The IMAP server offers no STARTTLS",
            remedy="Use implicit TLS with port 993; without TLS the password is sent in clear",
            **facts_of(account),
        )
    try:
        client.starttls(context)
    except OSError as error:
        raise untrusted(error, facts_of(account)) from error
    except RAISED as error:
        raise lost(error, facts_of(account)) from error


def connect(account: Account, settings: PollSettings, guard: Guard) -> Client:
    """All steps up to the login."""
    line = reach(account, resolve(account, settings), timeout=settings.connect_timeout)
    guard.watch(line)
    if account.tls is Tls.IMPLICIT:
        line = secure(account, line)
    client = greet(account, line, settings)
    try:
        if account.tls is Tls.STARTTLS:
            start_tls(account, client)
        refuse_unfit(account, client)
    except MailboxError:
        hang_up(client)
        raise
    return client


def hang_up(client: Client, *, politely: bool = False) -> None:
    """Close the connection, with a word of goodbye that waits for no answer."""
    with contextlib.suppress(*RAISED):
        if politely:
            client.wire.send(b"bye LOGOUT\r\n")
    with contextlib.suppress(*RAISED):
        client.shutdown()


def refuse_unfit(account: Account, client: Client) -> None:
    """A server that takes no password now, or says it needs none, gets none."""
    if client.wire.state != "NONAUTH":
        raise MailboxProtocolError("The IMAP server logs everybody in without asking", **facts_of(account))
    if "LOGINDISABLED" in client.wire.capabilities and not account.auth.is_oauth:
        raise plaintext_refused(facts_of(account))
