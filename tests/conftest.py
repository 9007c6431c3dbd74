"""What every test may ask for by name."""

from __future__ import annotations

import os

import pytest

from concord import log

pytest_plugins = [
    "tests.servers.fixtures_database",
    "tests.servers.fixtures_dovecot",
    "tests.servers.fixtures_postgres",
    "tests.servers.fixtures_redis",
    "tests.servers.fixtures_s3",
    "tests.servers.fixtures_webhook",
]


@pytest.fixture(scope="session", autouse=True)
def quiet_log() -> None:
    """What a failing test needs to be understood, and no more."""
    log.configure("pretty", "warning")


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have Concord's variables set; no test sees them."""
    for name in os.environ:
        if name.startswith("CONCORD_") or name == "CREDENTIALS_DIRECTORY":
            monkeypatch.delenv(name)
