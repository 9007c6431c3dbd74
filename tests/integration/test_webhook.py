"""The webhook handler against a real receiver (P8, P11): success, retries, limits, and where it refuses to go."""

from __future__ import annotations

import base64
import hashlib
import hmac
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from concord import __version__
from concord.egress.guard import EgressGuard, system_addresses
from concord.errors import AddressForbiddenError, HandlerError, HandlerRefusedError
from concord.handlers import Handlers, HandlerTools
from concord.model.rule import HandlerSpec
from concord.ports import Handler
from concord.settings import WebhookSettings
from concord.wording import english
from tests.fakes.handlers import NOW, make_consignment, make_event, make_tools, sealed
from tests.servers.certificates import Certificates, Fault
from tests.servers.webhook import (
    WebhookReceiver,
    answer,
    drip,
    flood,
    gibberish,
    hang,
    hang_up,
    redirect,
)
from tests.waiting import eventually

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
LOOPBACK = ip_network("127.0.0.0/8")


def tools(**settings: Any) -> HandlerTools:
    return make_tools(webhook=WebhookSettings(**{"allow_networks": (LOOPBACK,)} | settings))


def webhook(url: str, given: HandlerTools | None = None, *, secret: bytes = b"", **options: Any) -> Handler:
    spec = HandlerSpec(name="hook", kind="webhook", options={"url": url} | options, secret=secret)
    return Handlers(given or tools()).get(spec)


def test_the_event_arrives_as_it_is_archived(receiver: WebhookReceiver) -> None:
    given = make_consignment()

    facts = webhook(receiver.url("/hook?team=sales"), headers={"X-Team": "sales"}).deliver(given)

    (received,) = receiver.received
    assert received.body == given.document
    assert received.path == "/hook?team=sales"
    assert received.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert received.headers["content-type"] == "application/cloudevents+json"
    assert received.headers["user-agent"] == f"Concord/{__version__}"
    assert received.headers["x-team"] == "sales"
    assert facts == {"host": "127.0.0.1", "status": 204}


def test_the_receiver_can_verify_the_signature(receiver: WebhookReceiver) -> None:
    webhook(receiver.url(), secret=sealed(SECRET)).deliver(make_consignment(id="consignment-7"))

    (received,) = receiver.received
    timestamp = str(int(NOW.timestamp()))
    content = b".".join((b"consignment-7", timestamp.encode(), received.body))
    digest = hmac.digest(base64.b64decode(SECRET.removeprefix("whsec_")), content, hashlib.sha256)
    assert received.headers["webhook-id"] == "consignment-7"
    assert received.headers["webhook-timestamp"] == timestamp
    assert received.headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"


def test_without_a_secret_nothing_is_signed(receiver: WebhookReceiver) -> None:
    webhook(receiver.url()).deliver(make_consignment())

    assert "webhook-id" in receiver.received[0].headers
    assert "webhook-signature" not in receiver.received[0].headers


def test_three_failures_then_the_event_once(receiver: WebhookReceiver) -> None:
    receiver.script(answer(503), hang_up, answer(500), answer(200))
    handler = webhook(receiver.url())
    taken = []

    for _ in range(4):
        try:
            taken.append(handler.deliver(make_consignment()))
        except HandlerError:
            continue

    assert taken == [{"host": "127.0.0.1", "status": 200}]
    assert len({request.headers["webhook-id"] for request in receiver.received}) == 1
    assert len(receiver.received) == 4


def test_the_asked_wait_reaches_the_dispatcher(receiver: WebhookReceiver) -> None:
    receiver.script(answer(503, b"overloaded", Retry_After="17"))

    with pytest.raises(HandlerError) as caught:
        webhook(receiver.url()).deliver(make_consignment())

    assert caught.value.facts["retry_after"] == 17
    assert caught.value.facts["answer"] == "overloaded"


def test_a_receiver_that_is_gone_is_not_asked_again(receiver: WebhookReceiver) -> None:
    receiver.script(answer(410))

    with pytest.raises(HandlerRefusedError):
        webhook(receiver.url()).deliver(make_consignment())


def test_a_redirect_within_the_host_keeps_all(receiver: WebhookReceiver) -> None:
    receiver.script(redirect("/moved"), redirect("/again", 308))

    webhook(receiver.url(), secret=sealed(SECRET)).deliver(make_consignment())

    assert [request.path for request in receiver.received] == ["/hook", "/moved", "/again"]
    assert len({(request.body, request.headers["webhook-signature"]) for request in receiver.received}) == 1


@pytest.mark.parametrize(
    "location",
    [
        "http://169.254.169.254/latest/meta-data/",
        "http://localhost:6379/",
        "http://[::1]/",
        "http://hooks.example.com/",
        "//hooks.example.com/",
        "http://user@127.0.0.1/",
        "gopher://127.0.0.1/",
        "file:///etc/passwd",
        "http://127.0.0.1:99999/",
        "http://[",
    ],
)
def test_a_redirect_elsewhere_is_not_followed(receiver: WebhookReceiver, location: str) -> None:
    receiver.script(redirect(location))

    with pytest.raises(HandlerError, match="redirects to"):
        webhook(receiver.url()).deliver(make_consignment())

    assert receiver.connections == 1


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_redirect_that_drops_the_event_is_a_failure(receiver: WebhookReceiver, status: int) -> None:
    receiver.script(redirect("/moved", status))

    with pytest.raises(HandlerError) as caught:
        webhook(receiver.url()).deliver(make_consignment())

    assert caught.value.facts["status"] == status
    assert len(receiver.received) == 1


def test_endless_redirects_end(receiver: WebhookReceiver) -> None:
    receiver.script(*[redirect("/round")] * 10)

    with pytest.raises(HandlerError, match="too often"):
        webhook(receiver.url(), tools(max_redirects=2)).deliver(make_consignment())

    assert len(receiver.received) == 3


@pytest.mark.parametrize(
    ("name", "act"),
    [
        ("silent", hang),
        ("dripping header", drip()),
        ("dripping status", drip(b"HTTP/1.1 2")),
    ],
)
def test_no_receiver_holds_a_thread_longer_than_agreed(receiver: WebhookReceiver, name: str, act: Any) -> None:
    receiver.script(act)
    begun = time.monotonic()

    with pytest.raises(HandlerError, match="did not answer in time"):
        webhook(receiver.url(), timeout=0.5).deliver(make_consignment())

    assert 0.4 < time.monotonic() - begun < 3


def test_a_body_that_drips_after_success_is_cut(receiver: WebhookReceiver) -> None:
    receiver.script(drip(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"))
    begun = time.monotonic()

    facts = webhook(receiver.url(), timeout=0.5).deliver(make_consignment())

    assert facts["status"] == 200
    assert time.monotonic() - begun < 3


def test_an_endless_answer_is_cut(receiver: WebhookReceiver) -> None:
    receiver.script(flood)
    begun = time.monotonic()

    facts = webhook(receiver.url(), timeout=10).deliver(make_consignment())

    assert facts["status"] == 200
    assert time.monotonic() - begun < 5


def test_a_receiver_that_does_not_read_ends_with_the_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
        begun = time.monotonic()
        with pytest.raises(HandlerError, match="did not answer in time"):
            webhook(url, tools(max_body_bytes=64_000_000), timeout=0.5).deliver(
                make_consignment(make_event(text="x" * 30_000_000))
            )

    assert time.monotonic() - begun < 3


def test_no_answer_at_all_is_tried_again(receiver: WebhookReceiver) -> None:
    receiver.script(hang_up, gibberish)
    handler = webhook(receiver.url())

    for _ in range(2):
        with pytest.raises(HandlerError, match=r"not HTTP|hung up") as caught:
            handler.deliver(make_consignment())
        assert caught.value.facts["host"] == "127.0.0.1"


def test_a_closed_port_is_tried_again() -> None:
    with WebhookReceiver() as gone:
        url = gone.url()

    with pytest.raises(HandlerError, match="cannot be reached"):
        webhook(url).deliver(make_consignment())


def test_a_big_event_goes_without_its_html(receiver: WebhookReceiver) -> None:
    given = make_consignment(make_event(html="x" * 100_000))

    facts = webhook(receiver.url(), tools(max_body_bytes=10_000), secret=sealed(SECRET)).deliver(given)

    assert receiver.received[0].document["data"]["truncated"] is True
    assert receiver.received[0].document["data"]["html"] is None
    assert facts["dropped"] == ["html"]


# The guard, on real connections.


def test_loopback_is_refused_unless_allowed(receiver: WebhookReceiver) -> None:
    with pytest.raises(AddressForbiddenError):
        webhook(receiver.url(), make_tools()).deliver(make_consignment())

    assert receiver.connections == 0


@pytest.mark.parametrize("written", ["127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost", "::1"])
def test_other_ways_to_write_loopback_are_refused(written: str) -> None:
    with pytest.raises(AddressForbiddenError):
        EgressGuard(allow=(), resolve=system_addresses).addresses(written, 80, seconds=10)


class Rebinding:
    """A name server that answers with a public address first and loopback from then on."""

    def __init__(self, *answers: str) -> None:
        self.answers = list(answers)
        self.asked = 0

    def __call__(self, _host: str, _port: int) -> Sequence[str]:
        self.asked += 1
        return [self.answers[min(self.asked, len(self.answers)) - 1]]


def test_each_connection_asks_once_and_goes_there(receiver: WebhookReceiver) -> None:
    names = Rebinding("127.0.0.1", "203.0.113.9")
    given = make_tools(webhook=WebhookSettings(allow_networks=(LOOPBACK,)), resolve=names)

    webhook(receiver.url(host="hooks.example.com"), given).deliver(make_consignment())

    assert names.asked == 1
    assert receiver.received[0].headers["host"] == f"hooks.example.com:{receiver.port}"


def test_a_name_that_turns_private_on_a_redirect_is_refused(receiver: WebhookReceiver) -> None:
    receiver.script(redirect("/moved"))
    names = Rebinding("127.0.0.1", "127.0.0.2")
    given = make_tools(webhook=WebhookSettings(allow_networks=(ip_network("127.0.0.1/32"),)), resolve=names)

    with pytest.raises(AddressForbiddenError) as caught:
        webhook(receiver.url(host="hooks.example.com"), given).deliver(make_consignment())

    assert caught.value.facts == {
        "host": "hooks.example.com",
        "address": "127.0.0.2",
        "allow_in": "webhook.allow_networks",
    }
    assert len(receiver.received) == 1


def test_proxies_of_the_environment_are_ignored(receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    webhook(receiver.url()).deliver(make_consignment())

    assert len(receiver.received) == 1


def test_a_busy_host_is_left_alone_for_a_moment(receiver: WebhookReceiver) -> None:
    receiver.script(hang)
    handlers = Handlers(tools(concurrency=1))
    slow = handlers.get(HandlerSpec(name="slow", kind="webhook", options={"url": receiver.url(), "timeout": 20}))
    other = handlers.get(HandlerSpec(name="other", kind="webhook", options={"url": receiver.url("/other")}))
    ended: list[HandlerError] = []

    def first() -> None:
        try:
            slow.deliver(make_consignment())
        except HandlerError as error:
            ended.append(error)

    thread = threading.Thread(target=first)
    thread.start()
    assert eventually(lambda: len(receiver.received) == 1)
    with pytest.raises(HandlerError) as caught:
        other.deliver(make_consignment())
    receiver.stopping.set()
    thread.join(timeout=30)

    assert caught.value.facts["busy"] is True
    assert len(receiver.received) == 1
    assert len(ended) == 1


# TLS: the socket goes to the address, name and certificate are the URL's.


@pytest.fixture
def secure(tmp_path: Path) -> Iterator[tuple[WebhookReceiver, Certificates]]:
    certificates = Certificates(tmp_path / "tls")
    with WebhookReceiver(tls=_server_side(certificates)) as running:
        yield running, certificates


def _server_side(certificates: Certificates) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    return context


def _trusting(certificates: Certificates, names: Rebinding | None = None) -> HandlerTools:
    return make_tools(
        webhook=WebhookSettings(allow_networks=(LOOPBACK,)),
        resolve=names or Rebinding("127.0.0.1"),
        tls=lambda: ssl.create_default_context(cafile=certificates.ca_file),
    )


def test_a_certificate_for_the_name_is_accepted(secure: tuple[WebhookReceiver, Certificates]) -> None:
    running, certificates = secure

    webhook(running.url(host="localhost"), _trusting(certificates)).deliver(make_consignment())

    assert len(running.received) == 1


def test_a_redirect_from_https_to_http_is_not_followed(secure: tuple[WebhookReceiver, Certificates]) -> None:
    running, certificates = secure
    running.script(redirect(running.url(host="localhost").replace("https", "http")))

    with pytest.raises(HandlerError, match="redirects to another place"):
        webhook(running.url(host="localhost"), _trusting(certificates)).deliver(make_consignment())

    assert running.connections == 1


def test_a_certificate_for_another_name_is_refused(secure: tuple[WebhookReceiver, Certificates]) -> None:
    running, certificates = secure

    with pytest.raises(HandlerError, match="No trusted TLS") as caught:
        webhook(running.url(host="hooks.example.com"), _trusting(certificates)).deliver(make_consignment())

    assert "hooks.example.com" in english.explain(caught.value)
    assert running.received == []


def test_an_unknown_authority_is_refused(secure: tuple[WebhookReceiver, Certificates]) -> None:
    running, _ = secure

    with pytest.raises(HandlerError, match="No trusted TLS"):
        webhook(running.url()).deliver(make_consignment())


def test_an_expired_certificate_is_refused(tmp_path: Path) -> None:
    certificates = Certificates(tmp_path, Fault.EXPIRED)

    with WebhookReceiver(tls=_server_side(certificates)) as running, pytest.raises(HandlerError, match="No trusted"):
        webhook(running.url(host="localhost"), _trusting(certificates)).deliver(make_consignment())
