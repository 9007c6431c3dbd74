"""Usual names: a server counts as found where it shows a certificate to be trusted for that name, and greets as IMAP.

Nothing is sent but the handshake.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Final

from concord.egress.connection import Deadline
from concord.egress.guard import NetworkRule, Resolver
from concord.errors import AddressForbiddenError, HandlerError
from concord.model.account import Tls
from concord.model.discovery import DiscoverySource, FoundServer, MailAddress

NAMES: Final = (
    ("imap.{domain}", 993, Tls.IMPLICIT),
    ("mail.{domain}", 993, Tls.IMPLICIT),
    ("{domain}", 993, Tls.IMPLICIT),
    ("imap.{domain}", 143, Tls.STARTTLS),
    ("mail.{domain}", 143, Tls.STARTTLS),
)
_LONGEST_LINE: Final = 2048


class Guesses:
    """Tries them."""

    def __init__(self, rule: NetworkRule, resolve: Resolver, tls: ssl.SSLContext, *, seconds: float) -> None:
        self._rule = rule
        self._resolve = resolve
        self._tls = tls
        self._seconds = seconds

    def servers(self, address: MailAddress, host: str, port: int, tls: Tls) -> Iterator[FoundServer]:
        """The one server, if it is there. Raises AddressForbiddenError."""
        if self._answers(host, port, tls):
            yield FoundServer(
                host=host,
                port=port,
                tls=tls,
                user=str(address),
                source=DiscoverySource.GUESS,
                place=f"{host}:{port}",
            )

    def _answers(self, host: str, port: int, tls: Tls) -> bool:
        deadline = Deadline(self._seconds)
        try:
            addresses = list(self._resolve(host, port))
        except (OSError, UnicodeError):
            return False
        for found in addresses:
            if not self._rule.permits(found):
                raise AddressForbiddenError(host=host, address=found, allow_in="poll.allow_networks")
        # One is enough for a guess.
        return bool(addresses) and self._greets(addresses[0], host, port, tls, deadline)

    def _greets(self, found: str, host: str, port: int, tls: Tls, deadline: Deadline) -> bool:
        def heard(line: socket.socket) -> bytes:
            return _line(line, lambda: deadline.left(host))

        with ExitStack() as open_ends:
            try:
                line = open_ends.enter_context(socket.create_connection((found, port), timeout=deadline.left(host)))
                if tls is Tls.STARTTLS:
                    if not heard(line).startswith(b"* "):
                        return False
                    line.sendall(b"a STARTTLS\r\n")
                    if not heard(line).startswith(b"a OK"):
                        return False
                line.settimeout(deadline.left(host))
                secured = open_ends.enter_context(self._tls.wrap_socket(line, server_hostname=host))
                return tls is Tls.STARTTLS or heard(secured).startswith(b"* ")
            except (OSError, ValueError, HandlerError):
                return False


def _line(line: socket.socket, left: Callable[[], float]) -> bytes:
    """One line, octet by octet: what follows STARTTLS belongs to TLS."""
    said = b""
    while not said.endswith(b"\n") and len(said) < _LONGEST_LINE:
        line.settimeout(left())
        octet = line.recv(1)
        if not octet:
            break
        said += octet
    return said
