"""Calling a receiver: one POST, every limit kept, redirects only where they change nothing but the path."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import httpcore
import httpx

from concord import __version__
from concord.egress.connection import Deadline, GuardedNetwork
from concord.egress.guard import EgressGuard
from concord.errors import HandlerError
from concord.handlers.tools import Exchange, HandlerTools

USER_AGENT: Final = f"Concord/{__version__}"
# Only these keep the method and the body (RFC 9110 sections 15.4.8 and 15.4.9).
_REDIRECTS: Final = (307, 308)
_LAST_PORT: Final = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a receiver said; `body` is cut at webhook.max_response_bytes."""

    host: str
    status: int
    headers: Mapping[str, str] = field(repr=False)  # names in lower case
    body: bytes = field(repr=False)
    whole: bool  # False where the body was longer, or broke off

    @property
    def accepted(self) -> bool:
        """2xx, and nothing else, is success."""
        return 200 <= self.status < 300  # noqa: PLR2004 - what 2xx means


class Endpoint:
    """Posts to one URL."""

    def __init__(self, tools: HandlerTools, url: str, *, timeout: float | None = None) -> None:
        self._tools = tools
        self._url = parse_url(url)
        self._timeout = min(timeout or tools.webhook.timeout, tools.patience)

    @property
    def host(self) -> str:
        """The name that errors and limits go by; the rest of a URL may hold a token."""
        return self._url.host

    def post(self, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Raises HandlerError where there is no answer, AddressForbiddenError where it must not be asked."""
        deadline = Deadline(self._timeout)
        url = self._url
        with self._tools.slots.hold(self.host, self._tools.webhook.concurrency):
            for _ in range(self._tools.webhook.max_redirects + 1):
                answer = self._once(url, body, headers, deadline)
                if answer.status not in _REDIRECTS:
                    return answer
                url = self._follow(url, answer)
        raise HandlerError("redirect_loop", host=self.host, limit=self._tools.webhook.max_redirects)

    def _once(self, url: httpx.URL, body: bytes, headers: Mapping[str, str], deadline: Deadline) -> Answer:
        """One connection for one call: each is resolved and checked anew."""
        guard = EgressGuard(allow=self._tools.webhook.allow_networks, resolve=self._tools.resolve)
        network = GuardedNetwork(guard, deadline, connect_seconds=self._tools.webhook.connect_timeout)
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        sent = {"host": url.netloc.decode(), "user-agent": USER_AGENT, "accept-encoding": "identity", **headers}
        pool = httpcore.ConnectionPool(ssl_context=self._tools.tls(), network_backend=network)
        begun = time.monotonic()
        try:
            with pool, pool.stream("POST", target, headers=_encoded(sent), content=body) as response:
                answer = self._answer(response)
        except httpcore.ProtocolError as error:
            raise HandlerError("answer_no_http", host=self.host, cause=error) from error
        self._tools.observe(_exchange(answer, len(body), sent, time.monotonic() - begun))
        return answer

    def _answer(self, response: httpcore.Response) -> Answer:
        body, whole = self._body(response)
        return Answer(
            host=self.host,
            status=response.status,
            headers={name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers},
            body=body,
            whole=whole,
        )

    def _body(self, response: httpcore.Response) -> tuple[bytes, bool]:
        """As much as is allowed. The status is already the answer, so a body that breaks off changes nothing."""
        limit, body = self._tools.webhook.max_response_bytes, b""
        try:
            for chunk in response.iter_stream():
                body += chunk
                if len(body) > limit:
                    return body[:limit], False
        except (HandlerError, httpcore.ProtocolError):
            return body, False
        return body, True

    def _follow(self, url: httpx.URL, answer: Answer) -> httpx.URL:
        """Where to next: the same host, and never from https to http. A signed event is for nobody else."""
        try:
            onward = parse_url(str(url.join(answer.headers.get("location", ""))))
        except (httpx.InvalidURL, ValueError) as error:
            raise HandlerError("redirect_unusable", host=self.host, cause=error) from error
        if onward.host != url.host or onward.scheme not in ("https", url.scheme):
            raise HandlerError("redirect_elsewhere", host=self.host, place=f"{onward.scheme}://{onward.host}")
        return onward


def parse_url(text: str) -> httpx.URL:
    """Read a receiver's URL. Raises ValueError with what is wrong, never with the URL itself."""
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        raise ValueError("it is not a URL") from None
    if url.scheme not in ("http", "https"):
        raise ValueError("the URL begins with https:// or http://")
    if not url.host:
        raise ValueError("the URL names no host")
    if url.port is not None and not 0 < url.port <= _LAST_PORT:
        raise ValueError("the URL's port is not between 1 and 65535")
    if url.userinfo:
        raise ValueError("the URL must not hold a user or password; put a token into the receiver's path or headers")
    return url


def _exchange(answer: Answer, octets: int, sent: Mapping[str, str], seconds: float) -> Exchange:
    return Exchange(
        host=answer.host,
        octets=octets,
        sent=tuple(sent),
        status=answer.status,
        headers=answer.headers,
        body=answer.body,
        whole=answer.whole,
        seconds=seconds,
    )


def _encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("ascii"), value.encode("latin-1")) for name, value in headers.items()]
