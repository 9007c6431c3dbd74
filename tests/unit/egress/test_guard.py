"""The egress guard (P8): what a webhook's URL may lead to, and what it never may."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from ipaddress import ip_network

import pytest

from concord.egress.guard import EgressGuard, NetworkRule
from concord.errors import AddressForbiddenError, HandlerError
from concord.settings import PollSettings
from concord.wording import english

FORBIDDEN = [
    ("127.0.0.1", "loopback"),
    ("127.255.255.254", "all of 127/8 is loopback"),
    ("10.1.2.3", "RFC 1918"),
    ("172.16.0.1", "RFC 1918"),
    ("172.31.255.255", "RFC 1918"),
    ("192.168.0.1", "RFC 1918"),
    ("169.254.169.254", "cloud metadata"),
    ("100.64.0.1", "carrier NAT"),
    ("100.127.255.255", "carrier NAT"),
    ("0.0.0.0", "this host"),  # noqa: S104 - an address to refuse, nothing is bound
    ("0.1.2.3", "this network"),
    ("168.63.129.16", "Azure's host"),
    ("::ffff:168.63.129.16", "Azure's host, mapped"),
    ("64:ff9b::a83f:8110", "Azure's host through NAT64"),
    ("::ffff:0:a9fe:a9fe", "metadata, translated"),
    ("192.0.0.8", "IETF protocol assignments"),
    ("192.0.2.1", "documentation"),
    ("192.88.99.1", "6to4 relay"),
    ("198.18.0.1", "benchmarking"),
    ("198.51.100.1", "documentation"),
    ("203.0.113.1", "documentation"),
    ("224.0.0.1", "multicast"),
    ("239.255.255.250", "multicast"),
    ("240.0.0.1", "reserved"),
    ("255.255.255.255", "broadcast"),
    ("::1", "loopback"),
    ("::", "unspecified"),
    ("::ffff:127.0.0.1", "loopback, mapped"),
    ("::ffff:169.254.169.254", "metadata, mapped"),
    ("::127.0.0.1", "loopback, IPv4-compatible"),
    ("fe80::1", "link-local"),
    ("fe80::1%eth0", "link-local with its zone"),
    ("fec0::1", "site-local"),
    ("fc00::1", "unique local"),
    ("fd00:ec2::254", "metadata over IPv6"),
    ("ff02::1", "multicast"),
    ("2002:7f00:1::", "loopback in 6to4"),
    ("2002:a00:1::1", "RFC 1918 in 6to4"),
    ("64:ff9b::a9fe:a9fe", "metadata through NAT64"),
    ("64:ff9b:1::a00:1", "RFC 1918 through local NAT64"),
    ("2001:0:4136:e378:8000:63bf:3fff:fdd2", "Teredo"),
    ("2001:db8::1", "documentation"),
    ("3fff::1", "documentation"),
    ("100::1", "discard"),
    ("5f00::1", "segment routing"),
    ("4000::1", "not given out"),
]

PUBLIC = [
    "1.1.1.1",
    "93.184.215.14",
    "172.15.255.255",
    "172.32.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "2606:4700:4700::1111",
    "2a00:1450:4001:81b::200e",
    "::ffff:1.1.1.1",
    "64:ff9b::101:101",
    "2002:101:101::1",
]


def guard(*answers: str, allow: Sequence[str] = ()) -> EgressGuard:
    return EgressGuard(allow=[ip_network(network) for network in allow], resolve=lambda _host, _port: answers)


@pytest.mark.parametrize(("address", "what"), FORBIDDEN, ids=[address for address, _ in FORBIDDEN])
def test_what_is_not_public_is_refused(address: str, what: str) -> None:
    with pytest.raises(AddressForbiddenError) as caught:
        guard(address).addresses("hooks.example.com", 443, seconds=1)

    assert caught.value.facts == {"host": "hooks.example.com", "address": address, "allow_in": "webhook.allow_networks"}
    assert "webhook.allow_networks" in english.remedy(caught.value)


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_public_is_called(address: str) -> None:
    assert guard(address).addresses("hooks.example.com", 443, seconds=1) == [address]


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("10.1.2.3", "10.0.0.0/8"),
        ("::ffff:10.1.2.3", "10.0.0.0/8"),
        ("::1", "::1/128"),
        ("fd00::7", "fd00::/8"),
        ("64:ff9b::a01:203", "10.0.0.0/8"),
    ],
)
def test_an_allowed_network_may_be_called(address: str, network: str) -> None:
    assert guard(address, allow=[network]).addresses("hooks.lan", 80, seconds=1) == [address]


def test_an_allowed_network_allows_no_other() -> None:
    with pytest.raises(AddressForbiddenError):
        guard("10.1.2.3", allow=["192.168.0.0/16", "fd00::/8"]).addresses("hooks.lan", 80, seconds=1)


def test_one_forbidden_answer_refuses_the_host() -> None:
    with pytest.raises(AddressForbiddenError):
        guard("1.1.1.1", "127.0.0.1").addresses("hooks.example.com", 443, seconds=1)


def test_a_name_without_address_is_tried_again_later() -> None:
    def unknown(_host: str, _port: int) -> list[str]:
        raise OSError("Name or service not known")

    with pytest.raises(HandlerError) as caught:
        EgressGuard(allow=(), resolve=unknown).addresses("no.such.example", 443, seconds=1)

    assert "no.such.example" in english.explain(caught.value)
    assert "Name or service not known" in english.explain(caught.value)


def test_a_resolver_that_hangs_ends_with_the_time() -> None:
    released = threading.Event()

    def hanging(_host: str, _port: int) -> list[str]:
        released.wait(10)
        return ["1.1.1.1"]

    with pytest.raises(HandlerError) as caught:
        EgressGuard(allow=(), resolve=hanging).addresses("slow.example", 443, seconds=0.05)
    released.set()

    assert str(caught.value) == "The receiver's name was not resolved in time"


@pytest.mark.parametrize(
    ("address", "permitted"),
    [
        ("169.254.169.254", False),
        ("::ffff:169.254.169.254", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("fe80::1%eth0", False),
        ("169.254.7.7", True),
        ("127.0.0.1", True),
        ("1.1.1.1", True),
    ],
)
def test_a_rule_of_networks_denies_what_it_names_unless_allowed(address: str, *, permitted: bool) -> None:
    rule = NetworkRule(
        deny=[ip_network("169.254.0.0/16"), ip_network("fe80::/10")], allow=[ip_network("169.254.7.0/24")]
    )

    assert rule.permits(address) is permitted


@pytest.mark.parametrize(
    ("address", "permitted"),
    [
        ("::1", True),  # a mail server on this host
        ("::", False),
        ("127.0.0.1", True),
        ("0.0.0.1", False),
        ("::0.0.0.2", False),
        ("::ffff:0.0.0.1", False),
        ("168.63.129.16", False),
        ("::ffff:168.63.129.16", False),
        ("::ffff:0:a83f:8110", False),
        ("2002:a83f:8110::", False),
    ],
)
def test_default_networks_of_mail_servers(address: str, *, permitted: bool) -> None:
    """Loopback is no IPv4 address in another form; the address of a cloud's host is denied in all forms."""
    rule = NetworkRule(deny=PollSettings().deny_networks)

    assert rule.permits(address) is permitted
