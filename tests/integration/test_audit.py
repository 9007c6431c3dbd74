"""The audit keeps its promises in memory and on both databases alike."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from concord.adapters.sql import schema
from concord.adapters.sql.audit import SqlAudit
from concord.adapters.sql.engine import make_engine
from concord.ports import Audit, AuditEntry
from tests.fakes.audit import MemoryAudit
from tests.servers.fixtures_database import settings_of
from tests.sql_world import START


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def audit(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Audit]:
    if request.param == "memory":
        yield MemoryAudit()
        return
    url = f"sqlite:///{tmp_path / 'audit.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("empty_postgres_url")
    engine = make_engine(settings_of(url))
    schema.upgrade(engine)
    yield SqlAudit(engine)
    engine.dispose()


def entry(number: int = 0, **changes: Any) -> AuditEntry:
    fields = {"actor": "alice", "via": "cli", "action": "service.stop", "subject": "beat", "outcome": "done", **changes}
    return AuditEntry(at=START + timedelta(seconds=number), **fields)


def test_entries_come_back_as_given_newest_first(audit: Audit) -> None:
    """M3: who asked for what, and what became of it."""
    for number in range(3):
        audit.add(entry(number, detail=f"number {number}"))

    found = audit.entries()

    assert [one.detail for one in found] == ["number 2", "number 1", "number 0"]
    assert (found[0].at, found[0].actor, found[0].via) == (START + timedelta(seconds=2), "alice", "cli")
    assert (found[0].action, found[0].subject, found[0].outcome) == ("service.stop", "beat", "done")


def test_pages_follow_each_other_without_gap_or_overlap(audit: Audit) -> None:
    for number in range(5):
        audit.add(entry(number, detail=str(number)))

    first = audit.entries(limit=2)
    second = audit.entries(limit=2, before=first[-1].id)

    assert [one.detail for one in (*first, *second)] == ["4", "3", "2", "1"]


def test_an_empty_audit_has_no_entries(audit: Audit) -> None:
    assert audit.entries() == []


def test_what_a_database_would_refuse_is_cleaned(audit: Audit) -> None:
    """The row is worth more than its every character."""
    audit.add(entry(actor="ali\0ce", detail="x" * 100_000))

    assert audit.entries()[0].actor.startswith("ali")
