"""Provider presets (A6)."""

from __future__ import annotations

import pytest

from concord.model.account import Tls
from concord.model.provider import (
    GENERIC,
    PROVIDERS,
    Provider,
    host_of_domain,
    host_of_exchanger,
    provider_named,
    provider_of,
)


def test_provider_is_known_by_its_host_however_written() -> None:
    assert provider_of("IMAP.Gmail.com.").connections == 15
    assert provider_of("mail.example.org") is GENERIC


def test_no_host_belongs_to_two_providers() -> None:
    hosts = [host for provider in PROVIDERS for host in provider.hosts]

    assert len(hosts) == len(set(hosts))


def test_no_domain_and_no_exchanger_belongs_to_two_providers() -> None:
    domains = [domain for provider in PROVIDERS for domain in provider.domains]
    exchangers = [end for provider in PROVIDERS for end in provider.exchangers]

    assert len(domains) == len(set(domains))
    assert len(exchangers) == len(set(exchangers))


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda provider: provider.key)
def test_every_preset_is_complete(provider: Provider) -> None:
    """A preset fills the form: host, port 993 over TLS, what to log in with, and where the vendor says so."""
    assert provider_named(provider.key) is provider
    assert (provider.port, provider.tls) == (993, Tls.IMPLICIT)
    assert provider.login_hint
    assert provider.help.startswith("https://")
    assert {*provider.domains.values(), *provider.exchangers.values()} <= {*provider.hosts}


def test_the_presets_of_the_form_are_all_there() -> None:
    assert [provider.key for provider in PROVIDERS] == [
        *("gmail", "microsoft", "yahoo", "icloud", "qq", "netease", "aliyun", "fastmail"),
    ]
    assert provider_named("generic") is GENERIC
    assert provider_named("no-such") is None


@pytest.mark.parametrize(
    ("domain", "host"),
    [
        ("Gmail.com", "imap.gmail.com"),
        ("126.com", "imap.126.com"),
        ("foxmail.com", "imap.qq.com"),
        ("example.org", None),
        ("", None),
    ],
)
def test_a_providers_own_domain_names_its_host(domain: str, host: str | None) -> None:
    assert host_of_domain(domain) == host


@pytest.mark.parametrize(
    ("exchanger", "host"),
    [
        ("aspmx.l.google.com.", "imap.gmail.com"),
        ("example-com.mail.protection.outlook.com", "outlook.office365.com"),
        ("MXBIZ1.qq.com", "imap.exmail.qq.com"),
        ("mx3.qq.com", None),
        ("notgoogle.com", None),
        ("google.com.evil.example", None),
    ],
)
def test_a_providers_exchanger_names_the_host_of_its_customers(exchanger: str, host: str | None) -> None:
    assert host_of_exchanger(exchanger) == host
