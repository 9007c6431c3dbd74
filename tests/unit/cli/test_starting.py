"""What each command does before anything heavy is imported."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator

import pytest

from concord import cli


@pytest.fixture
def usual_collector() -> Iterator[None]:
    """Python's default in here, and what it was afterwards."""
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


@pytest.mark.usefixtures("usual_collector")
def test_imports_of_a_command_are_not_visited_by_the_collector_over_and_over(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["concord", "version"])

    with pytest.raises(SystemExit) as ended:
        cli.main()

    assert not ended.value.code
    assert capsys.readouterr().out
    assert gc.get_threshold()[0] >= 10_000
