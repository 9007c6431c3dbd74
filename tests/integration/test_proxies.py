"""nginx and Caddy, set up by our samples, before a real admin service: pages, streams, large bodies, addresses."""

from __future__ import annotations

import re
import socket
import ssl
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.servers.proxied import FLOWER_PASSWORD, KINDS, VISITOR, Site, proxied_site
from tests.servers.proxies import NAME, Nginx, Proxy
from tests.servers.redis import RedisServer
from tests.servers.service import Service
from tests.web_world import PASSWORD, token_of


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, redis_server: RedisServer) -> Iterator[Site]:
    with proxied_site(tmp_path_factory.mktemp("site"), redis_server) as site:
        yield site


@pytest.fixture(scope="module", params=KINDS)
def proxy(request: pytest.FixtureRequest, site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp(request.param) / "proxy"
    with KINDS[request.param](folder, backend=site.port) as proxy:
        yield proxy


@contextmanager
def visitor(proxy: Proxy, address: str = VISITOR, **headers: str) -> Iterator[httpx.Client]:
    """A browser on another machine that knows the site by its name."""
    trust = ssl.create_default_context(cafile=str(proxy.certificates.ca_file))
    transport = httpx.HTTPTransport(verify=trust, local_address=address)
    hooks = {"request": [lambda request: request.extensions.update(sni_hostname=NAME)]}
    headers = {"Host": NAME, "Accept": "text/html", "Accept-Language": "en", **headers}
    with httpx.Client(
        base_url=f"https://127.0.0.1:{proxy.port}", transport=transport, headers=headers, event_hooks=hooks, timeout=20
    ) as client:
        yield client


def sign_in(client: httpx.Client, password: str = PASSWORD) -> httpx.Response:
    """Carol's."""
    found = re.search(r'name="csrf" value="([^"]+)"', client.get("/admin/login").text)
    assert found
    fields = {"csrf": found[1], "name": "carol", "password": password, "next": "/admin/profile"}
    return client.post("/admin/login", data=fields, headers={"Origin": f"https://{NAME}"})


def test_pages_come_by_tls_and_tell_the_browser_to_stay_with_it(proxy: Proxy) -> None:
    with visitor(proxy) as client:
        page = client.get("/admin/login")

    assert page.status_code == 200
    assert "<html" in page.text
    assert page.headers.get_list("strict-transport-security") == ["max-age=31536000"]
    assert page.headers["content-security-policy"].startswith("default-src 'none'")


def test_plain_http_leads_to_tls(proxy: Proxy) -> None:
    answer = httpx.get(f"http://127.0.0.1:{proxy.plain_port}/admin?a=b", headers={"Host": NAME})

    assert answer.status_code in (301, 308)
    assert re.fullmatch(rf"https://{NAME}(:{proxy.port})?/admin\?a=b", answer.headers["location"])


@pytest.mark.parametrize("path", ["/api/v1/tokens", "/api/v1/accounts?limit=1", "/admin/workers/sync-email-tasks"])
def test_call_of_a_program_is_not_led_to_tls(proxy: Proxy, path: str) -> None:
    """Its token went over the network in the clear, and nobody would notice."""
    answer = httpx.get(f"http://127.0.0.1:{proxy.plain_port}{path}", headers={"Host": NAME})

    assert (answer.status_code, answer.headers.get("location")) == (403, None)


@pytest.mark.parametrize("suites", ["AES128-SHA256:AES256-GCM-SHA384", "ECDHE-RSA-AES128-SHA:ECDHE-ECDSA-AES128-SHA"])
def test_weak_suites_of_tls_are_refused(proxy: Proxy, suites: str) -> None:
    """Without authentication (CBC), or readable later with the server's key (RSA)."""
    context = ssl.create_default_context(cafile=str(proxy.certificates.ca_file))
    context.maximum_version = ssl.TLSVersion.TLSv1_2

    def greeted() -> str | None:
        line = socket.create_connection(("127.0.0.1", proxy.port), timeout=20)
        with line, context.wrap_socket(line, server_hostname=NAME) as secured:
            return secured.version()

    assert greeted() == "TLSv1.2"
    context.set_ciphers(suites)
    with pytest.raises(ssl.SSLError):
        greeted()


def test_cookies_are_for_tls_alone(proxy: Proxy) -> None:
    with visitor(proxy) as client:
        signed_in = sign_in(client)
        page = client.get("/admin/profile")

    session = next(line for line in signed_in.headers.get_list("set-cookie") if "concord_session" in line)
    assert session.startswith("__Host-concord_session=")
    assert {"Secure", "HttpOnly", "SameSite=lax"} <= {part.strip() for part in session.split(";")}
    assert (page.status_code, "carol" in page.text) == (200, True)


def test_pages_are_never_packed(proxy: Proxy) -> None:
    """BREACH; Debian's nginx packs HTML unless told otherwise."""
    with visitor(proxy, **{"Accept-Encoding": "gzip, br, zstd"}) as client:
        page = client.get("/admin/login")
        style = re.search(r'href="(/static/[^"]+\.css)"', page.text)
        assert style
        packed = client.get(style[1])

    assert "content-encoding" not in page.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert "immutable" in packed.headers["cache-control"]


def test_event_of_a_stream_arrives_at_once(proxy: Proxy) -> None:
    with visitor(proxy) as client:
        sign_in(client)
        begun = time.monotonic()
        with client.stream("GET", "/admin/overview/live", timeout=10) as answer:
            lines = answer.iter_lines()
            told = [next(lines) for _ in range(3)]
            seconds = time.monotonic() - begun
            del lines

    assert answer.headers["content-type"].startswith("text/event-stream")
    assert told[0].startswith("retry: ")
    assert told[2].startswith("data: ")
    assert seconds < 8


def test_body_that_is_too_large_is_refused_and_one_that_is_not_goes_through(proxy: Proxy, site: Site) -> None:
    limit = 2 * 1024 * 1024
    token = token_of(site.concord, "alice")
    sizes = {"fits": limit - 100, "over": limit + 1, "far over": 12_000_000}
    with visitor(proxy, **token, **{"Content-Type": "application/json"}) as client:
        told = {word: client.post("/api/v1/tokens", content=b'"' + b"y" * size) for word, size in sizes.items()}
        chunked = client.post("/api/v1/tokens", content=iter([b'"', b"y" * limit]))

    assert {word: answer.status_code for word, answer in told.items()} == {"fits": 422, "over": 413, "far over": 413}
    assert chunked.status_code == 413
    assert all(answer.headers["strict-transport-security"] for answer in told.values())


@pytest.mark.parametrize("host", ["evil.example", "localhost", "127.0.0.1"])
def test_other_name_is_not_answered(proxy: Proxy, host: str) -> None:
    """Nor one that only this machine calls it by, though the service itself answers to that."""
    with visitor(proxy) as client:
        answer = client.get("/admin/login", headers={"Host": host})

    assert answer.status_code == 421
    assert host not in answer.text
    assert "Concord" not in answer.text


def test_audit_has_the_visitors_own_address(proxy: Proxy, site: Site) -> None:
    with visitor(proxy) as client:
        sign_in(client)

    assert site.audited("user.sign_in").address == VISITOR


FORGED: Final[Mapping[str, Mapping[str, str]]] = {
    "X-Forwarded-For": {"X-Forwarded-For": "6.6.6.6"},
    "a chain": {"X-Forwarded-For": "6.6.6.6, 127.0.0.1"},
    "with an underscore": {"X_Forwarded_For": "6.6.6.6"},
    "X-Real-IP": {"X-Real-IP": "6.6.6.6", "Forwarded": "for=6.6.6.6"},
    # What Connection names is for one hop only; a proxy must not let it take away what it adds itself.
    "taken away by Connection": {
        "Connection": "close, X-Forwarded-For, X-Forwarded-Proto, X-Real-IP",
        "X-Forwarded-For": "6.6.6.6",
    },
}


@pytest.mark.parametrize("claim", FORGED)
def test_visitor_cannot_claim_another_address(proxy: Proxy, site: Site, claim: str) -> None:
    with visitor(proxy, **FORGED[claim]) as client:
        answer = sign_in(client)

    assert site.audited("user.sign_in").address == VISITOR
    assert "__Host-concord_session=" in str(answer.headers)


def test_visitor_cannot_claim_to_have_come_without_tls(proxy: Proxy) -> None:
    with visitor(proxy, **{"X-Forwarded-Proto": "http"}) as client:
        page = client.get("/admin/login")

    assert "__Host-concord_door=" in page.headers["set-cookie"]
    assert page.headers["strict-transport-security"]


def test_address_claimed_without_a_proxy_is_not_believed(site: Site) -> None:
    """Whoever reaches the service itself is where he is."""
    with httpx.Client(
        base_url=f"http://127.0.0.1:{site.port}",
        transport=httpx.HTTPTransport(local_address=VISITOR),
        headers={"Host": "localhost", "X-Forwarded-For": "6.6.6.6", "X-Forwarded-Proto": "https"},
    ) as client:
        page = client.get("/admin/login")
        found = re.search(r'name="csrf" value="([^"]+)"', page.text)
        assert found
        client.post("/admin/login", data={"csrf": found[1], "name": "carol", "password": PASSWORD, "next": "/admin"})

    assert site.audited("user.sign_in").address == VISITOR
    assert "strict-transport-security" not in page.headers


def test_throttle_counts_visitors_and_not_the_proxy(proxy: Proxy, site: Site) -> None:
    """A wrong token's sender is slowed down; another visitor behind the same proxy is not."""
    wrong = {"Authorization": "Bearer concord_wrong"}
    with visitor(proxy) as client:
        codes = {client.get("/api/v1/tokens", headers=wrong).status_code for _ in range(40)}
    trust = ssl.create_default_context(cafile=str(proxy.certificates.ca_file))
    with httpx.Client(transport=httpx.HTTPTransport(verify=trust, local_address="127.0.0.9")) as other:
        answer = other.get(
            f"https://127.0.0.1:{proxy.port}/api/v1/tokens",
            headers=wrong | {"Host": NAME},
            extensions={"sni_hostname": NAME},
        )

    assert 429 in codes
    assert answer.status_code == 401


def test_nginx_answers_a_burst_of_sign_ins_itself(site: Site, tmp_path: Path) -> None:
    """A flood does not reach the service; pages, and sign-ins from elsewhere, do."""
    with Nginx(tmp_path / "nginx", backend=site.port) as proxy:
        with visitor(proxy, "127.0.0.8") as flood:
            began = time.monotonic()
            codes = Counter(flood.post("/admin/login", data={"name": "carol"}).status_code for _ in range(25))
            seconds = time.monotonic() - began
            page = flood.get("/admin/login")
        with visitor(proxy) as other:
            signed_in = sign_in(other)

    assert codes[403] <= 1 + 10 + seconds / 2 + 1, "one, a burst of ten, and one every two seconds"
    assert set(codes) == {403, 429}, "those that reached the service brought no proof"
    assert page.status_code == 200
    assert signed_in.headers["location"] == "/admin/profile"


def test_flower_is_behind_the_login(proxy: Proxy, site: Site, tmp_path: Path, redis_server: RedisServer) -> None:
    """W4."""
    secrets = {"redis__url": redis_server.url, "flower__password": FLOWER_PASSWORD}
    with Service("flower", tmp_path, settings=f"[flower]\nport = {site.flower}\n", credentials=secrets) as flower:
        assert flower.is_ready(), flower.log
        with visitor(proxy) as client:
            before = client.get("/admin/flower/workers")
            sign_in(client)
            page = client.get("/admin/flower/workers")
            others = {client.get(f"/{path}").status_code for path in ("workers", "metrics", "flower", "dashboard")}

    assert (before.status_code, before.headers["location"]) == (303, "/admin/login?next=/admin/flower/workers")
    assert page.status_code == 200
    assert f"https://{NAME}/admin/flower/static/" in page.headers["content-security-policy"]
    assert others == {404}
