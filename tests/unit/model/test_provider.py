"""Provider presets (A6)."""

from __future__ import annotations

from concord.model.provider import PROVIDERS, provider_of


def test_provider_is_known_by_its_host_however_written() -> None:
    assert provider_of("IMAP.Gmail.com.").connections == 15
    assert provider_of("mail.example.org").connections is None


def test_no_host_belongs_to_two_providers() -> None:
    hosts = [host for provider in PROVIDERS for host in provider.hosts]

    assert len(hosts) == len(set(hosts))
