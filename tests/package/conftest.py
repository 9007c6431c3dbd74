"""Machines for the tests of the package: booted Debian, once for each suite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.package.machine import SUITES, Machine, why_not

# A machine does what takes time: boots, installs, waits for watchdogs.
TEST_SECONDS = 900


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each suite's tests stay in one process, which keeps its machine; all may take their time."""
    for item in items:
        if "tests/package" not in item.path.as_posix():
            continue
        item.add_marker(pytest.mark.timeout(TEST_SECONDS))
        callspec = getattr(item, "callspec", None)
        if callspec and "suite" in callspec.params:
            item.add_marker(pytest.mark.xdist_group(callspec.params["suite"]))


@pytest.fixture(scope="session")
def bootable() -> None:
    """Skips whatever needs a machine where none can be booted."""
    if missing := why_not():
        pytest.skip(f"no Debian can be booted here: {missing}")


@pytest.fixture(scope="session", params=SUITES)
def suite(request: pytest.FixtureRequest) -> str:
    """The name of a Debian release; what asks for it runs on each."""
    return str(request.param)


@pytest.fixture(scope="session")
def bare_machine(bootable: None, suite: str) -> Iterator[Machine]:
    """A running Debian with Redis, Dovecot and polkit, and nothing of Concord."""
    with Machine(suite) as running:
        yield running
