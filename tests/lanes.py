"""Stories (daemons, browsers, booted machines) mostly wait, other tests compute: side by side they fill the cores."""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from typing import Any, Final

import pytest
from coverage import Coverage
from xdist.scheduler import LoadScopeScheduling

FOLDERS: Final = ("acceptance", "browser", "package")
# What others cover too, and whose processes would spend a third of their time on being measured.
_UNMEASURED: Final = ("integration/test_boundaries", "integration/test_worker_health", "integration/test_locked_tables")
# Modules that take minutes: started last, they would keep everybody waiting. The first stories need no package: those
# are being built meanwhile.
LONGEST_FIRST: Final = (
    "acceptance/test_demo", "acceptance/test_soak", "acceptance/test_supervisor_stack", "package/test_upgrade",
    "package/test_supervisord", "package/test_stop_matrix", "package/test_redis_away", "package/test_redis_silent",
    "package/test_credentials", "package/test_upgrade_workers", "package/test_removal", "package/test_workers",
    "package/test_admin_site", "package/test_target", "package/test_admin_troubles", "package/test_watchdog",
    "package/test_install", "acceptance/test_service",
    "browser/test_pages", "acceptance/test_key_rotation", "browser/test_story", "acceptance/test_blame",
    "integration/test_boundaries", "integration/test_worker_health", "integration/test_celery_app",
    "integration/test_locked_tables", "integration/test_hostile_imap", "integration/test_sql_claims",
    "integration/test_watchdog_listener", "integration/test_archive", "integration/test_api_schema",
)  # fmt: skip
# Of a Debian release in a test's name: it stands behind the parameters of the test where its module names it.
_RELEASE: Final = re.compile(r"[\[-](bookworm|trixie)[\]-]")
_COVERAGE_OF_CHILDREN: Final = "COVERAGE_PROCESS_CONFIG"


def pytest_addoption(parser: pytest.Parser) -> None:
    """How many of the processes that -n makes take stories first."""
    parser.addoption(
        "--stories", type=int, default=0, metavar="N", help="N processes of -n take stories before all else"
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first."""
    order = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: order.get(f"{_folder(item.nodeid)}/{item.path.stem}", len(order)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Lanes | None:
    """With `--dist loadfile`, the tests of one module share a process."""
    return Lanes(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Stories are not measured: that takes a third of the time, and all others cover what is asked of the suite."""
    measuring = None if _is_measured(item) else Coverage.current()
    if measuring is None:
        return (yield)
    measuring.stop()
    inherited = os.environ.pop(_COVERAGE_OF_CHILDREN, None)
    try:
        return (yield)
    finally:
        if inherited is not None:
            os.environ[_COVERAGE_OF_CHILDREN] = inherited
        measuring.start()


class Lanes(LoadScopeScheduling):  # type: ignore[misc]  # xdist ships no types
    """The tests of one module (on one Debian release) share a process, and so their servers and their machine."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        """In the order of the collection, not by the number of tests."""
        config.option.loadscopereorder = False
        super().__init__(config, log)

    def _split_scope(self, nodeid: str) -> str:
        release = _RELEASE.search(nodeid) if _folder(nodeid) == "package" else None
        return f"{nodeid.partition('::')[0]}@{release[1] if release else 'any'}"

    def _assign_work_unit(self, node: Any) -> None:
        """A process takes the next of its own kind; where none is left, it helps with the other."""
        takes_stories = self.nodes.index(node) < self.config.getoption("--stories")
        fitting = (scope for scope in self.workqueue if (_folder(scope) in FOLDERS) is takes_stories)
        self.workqueue.move_to_end(next(fitting, next(iter(self.workqueue))), last=False)
        super()._assign_work_unit(node)


def _is_measured(item: pytest.Item) -> bool:
    folder = _folder(item.nodeid)
    return folder not in FOLDERS and f"{folder}/{item.path.stem}" not in _UNMEASURED


def _folder(nodeid: str) -> str:
    """The one below `tests`."""
    return nodeid.split("/")[1]
