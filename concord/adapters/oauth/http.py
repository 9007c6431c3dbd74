"""Calls to providers: HTTPS only, only where the guard allows it, never redirected, over when their time is.

An operator types where a provider is, so its address is as little trusted as a webhook's.
"""

from __future__ import annotations

import json
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import urlencode, urlsplit

import httpcore

from concord import __version__
from concord.egress.connection import Deadline, GuardedNetwork
from concord.egress.guard import EgressGuard, Resolver, system_addresses
from concord.errors import (
    AddressForbiddenError,
    HandlerError,
    MailboxForbiddenError,
    ProviderDownError,
    SettingsError,
)
from concord.settings import OAuthSettings

SETTING: Final = "oauth.allow_networks"
MOST_OCTETS: Final = 256 * 1024
_HEADERS: Final = {
    "user-agent": f"Concord/{__version__}",
    "accept": "application/json",
    "accept-encoding": "identity",
}
# What a receiver's trouble is called where it is a provider's.
_SENTENCES: Final = {
    "no_address": "its name has no address",
    "dns_timeout": "its name was not resolved in time",
    "unreachable": "it cannot be reached",
    "timeout": "it did not answer in time",
    "hung_up": "it hung up",
    "tls": "there is no trusted TLS connection to it",
}
_SERVER_FAILS, _TOO_MANY = 500, 429
_LONGEST_WAIT: Final = 3600


class ClientAuth(Protocol):
    """authlib's, which puts the client's id and secret into a request."""

    def prepare(self, method: str, uri: str, headers: dict[str, str], body: str) -> tuple[str, dict[str, str], str]:
        """URL, headers and body as they are to be sent."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderAnswer:
    """What a provider said. `at` is the time by its own clock."""

    host: str
    status: int
    body: bytes = field(repr=False)
    at: datetime | None
    retry_after: float | None = None

    def json(self) -> Any:
        """Raises ProviderDownError, for what is not JSON; without the body, which may hold a token."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise self.nonsense() from None

    def nonsense(self) -> ProviderDownError:
        """Say that it cannot be understood."""
        return ProviderDownError("answer_unclear", provider=self.host, status=self.status)


class ProviderHttp:
    """One call, one connection: each is resolved and checked anew. Keeps what authlib asks of a session."""

    def __init__(self, settings: OAuthSettings, resolve: Resolver = system_addresses) -> None:
        self._settings = settings
        self._guard = EgressGuard(allow=settings.allow_networks, resolve=resolve, setting=SETTING)
        self.last: ProviderAnswer | None = None

    def get(self, url: str) -> ProviderAnswer:
        """Raises ProviderDownError, MailboxForbiddenError."""
        return self._usable(self._call("GET", url, {}, b""))

    def post(self, url: str, data: Mapping[str, str], headers: Mapping[str, str], auth: ClientAuth) -> ProviderAnswer:
        """A form. Raises as `get`."""
        where, dressed, body = auth.prepare("POST", url, dict(headers), urlencode(data))
        self.last = self._usable(self._call("POST", where, dressed, body.encode("ascii")))
        return self.last

    def _usable(self, answer: ProviderAnswer) -> ProviderAnswer:
        """A refusal is an answer; a server that fails is none."""
        if answer.status >= _SERVER_FAILS:
            raise ProviderDownError("trouble", provider=answer.host, status=answer.status)
        if answer.status == _TOO_MANY:
            raise ProviderDownError("throttled", provider=answer.host, retry_after=answer.retry_after)
        return answer

    def _call(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> ProviderAnswer:
        place = urlsplit(url)
        host = place.hostname or ""
        if place.scheme != "https" or not host:
            raise ProviderDownError("no_https", provider=host)
        try:
            return self._answered(method, url, {"host": place.netloc, **_HEADERS, **headers}, body)
        except AddressForbiddenError as error:
            raise error.recast(MailboxForbiddenError) from error
        except HandlerError as error:
            raise _down(error, host) from error
        except (httpcore.ProtocolError, httpcore.NetworkError, ValueError, UnicodeError) as error:
            raise ProviderDownError("answer_no_http", provider=host) from error

    def _answered(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> ProviderAnswer:
        deadline = Deadline(self._settings.timeout)
        network = GuardedNetwork(self._guard, deadline, connect_seconds=self._settings.connect_timeout)
        pool = httpcore.ConnectionPool(ssl_context=context_for(self._settings.ca_file), network_backend=network)
        sent = [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]
        with pool, pool.stream(method, url, headers=sent, content=body) as response:
            said = {name.lower(): value.decode("latin-1") for name, value in response.headers}
            return ProviderAnswer(
                host=urlsplit(url).hostname or "",
                status=response.status,
                body=_body(response),
                at=_moment(said.get(b"date", "")),
                retry_after=_wait(said.get(b"retry-after", "")),
            )


@cache
def context_for(ca_file: Path | None) -> ssl.SSLContext:
    """The machine's authorities, or the operator's own; made once, since each costs 20 ms. Raises SettingsError."""
    try:
        return ssl.create_default_context(cafile=ca_file)
    except OSError as error:  # ssl.SSLError, for a file that holds no certificate, is one too
        raise SettingsError(
            "ca_file", setting="oauth.ca_file", file=ca_file, cause=error.strerror or str(error)
        ) from error


def _body(response: httpcore.Response) -> bytes:
    body = b""
    for chunk in response.iter_stream():
        body += chunk
        if len(body) > MOST_OCTETS:
            raise ValueError("too long")
    return body


def _down(error: HandlerError, host: str) -> ProviderDownError:
    """A webhook receiver's trouble, said of a provider."""
    why, cause = _SENTENCES[error.detail], error.facts.get("cause")
    detail = "no_answer.tls" if error.detail == "tls" else "no_answer"
    return ProviderDownError(detail, provider=host, cause=f"{why}: {cause}" if cause else why)


def _moment(date: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(date)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _wait(asked: str) -> float | None:
    return float(min(int(asked[:9]), _LONGEST_WAIT)) if asked.strip().isdecimal() else None
