"""Figures that tests measure on the way, shown once at the end of the run."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

_NAME = "figure"
Note = Callable[[str, str], None]


@pytest.fixture
def note(record_property: Callable[[str, object], None], request: pytest.FixtureRequest) -> Note:
    """Notes a figure: what it is of, and the number with its unit."""
    callspec = getattr(request.node, "callspec", None)
    where = f"{callspec.params['suite']}: " if callspec and "suite" in callspec.params else ""

    def write(what: str, figure: str) -> None:
        record_property(_NAME, f"{where}{what}: {figure}")

    return write


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The figures, in a section of their own."""
    if lines := sorted(set(_figures(terminalreporter))):
        terminalreporter.section("figures")
        for line in lines:
            terminalreporter.line(line)


def _figures(reporter: pytest.TerminalReporter) -> Iterator[str]:
    for reports in reporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", []):
                if name == _NAME:
                    yield str(value)
