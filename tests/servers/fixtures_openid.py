"""Fixtures: an OpenID provider of each test's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.openid import OpenIdServer


@pytest.fixture
def provider() -> Iterator[OpenIdServer]:
    """Listens on loopback, with TLS; consents to everything unless told otherwise."""
    with OpenIdServer() as running:
        yield running
