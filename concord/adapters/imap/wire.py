"""From a host name to an IMAP greeting, one step at a time: address, connection, TLS, greeting.

imapclient would do all this in its constructor; done in steps, each failure has its own name and every socket has a
guard from its first byte.
"""

from __future__ import annotations

import contextlib
import imaplib
import socket
import ssl
from io import BufferedReader
from typing import Any, Final, Literal, cast

import imapclient

from concord.adapters.imap.answers import Answer
from concord.adapters.imap.contexts import context_for
from concord.adapters.imap.errors import GOODBYE, RAISED, facts_of, lost, plaintext_refused, untrusted
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

# A SEARCH in a folder of a million messages is one line of 11 MB; imaplib itself gives up after one MB.
LONGEST_LINE: Final = 32 * 1024 * 1024
# What any answer may bring, unasked news of flags included, and what a list of UIDs or of folders may.
COMMAND_OCTETS: Final = 8 * 1024 * 1024
LIST_OCTETS: Final = LONGEST_LINE
# Each line costs memory beyond its octets; counted, a flood of empty lines is bounded as well.
LINE_OCTETS: Final = 64
# Over the chunk that was asked for: room for literals that were not (folder names, header values).
SPARE_OCTETS: Final = 64 * 1024
_SHOWN: Final = 200
# What one command's answer says for later ones: a goodbye, what the login and SELECT have changed, what UIDs mean.
_KEPT: Final = frozenset({"BYE", "CAPABILITY", "READ-ONLY", "UIDVALIDITY"})
_MOST_KEPT: Final = 100


class InjectedError(imaplib.IMAP4.abort):
    """Data in clear stands where the TLS handshake should begin (CVE-2011-0411, CVE-2021-33515)."""


class Wire(imaplib.IMAP4):
    """imaplib on a connection that stands already, with a bound on what the server may send for each command."""

    def __init__(self, host: str, port: int, connected: socket.socket, *, longest_literal: int) -> None:
        self._connected = connected
        self._longest_literal = longest_literal
        self._asked = 0
        self._left = COMMAND_OCTETS
        self.received = 0  # octets, for the command in progress
        super().__init__(host, port)

    def expect(self, octets: int) -> None:
        """Let the answer to the next command be so much longer than others."""
        self._asked = octets

    def _command(self, name: str, *args: Any) -> bytes:
        verb = str(args[0]) if name == "UID" and args else name
        self._left = COMMAND_OCTETS + self._asked
        if verb in ("SEARCH", "LIST"):
            self._left = max(self._left, LIST_OCTETS)
        self._asked = self.received = 0
        # imaplib itself forgets the answers to earlier commands only where somebody reads them.
        self.untagged_responses = {
            kind: list(dict.fromkeys(said))[-_MOST_KEPT:]
            for kind, said in self.untagged_responses.items()
            if kind in _KEPT
        }
        return super()._command(name, *args)  # type: ignore[misc,no-any-return]  # typeshed leaves it out

    def _create_socket(self, timeout: float | None) -> socket.socket:
        del timeout  # it is on the socket already
        return self._connected

    def read(self, size: int) -> bytes:
        if size > self._longest_literal:
            raise self.abort(f"unexpected literal of {size} octets")
        self._spend(size)
        return super().read(size)

    def readline(self) -> bytes:
        most = min(self._left, LONGEST_LINE)
        line = bytes(self.file.readline(most + 1))  # type: ignore[arg-type]  # typeshed: IO[str] | IO[bytes]
        if len(line) > most:
            raise self.abort("unexpected line without an end")
        self._spend(len(line) + LINE_OCTETS)
        return line

    def starttls(self, ssl_context: ssl.SSLContext | None = None) -> tuple[Literal["OK"], list[None]]:
        """TLS from here on. Nothing that was said in clear is believed (RFC 9051 6.2.1)."""
        assert ssl_context is not None  # noqa: S101 - the caller's, which verifies
        kind, data = self._simple_command("STARTTLS")
        if kind != "OK":
            raise self.error(f"STARTTLS failed: {data[-1]!r}")
        if self._has_unread():
            raise InjectedError("unexpected data behind the answer to STARTTLS")
        self.sock = ssl_context.wrap_socket(self.sock, server_hostname=self.host)
        self.file = self.sock.makefile("rb")
        self._tls_established = True
        self.untagged_responses.clear()
        self._get_capabilities()
        return "OK", [None]

    def _has_unread(self) -> bool:
        """Whether something has come that was not asked for; does not wait."""
        timeout = self.sock.gettimeout()
        self.sock.settimeout(0)
        try:
            return bool(cast("BufferedReader", self.file).peek(1))
        finally:
            self.sock.settimeout(timeout)

    def _spend(self, octets: int) -> None:
        self.received += octets
        self._left -= octets
        if self._left < 0:
            raise self.abort(f"unexpected flood of {self.received} octets in answer to one command")

    def _check_bye(self) -> None:
        """End the session at a goodbye, told from other reasons by its first words."""
        if said := self.untagged_responses.get("BYE"):
            words = said[-1][0] if isinstance(said[-1], tuple) else said[-1]
            raise self.abort(f"{GOODBYE}{words.decode('utf-8', 'replace')}")

    def _get_line(self) -> bytes:
        """One line without its end. imaplib would format each for a log, four octets to one where they are not text."""
        line = self.readline()
        if not line.endswith(b"\n"):
            raise self.abort("socket error: EOF")
        if not line.endswith(b"\r\n"):
            raise self.abort(f"unexpected end of line: {line[-_SHOWN:]!r}")
        return line[:-2]


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
        raise MailboxDnsError(cause=cause, **facts_of(account)) from error
    rule = NetworkRule(deny=settings.deny_networks, allow=settings.allow_networks)
    # One forbidden address refuses the host: mixed answers are made to fool such checks.
    for address in (str(one[4][0]) for one in found):
        if not rule.permits(address):
            raise MailboxForbiddenError(address=address, **facts_of(account))
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
        "timeout" if slow else "unreachable",
        cause=None if slow or failure is None else (failure.strerror or str(failure)).lower(),
        **facts_of(account),
    ) from failure


def secure(account: Account, line: socket.socket) -> ssl.SSLSocket:
    """TLS from the first byte, the certificate checked against the host name. Raises MailboxTlsError."""
    try:
        return context_for(account.ca_file, account.ca_pem).wrap_socket(line, server_hostname=account.host)
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
    text = Answer.read(error).text
    if not text.startswith("* ") and GOODBYE not in text:
        if isinstance(failure, MailboxThrottledError):
            return MailboxProtocolError("no_imap", **facts_of(account))
        failure.facts.pop("answer", None)
    return failure


def start_tls(account: Account, client: Client) -> None:
    """TLS on a connection that began in clear. The password is not sent before this has worked."""
    context = context_for(account.ca_file, account.ca_pem)
    if "STARTTLS" not in client.wire.capabilities:
        raise MailboxTlsError("no_starttls", **facts_of(account))
    try:
        client.starttls(context)
    except InjectedError as error:
        raise MailboxTlsError("injected", **facts_of(account)) from error
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
        raise MailboxProtocolError("preauth", **facts_of(account))
    if "LOGINDISABLED" in client.wire.capabilities and not account.auth.is_oauth:
        raise plaintext_refused(facts_of(account))
