"""The promises hold while things break: a small soak with real daemons. `make soak` runs the long ones."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.figures import Note
from tests.soak.run import Plan, soak


@pytest.fixture
def place() -> Iterator[Path]:
    """A short path that the mail server's user may enter."""
    with tempfile.TemporaryDirectory(prefix="concord-soak-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


@pytest.mark.timeout(900)
def test_nothing_is_lost_doubled_stuck_or_blamed_while_things_break(place: Path, note: Note) -> None:
    """P4, P5, P8, P16, O6, O7."""
    plan = Plan(seed=1, database="postgresql", mails=200, mailboxes=6, faults=8, pause=3, drain=300)

    report = soak(plan, place)

    note("small soak, seconds in all", f"{report.seconds:.0f}")
    assert not report.could_not
    assert report.verdict.is_clean, "\n".join([*report.lines(), str(report.standing)])
