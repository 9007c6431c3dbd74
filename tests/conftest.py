"""What every test may ask for by name."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator

import pytest

from concord import log, settings
from tests.servers.dovecot import Dovecot

pytest_plugins = [
    "tests.both_runs",
    "tests.figures",
    "tests.lanes",
    "tests.servers.fixtures_database",
    "tests.servers.fixtures_dovecot",
    "tests.servers.fixtures_openid",
    "tests.servers.fixtures_postgres",
    "tests.servers.fixtures_redis",
    "tests.servers.fixtures_s3",
    "tests.servers.fixtures_webhook",
]


# Thousands of collected tests are objects that stay: by default the collector visits them so often that it takes a
# quarter of the time.
gc.set_threshold(50_000)


def pytest_collection_finish() -> None:
    """No later collection visits what is there now."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A failed test shows what its mail server said last."""
    report = yield
    servers = [arg for arg in getattr(item, "funcargs", {}).values() if isinstance(arg, Dovecot)]
    if report.failed and servers:
        report.sections.append(("Dovecot's log", "\n".join(servers[-1].raw_log.splitlines()[-60:])))
    return report


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
    monkeypatch.setattr(settings._Process, "daemon", None)
