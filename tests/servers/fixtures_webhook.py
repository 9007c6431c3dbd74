"""Fixtures: a webhook receiver of each test's own, plain or with TLS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.servers.webhook import WebhookReceiver


@pytest.fixture
def receiver() -> Iterator[WebhookReceiver]:
    """Listens on loopback; answers 204 unless told otherwise."""
    with WebhookReceiver() as running:
        yield running
