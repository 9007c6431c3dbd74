"""The file that a domain publishes for mail programs (Mozilla's autoconfig, config-v1.1.xml).

It is fetched over HTTPS only, from public addresses only, and read without entities: a stranger wrote it.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote, urljoin, urlsplit
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

import httpcore

from concord import __version__
from concord.egress.connection import Deadline, GuardedNetwork
from concord.egress.guard import EgressGuard
from concord.errors import HandlerError, LookupFailedError
from concord.model.account import Tls
from concord.model.discovery import DiscoverySource, FoundServer, MailAddress, ascii_host

# Where a domain's own file may lie, by Mozilla's documentation.
PLACES: Final = (
    "https://autoconfig.{domain}/mail/config-v1.1.xml?emailaddress={address}",
    "https://{domain}/.well-known/autoconfig/mail/config-v1.1.xml",
)
MOST_OCTETS: Final = 64 * 1024
MOST_REDIRECTS: Final = 3
CONNECT_SECONDS: Final = 4.0
_HEADERS: Final = ((b"user-agent", f"Concord/{__version__}".encode()), (b"accept-encoding", b"identity"))
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_OK: Final = 200
_TLS: Final = {"SSL": Tls.IMPLICIT, "STARTTLS": Tls.STARTTLS}
_LAST_PORT: Final = 65_535


def url_of(template: str, domain: str, address: str = "") -> str:
    """Where a template leads for a domain, and an address that is quoted already."""
    return template.replace("{domain}", domain).replace("{address}", address)


class Autoconfig:
    """Fetches and reads such files."""

    def __init__(self, guard: EgressGuard, tls: ssl.SSLContext, *, seconds: float) -> None:
        self._guard = guard
        self._tls = tls
        self._seconds = seconds

    def servers(self, address: MailAddress, template: str, source: DiscoverySource) -> Iterator[FoundServer]:
        """The IMAP servers with TLS that the file names, implicit TLS first.

        Raises LookupFailedError, and AddressForbiddenError where it would lead to an address that must not be called.
        """
        url = url_of(template, address.domain, quote(str(address), safe=""))
        body = self._fetched(url)
        found = list(read(body, address, source, urlsplit(url).hostname or "")) if body else []
        yield from sorted(found, key=lambda server: server.tls is not Tls.IMPLICIT)

    def _fetched(self, url: str) -> bytes | None:
        deadline = Deadline(self._seconds)
        try:
            for _ in range(MOST_REDIRECTS + 1):
                body, onward = self._once(url, deadline)
                if onward is None:
                    return body
                url = urljoin(url, onward)
                if urlsplit(url).scheme != "https":
                    return None
        except (HandlerError, httpcore.ProtocolError, httpcore.NetworkError, ValueError, UnicodeError) as error:
            raise LookupFailedError("unusable", host=urlsplit(url).hostname) from error
        return None

    def _once(self, url: str, deadline: Deadline) -> tuple[bytes | None, str | None]:
        """The body of a success, or where it lies instead."""
        network = GuardedNetwork(self._guard, deadline, connect_seconds=CONNECT_SECONDS)
        headers = [(b"host", urlsplit(url).netloc.encode()), *_HEADERS]
        pool = httpcore.ConnectionPool(ssl_context=self._tls, network_backend=network)
        with pool, pool.stream("GET", url, headers=headers) as response:
            if response.status in _REDIRECTS:
                named = [value for name, value in response.headers if name.lower() == b"location"]
                return None, named[0].decode("ascii") if named else None
            if response.status != _OK:
                return None, None
            body = b""
            for chunk in response.iter_stream():
                body += chunk
                if len(body) > MOST_OCTETS:
                    return None, None
            return body, None


def read(document: bytes, address: MailAddress, source: DiscoverySource, place: str) -> Iterator[FoundServer]:
    """The IMAP servers with TLS in a file, as they stand there; none where it is no such file."""
    tree = _tree(document)
    for server in () if tree is None else tree.iter("incomingServer"):
        tls = _TLS.get(_text(server, "socketType").upper())
        host, port = ascii_host(_text(server, "hostname")), _text(server, "port")
        if server.get("type") != "imap" or not tls or not host or not port.isdecimal():
            continue
        if 0 < int(port) <= _LAST_PORT:
            user = _user(_text(server, "username"), address)
            yield FoundServer(host=host, port=int(port), tls=tls, user=user, source=source, place=place)


def _tree(document: bytes) -> Element | None:
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    # Entities can be declared nowhere else.
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(document, True)  # noqa: FBT003 - expat's own way to say that this is all
        return builder.close()
    except (expat.ExpatError, ValueError, AssertionError):
        return None


def _refuse_doctype(*_declaration: object) -> None:
    raise ValueError("such a file has no DOCTYPE")


def _text(server: Element, name: str) -> str:
    return (server.findtext(name) or "").strip()


def _user(template: str, address: MailAddress) -> str:
    filled = (
        template.replace("%EMAILADDRESS%", str(address))
        .replace("%EMAILLOCALPART%", address.local)
        .replace("%EMAILDOMAIN%", address.domain)
    )
    return filled if filled.isprintable() and filled else str(address)
