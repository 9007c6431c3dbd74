"""Runs of pytest that are counted as one: each but the last writes its reports, the last one's summary has them too."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """The file between the runs."""
    group = parser.getgroup("both runs")
    group.addoption("--write-reports", type=Path, metavar="FILE", help="keep this run's reports for another's summary")
    group.addoption(
        "--add-reports", type=Path, metavar="FILE", action="append", default=[], help="count an earlier run's as well"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Write, where a file is named; xdist's own processes tell their reports to the first one."""
    named: Path | None = config.getoption("--write-reports")
    # A test may change the directory.
    path = named.absolute() if named else None
    if path and not hasattr(config, "workerinput"):
        path.parent.mkdir(exist_ok=True)
        path.unlink(missing_ok=True)
        config.pluginmanager.register(_Writer(config, path))


class _Writer:
    def __init__(self, config: pytest.Config, path: Path) -> None:
        self._config = config
        self._path = path

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._write(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if not report.passed:
            self._write(report)

    def _write(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        data = self._config.hook.pytest_report_to_serializable(config=self._config, report=report)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(data, default=str) + "\n")


@pytest.hookimpl(tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """What the earlier run reported counts in all that is summed up from here on."""
    paths: list[Path] = config.getoption("--add-reports")
    for line in [line for path in paths for line in path.read_text(encoding="utf-8").splitlines()]:
        report = config.hook.pytest_report_from_serializable(config=config, data=json.loads(line))
        if isinstance(report.longrepr, list):
            report.longrepr = tuple(report.longrepr)  # where and why it was skipped; JSON has no tuples
        category = "error" if isinstance(report, pytest.CollectReport) else _category(config, report)
        terminalreporter._add_stats(category, [report])
    if paths and (began := os.environ.get("SUITE_BEGAN")):
        terminalreporter.write_line(f"The whole suite took {(time.time() - int(began)) / 60:.1f} minutes.")


def _category(config: pytest.Config, report: pytest.TestReport) -> str:
    return str(config.hook.pytest_report_teststatus(report=report, config=config)[0])
