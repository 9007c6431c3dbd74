"""Machines for the tests of the package: booted Debian, once for each suite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.lanes import Lanes
from tests.package import debs
from tests.package.host import Host
from tests.package.machine import Machine, why_not
from tests.package.trees import SUITES

# A machine does what takes time: boots, installs, waits for watchdogs; the first test of a run builds the packages.
TEST_SECONDS = 1800


def pytest_addoption(parser: pytest.Parser) -> None:
    """Packages that somebody has built already."""
    parser.addoption("--debs", type=Path, metavar="DIR", help="test the packages in DIR/SUITE, do not build them")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What happens on a machine may take its time."""
    for item in items:
        if "tests/package" in item.path.as_posix():
            item.add_marker(pytest.mark.timeout(TEST_SECONDS))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Lanes:
    """With -n, machines run side by side: most of what they do is waiting."""
    return Lanes(config, log)


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


@pytest.fixture(scope="session")
def deb_folder(bootable: None, suite: str, request: pytest.FixtureRequest) -> Path:
    """Where the suite's packages are."""
    given: Path | None = request.config.getoption("--debs")
    return given.absolute() / suite if given else debs.build(suite)


@pytest.fixture(scope="session")
def deb(deb_folder: Path) -> Path:
    """The package `concord`."""
    return debs.find(deb_folder)


@pytest.fixture(scope="session")
def new_host(suite: str, deb: Path) -> Iterator[Callable[[], Host]]:
    """Makes hosts with Concord installed and running, as many as are asked for; they end with the session."""
    with ExitStack() as running:

        def make() -> Host:
            machine = running.enter_context(Machine(suite, layer=debs.installed_layer(suite, deb)))
            host = Host(machine)
            host.wait_until_up()
            return host

        yield make


@pytest.fixture(scope="module")
def host(new_host: Callable[[], Host]) -> Iterator[Host]:
    """A host with Concord installed and running, which the tests of a module share and leave as they found it."""
    made = new_host()
    yield made
    made.machine.close()
