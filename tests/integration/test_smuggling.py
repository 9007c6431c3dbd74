"""No request hides in another: directly at the admin service, and behind nginx and Caddy as our samples set them up."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import pytest

from concord.services.identity import Identity
from tests import http2
from tests.servers.proxied import KINDS, VISITOR, Site, proxied_site
from tests.servers.proxies import NAME, Proxy
from tests.servers.redis import RedisServer
from tests.smuggling import PROBES, answers_in
from tests.smuggling_http2 import PROBES as HTTP2_PROBES
from tests.waiting import eventually
from tests.web_world import SHELL, token_of

# What is not answered in this time is not answered: a probe whose end is a matter of opinion leaves a server waiting.
PATIENCE: Final = 2.0


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Site]:
    with proxied_site(tmp_path_factory.mktemp("site"), redis_server) as site:
        yield site


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What came of one probe."""

    answers: int
    octets: bytes
    is_reached: bool  # the hidden request, by its effect


@dataclass(slots=True)
class Prober:
    """Sends probes over fresh connections. Each hides a request that revokes a token made for it."""

    site: Site
    proxy: Proxy | None
    login: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.login = token_of(self.site.concord, "alice")

    def hidden(self, token: int) -> bytes:
        """One more request, entire and good."""
        lines = [f"DELETE /api/v1/tokens/{token} HTTP/1.1", f"Host: {NAME}"]
        lines += [f"{name}: {value}" for name, value in self.login.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def token(self) -> int:
        """That nobody is to revoke."""
        alice = self.site.concord.users.get("alice")
        _, kept = Identity(self.site.concord).create_token(alice, "hidden", alice.role.permissions, days=1, by=SHELL)
        return kept.id

    def is_revoked(self, token: int) -> bool:
        """By whom, nobody asks."""
        return any(one.id == token and one.revoked_at for one in self.site.concord.api_tokens.all())

    def send(self, octets: bytes) -> bytes:
        """All that comes back until the other side hangs up, or says nothing for a while."""
        heard = b""
        with self._connected() as connection:
            connection.settimeout(PATIENCE)
            try:
                connection.sendall(octets)
                while piece := connection.recv(65536):
                    heard += piece
            except (TimeoutError, OSError):
                pass
        return heard

    def send_http2(self, octets: bytes) -> list[http2.Kind]:
        """The kinds of frames that come back."""
        with self._connected("h2") as connection:
            connection.settimeout(PATIENCE)
            connection.sendall(octets)
            return http2.heard(connection)

    def _connected(self, protocol: str = "http/1.1") -> socket.socket:
        port = self.proxy.port if self.proxy else self.site.port
        plain = socket.create_connection(("127.0.0.1", port), timeout=10, source_address=(VISITOR, 0))
        if self.proxy is None:
            return plain
        trust = ssl.create_default_context(cafile=str(self.proxy.certificates.ca_file))
        trust.set_alpn_protocols([protocol])
        return trust.wrap_socket(plain, server_hostname=NAME)

    def tried(self, name: str) -> tuple[str, int, bytes]:
        """One probe."""
        token = self.token()
        return name, token, self.send(PROBES[name](self.hidden(token)))


@pytest.fixture(scope="module", params=["directly", *KINDS])
def prober(request: pytest.FixtureRequest, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prober]:
    if request.param == "directly":
        yield Prober(site, None)
        return
    with KINDS[request.param](tmp_path_factory.mktemp("probed") / "proxy", backend=site.port) as proxy:
        yield Prober(site, proxy)


@pytest.fixture(scope="module")
def seen(prober: Prober) -> dict[str, Seen]:
    """Every probe's result: most of their time is waiting."""
    with ThreadPoolExecutor(8) as pool:
        tried = list(pool.map(prober.tried, PROBES))
    return {
        name: Seen(answers=answers_in(octets), octets=octets, is_reached=prober.is_revoked(token))
        for name, token, octets in tried
    }


def test_hidden_request_does_what_it_says_where_it_is_not_hidden(prober: Prober) -> None:
    """So that what follows can fail."""
    token = prober.token()

    answers = answers_in(prober.send(prober.hidden(token)))

    assert answers == 1
    assert eventually(lambda: prober.is_revoked(token))


@pytest.mark.parametrize("name", PROBES)
def test_no_probe_gets_a_second_answer_or_reaches_a_second_handler(seen: dict[str, Seen], name: str) -> None:
    found = seen[name]

    assert found.answers <= 1, found.octets
    assert not found.is_reached


def test_others_are_answered_as_ever_while_probes_fly(prober: Prober) -> None:
    """Nobody's answer is given to somebody else."""
    page = f"GET /healthz HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n".encode()
    with ThreadPoolExecutor(8) as pool:
        probes = [pool.submit(prober.tried, name) for name in list(PROBES)[:40:2]]
        told = [pool.submit(prober.send, page) for _ in range(40)]

    assert all(probe.result() for probe in probes)
    assert {answers_in(one.result()) for one in told} == {1}
    assert all(b'"checks"' in one.result() for one in told)


# The same over HTTP/2, which a proxy writes down as HTTP/1.1.


@pytest.fixture(scope="module", params=KINDS)
def http2_prober(
    request: pytest.FixtureRequest, site: Site, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prober]:
    with KINDS[request.param](tmp_path_factory.mktemp("http2") / "proxy", backend=site.port) as proxy:
        yield Prober(site, proxy)


@pytest.fixture(scope="module")
def seen_http2(http2_prober: Prober) -> dict[str, tuple[list[http2.Kind], bool]]:
    def tried(name: str) -> tuple[str, int, list[http2.Kind]]:
        token = http2_prober.token()
        return name, token, http2_prober.send_http2(HTTP2_PROBES[name](http2_prober.hidden(token)))

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(tried, HTTP2_PROBES))
    return {name: (kinds, http2_prober.is_revoked(token)) for name, token, kinds in results}


def test_hidden_request_does_what_it_says_over_http2(http2_prober: Prober) -> None:
    """So that what follows can fail."""
    token = http2_prober.token()
    path = f"/api/v1/tokens/{token}".encode()
    fields = [(b":method", b"DELETE"), (b":scheme", b"https"), (b":path", path), (b":authority", NAME.encode())]
    login = [(name.lower().encode(), value.encode()) for name, value in http2_prober.login.items()]

    kinds = http2_prober.send_http2(http2.request([*fields, *login]))

    assert kinds[:1] == [http2.Kind.HEADERS]
    assert eventually(lambda: http2_prober.is_revoked(token))


@pytest.mark.parametrize("name", HTTP2_PROBES)
def test_no_probe_over_http2_gets_a_second_answer_or_reaches_a_second_handler(
    seen_http2: dict[str, tuple[list[http2.Kind], bool]], name: str
) -> None:
    kinds, is_reached = seen_http2[name]

    assert kinds.count(http2.Kind.HEADERS) <= 1
    assert not is_reached
