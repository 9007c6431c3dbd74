"""From a mail address to its server (U2): DNS, the domain's own file, known providers, usual names."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from concord.adapters.discovery import Autodiscovery
from concord.adapters.discovery.autoconfig import MOST_OCTETS
from concord.adapters.discovery.search import World
from concord.errors import UsageError
from concord.model.account import Tls
from concord.model.discovery import Discovery, DiscoverySource, Outcome
from concord.ports import Discoverer
from concord.settings import DiscoverySettings, PollSettings
from concord.wording import english
from tests.fakes.discovery import MemoryDiscoverer
from tests.servers.certificates import Certificates, Fault
from tests.servers.dns import NameServer
from tests.servers.hostile_imap import HostileImap, Talk
from tests.servers.webhook import WebhookReceiver, answer, drip, redirect

LOOPBACK = [ip_network("127.0.0.0/8")]
SERVER = """
<incomingServer type="{type}">
  <hostname>{host}</hostname><port>{port}</port><socketType>{socket}</socketType>
  <username>{user}</username><authentication>password-cleartext</authentication>
</incomingServer>"""


def config(*servers: Mapping[str, Any], head: str = "") -> bytes:
    """A file as Mozilla documents it."""
    usual = {"type": "imap", "host": "mail.hoster.example", "port": 993, "socket": "SSL", "user": "%EMAILADDRESS%"}
    told = "".join(SERVER.format(**{**usual, **server}) for server in servers)
    return f"{head}<clientConfig version='1.1'><emailProvider id='x'>{told}</emailProvider></clientConfig>".encode()


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    names = ("example.org", "autoconfig.example.org", "imap.example.org", "elsewhere.example")
    return Certificates(tmp_path_factory.mktemp("tls"), also_for=names)


@pytest.fixture
def trusting(certificates: Certificates) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificates.ca_file))


@pytest.fixture
def serving(certificates: Certificates) -> ssl.SSLContext:
    return server_side(certificates)


@pytest.fixture
def web(serving: ssl.SSLContext) -> Iterator[WebhookReceiver]:
    """Answers at autoconfig.example.org, over TLS."""
    with WebhookReceiver(tls=serving) as running:
        yield running


def server_side(certificates: Certificates) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    return context


def loopback(_host: str, _port: int) -> Sequence[str]:
    return ["127.0.0.1"]


def find(address: str = "Ann@Example.org", *, settings: DiscoverySettings | None = None, **world: Any) -> Discovery:
    """Ask those parts of the world that are given; the others do not exist."""
    with NameServer({}) as nobody:
        outside = World(**{"resolver": nobody.resolver, "resolve": loopback, "files": (), "names": (), **world})
        usual = DiscoverySettings(timeout=5, allow_networks=LOOPBACK)
        return Autodiscovery(settings or usual, PollSettings(), outside).find(address)


def outcomes(discovery: Discovery, source: DiscoverySource) -> list[Outcome]:
    return [asked.outcome for asked in discovery.asked if asked.source is source]


def file_at(web: WebhookReceiver) -> tuple[str, ...]:
    return (f"https://autoconfig.{{domain}}:{web.port}/mail/config-v1.1.xml?emailaddress={{address}}",)


# Providers.


def test_a_providers_own_domain_needs_no_question() -> None:
    with NameServer({}) as names:
        find("ann@gmail.com", resolver=names.resolver)

        assert names.asked == []


@pytest.fixture(params=["memory", "real"])
def discoverer(request: pytest.FixtureRequest) -> Iterator[Discoverer]:
    """The fake keeps the same promise."""
    if request.param == "memory":
        yield MemoryDiscoverer()
        return
    with NameServer({}) as nobody:
        outside = World(resolver=nobody.resolver, resolve=loopback, files=(), names=())
        yield Autodiscovery(DiscoverySettings(timeout=5), PollSettings(), outside)


def test_a_provider_is_known_by_the_domain(discoverer: Discoverer) -> None:
    found = discoverer.find("Ann@Gmail.com")

    assert found.best
    assert (found.best.host, found.best.port, found.best.provider) == ("imap.gmail.com", 993, "gmail")
    assert (found.best.user, found.best.source) == ("Ann@gmail.com", DiscoverySource.PRESET)


def test_what_nobody_knows_is_told_with_who_was_asked(discoverer: Discoverer) -> None:
    found = discoverer.find("ann@example.org")

    assert (found.best, found.found) == (None, ())
    assert (found.asked[0].source, found.asked[0].outcome) == (DiscoverySource.SRV, Outcome.NOTHING)


def test_who_takes_the_mail_tells_the_provider() -> None:
    with NameServer({("example.org.", "MX"): ["10 mx.example.org.", "20 mxbiz2.qq.com."]}) as names:
        found = find(resolver=names.resolver)

    assert found.best
    assert (found.best.host, found.best.source) == ("imap.exmail.qq.com", DiscoverySource.EXCHANGER)
    assert found.best.place == "mxbiz2.qq.com"
    assert found.best.user == "Ann@example.org"


# DNS.


def test_service_records_are_taken_in_their_order() -> None:
    records = {
        ("_imaps._tcp.example.org.", "SRV"): [
            "20 1 993 backup.example.org.",
            "10 1 993 light.example.org.",
            "10 9 1993 heavy.example.org.",
        ],
        ("_imap._tcp.example.org.", "SRV"): ["0 1 143 imap.example.org."],
    }
    with NameServer(records) as names:
        found = find(resolver=names.resolver)

    assert [(one.host, one.port, one.tls) for one in found.found] == [
        ("heavy.example.org", 1993, Tls.IMPLICIT),
        ("light.example.org", 993, Tls.IMPLICIT),
        ("backup.example.org", 993, Tls.IMPLICIT),
        ("imap.example.org", 143, Tls.STARTTLS),
    ]
    assert found.found[0].place == "_imaps._tcp.example.org"


def test_a_service_that_is_said_not_to_exist_is_none() -> None:
    """RFC 6186 section 3.4: the target "."."""
    with NameServer({("_imaps._tcp.example.org.", "SRV"): ["0 0 0 ."]}) as names:
        assert find(resolver=names.resolver).found == ()


def test_a_name_server_that_says_nothing_costs_only_its_time() -> None:
    begun = time.monotonic()
    with NameServer({}, silent=True) as names:
        found = find(resolver=names.resolver, settings=DiscoverySettings(timeout=1))

    assert found.found == ()
    assert time.monotonic() - begun < 3
    assert {asked.outcome for asked in found.asked} <= {Outcome.NOTHING, Outcome.LATE}


# The domain's own file.


def test_the_domains_own_file_is_read(web: WebhookReceiver, trusting: ssl.SSLContext) -> None:
    body = config(
        {"type": "pop3"},
        {"socket": "plain", "port": 143},
        {"socket": "STARTTLS", "port": 143},
        {"user": "%EMAILLOCALPART%"},
    )
    web.script(answer(200, body))

    found = find(tls=lambda: trusting, files=file_at(web))

    assert [(one.host, one.port, one.tls, one.user) for one in found.found] == [
        ("mail.hoster.example", 993, Tls.IMPLICIT, "Ann"),
        ("mail.hoster.example", 143, Tls.STARTTLS, "Ann@example.org"),
    ]
    assert found.found[0].place == "autoconfig.example.org"
    assert web.received[0].path == "/mail/config-v1.1.xml?emailaddress=Ann%40example.org"
    assert web.received[0].headers["host"].startswith("autoconfig.example.org")


@pytest.mark.parametrize(
    "body",
    [
        config({}, head='<!DOCTYPE x [<!ENTITY a "aaaa">]>'),
        config({}, head='<!DOCTYPE x SYSTEM "file:///etc/passwd">'),
        config({}, head='<!DOCTYPE x [<!ENTITY a "aaaa">]>').decode().encode("utf-16"),
        config({"host": "&lol;"}),
        config({"host": "not a host"}),
        config({"host": "10.0.0.1:993"}),
        config({"port": "99999"}),
        config({"port": "-1"}),
        config({"socket": "plain"}),
        config({"type": "smtp"}),
        config({})[:-20],
        b"<html>parked</html>",
        b"\xff\xfe\x00garbage",
        b"",
        config({}) + b" " * MOST_OCTETS,
    ],
)
def test_a_file_that_is_none_or_does_harm_is_nothing(
    web: WebhookReceiver, trusting: ssl.SSLContext, body: bytes
) -> None:
    web.script(answer(200, body))

    assert find(tls=lambda: trusting, files=file_at(web)).found == ()


def test_a_user_that_cannot_be_one_is_the_address(web: WebhookReceiver, trusting: ssl.SSLContext) -> None:
    web.script(answer(200, config({"user": "a&#10;b"})))

    found = find(tls=lambda: trusting, files=file_at(web))

    assert found.best
    assert found.best.user == "Ann@example.org"


def test_a_redirect_is_followed_over_https_only(web: WebhookReceiver, trusting: ssl.SSLContext) -> None:
    web.script(redirect(f"https://elsewhere.example:{web.port}/x", 302), answer(200, config({})))
    assert find(tls=lambda: trusting, files=file_at(web)).best

    web.script(redirect(f"http://elsewhere.example:{web.port}/x", 302), answer(200, config({})))
    assert find(tls=lambda: trusting, files=file_at(web)).best is None
    assert len(web.received) == 1


def test_redirects_come_to_an_end(web: WebhookReceiver, trusting: ssl.SSLContext) -> None:
    web.script(*[redirect("/again", 301)] * 20)

    assert find(tls=lambda: trusting, files=file_at(web)).best is None
    assert len(web.received) == 4


def test_a_file_on_a_private_address_is_not_fetched(web: WebhookReceiver, trusting: ssl.SSLContext) -> None:
    """Whoever owns a domain could point its autoconfig host at what only this machine can reach."""
    web.script(answer(200, config({})))

    found = find(tls=lambda: trusting, files=file_at(web), settings=DiscoverySettings(timeout=5))

    assert outcomes(found, DiscoverySource.AUTOCONFIG) == [Outcome.FORBIDDEN]
    assert web.connections == 0


def test_a_certificate_for_another_name_is_not_believed(tmp_path: Path) -> None:
    wrong = Certificates(tmp_path, Fault.WRONG_NAME)
    with WebhookReceiver(tls=server_side(wrong)) as web:
        web.script(answer(200, config({})))
        trusting = ssl.create_default_context(cafile=str(wrong.ca_file))

        assert find(tls=lambda: trusting, files=file_at(web)).found == ()
        assert web.received == []


def test_a_directory_is_asked_only_where_one_is_named(web: WebhookReceiver, trusting: ssl.SSLContext) -> None:
    settings = DiscoverySettings(
        timeout=5, allow_networks=LOOPBACK, directory_url=f"https://elsewhere.example:{web.port}/v1.1/"
    )
    web.script(answer(200, config({})))

    found = find(tls=lambda: trusting, settings=settings)

    assert found.best
    assert found.best.source is DiscoverySource.ISPDB
    assert web.received[0].path == "/v1.1/example.org"
    assert "Ann" not in repr(web.received[0])


# Usual names.


def test_a_usual_name_that_speaks_imap_is_found(trusting: ssl.SSLContext, serving: ssl.SSLContext) -> None:
    with HostileImap(tls=serving) as server:
        found = find(tls=lambda: trusting, names=[("imap.{domain}", server.port, Tls.IMPLICIT)])

        assert server.commands == []
    assert found.best
    assert (found.best.host, found.best.source) == ("imap.example.org", DiscoverySource.GUESS)


def test_a_usual_name_is_found_by_starttls(trusting: ssl.SSLContext, serving: ssl.SSLContext) -> None:
    async def start_tls(talk: Talk) -> None:
        talk.done()
        await talk.flush()
        await talk.secure(serving)

    with HostileImap(STARTTLS=start_tls) as server:
        found = find(tls=lambda: trusting, names=[("imap.{domain}", server.port, Tls.STARTTLS)])

    assert found.best
    assert found.best.tls is Tls.STARTTLS


@pytest.mark.parametrize("greeting", [b"220 example.org ESMTP", b"+OK POP3 ready"])
def test_a_usual_name_that_speaks_something_else_is_nothing(
    trusting: ssl.SSLContext, serving: ssl.SSLContext, greeting: bytes
) -> None:
    with HostileImap(tls=serving, greeting=greeting) as server:
        found = find(tls=lambda: trusting, names=[("imap.{domain}", server.port, Tls.IMPLICIT)])

    assert found.found == ()


def test_a_usual_name_without_a_trusted_certificate_is_nothing(
    trusting: ssl.SSLContext, serving: ssl.SSLContext
) -> None:
    with HostileImap(tls=serving) as server:
        found = find(tls=lambda: trusting, names=[("mail.{domain}", server.port, Tls.IMPLICIT)])

    assert outcomes(found, DiscoverySource.GUESS) == [Outcome.NOTHING]


def test_a_name_that_leads_to_metadata_is_not_tried() -> None:
    found = find(resolve=lambda _host, _port: ["169.254.169.254"], names=[("imap.{domain}", 993, Tls.IMPLICIT)])

    assert outcomes(found, DiscoverySource.GUESS) == [Outcome.FORBIDDEN]


# All together.


def test_everybody_is_asked_at_once_and_the_time_is_kept(web: WebhookReceiver, trusting: ssl.SSLContext) -> None:
    web.script(drip())
    begun = time.monotonic()
    settings = DiscoverySettings(timeout=1, allow_networks=LOOPBACK)
    with HostileImap(GREETING=Talk.drip) as server:
        names = [("imap.{domain}", server.port, Tls.STARTTLS)] * 3
        found = find(tls=lambda: trusting, files=file_at(web), names=names, settings=settings)

    assert found.found == ()
    assert time.monotonic() - begun < 3


def test_a_better_answer_is_not_kept_waiting_by_a_worse_one(web: WebhookReceiver, trusting: ssl.SSLContext) -> None:
    web.script(drip())
    begun = time.monotonic()
    with NameServer({("_imaps._tcp.example.org.", "SRV"): ["1 1 993 imap.example.org."]}) as names:
        found = find(resolver=names.resolver, tls=lambda: trusting, files=file_at(web))

    assert time.monotonic() - begun < 3
    assert found.best
    assert outcomes(found, DiscoverySource.AUTOCONFIG) == [Outcome.SKIPPED]


def test_a_server_that_two_files_name_stands_there_once(web: WebhookReceiver, trusting: ssl.SSLContext) -> None:
    web.script(answer(200, config({})), answer(200, config({}, {"port": 1993})))

    found = find(tls=lambda: trusting, files=file_at(web) * 2)

    assert [one.port for one in found.found] == [993, 1993]


@pytest.mark.parametrize(
    "address", ["", "ann", "@example.org", "ann@", "ann@localhost", "ann@127.0.0.1", "ann@exa mple.org", "ann@-x.org"]
)
def test_what_is_no_mail_address_is_refused(discoverer: Discoverer, address: str) -> None:
    with pytest.raises(UsageError) as caught:
        discoverer.find(address)

    assert "name@example.com" in english.remedy(caught.value)


def test_a_domain_may_be_written_in_any_script() -> None:
    with NameServer({("xn--fiq228c.example.", "MX"): ["1 in1-smtp.messagingengine.com."]}) as names:
        found = find("ann@中文.example", resolver=names.resolver)

    assert found.best
    assert found.best.host == "imap.fastmail.com"
