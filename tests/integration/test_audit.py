"""The audit keeps its promises in memory and on both databases alike; a forged one shows (U5)."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, insert, text

from concord.adapters.sql import schema, tables
from concord.adapters.sql.audit import SqlAudit
from concord.adapters.sql.engine import make_engine, transaction
from concord.model.audit import AuditEntry, AuditFilter, AuditMark, AuditVerdict, Breach, link
from concord.ports import Audit
from tests.fakes.audit import MemoryAudit
from tests.servers.fixtures_database import KINDS, settings_of
from tests.sql_world import START


@pytest.fixture(params=["memory", *KINDS])
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

    first = audit.entries(AuditFilter(limit=2))
    second = audit.entries(AuditFilter(limit=2, before=first[-1].id))

    assert [one.detail for one in (*first, *second)] == ["4", "3", "2", "1"]


def test_an_empty_audit_has_no_entries(audit: Audit) -> None:
    assert audit.entries() == []


def test_what_a_database_would_refuse_is_cleaned(audit: Audit) -> None:
    """The row is worth more than its every character."""
    audit.add(entry(actor="ali\0ce", detail="x" * 100_000))

    assert audit.entries()[0].actor.startswith("ali")


def test_an_entry_is_given_its_number_and_its_hash(audit: Audit) -> None:
    first, second = audit.add(entry(1)), audit.add(entry(2))

    assert audit.entries() == [second, first]
    assert first.id < second.id
    assert [first.hash, second.hash] == [link("", first), link(first.hash or "", second)]


@pytest.mark.parametrize(
    ("narrowed", "expected"),
    [
        ({"actor": "bob"}, ["bob"]),
        ({"via": "api"}, ["api"]),
        ({"subject": "mail"}, ["mail"]),
        ({"outcome": "refused"}, ["refused"]),
        ({"action": "account"}, ["edit", "add"]),
        ({"action": "account."}, ["edit", "add"]),
        ({"action": "account.add"}, ["add"]),
        ({"action": "acc%"}, []),
        ({"since": START + timedelta(seconds=8)}, ["last"]),
        ({"until": START + timedelta(seconds=2)}, ["first"]),
        ({"since": START + timedelta(seconds=2), "until": START + timedelta(seconds=3)}, ["bob"]),
    ],
    ids=str,
)
def test_a_list_is_narrowed(audit: Audit, narrowed: dict[str, Any], expected: list[str]) -> None:
    """Every second another row, told apart by its detail."""
    rows: list[dict[str, str]] = [
        {"detail": "first"},
        {"detail": "bob", "actor": "bob"},
        {"detail": "api", "via": "api"},
        {"detail": "mail", "subject": "mail"},
        {"detail": "refused", "outcome": "refused"},
        {"detail": "add", "action": "account.add"},
        {"detail": "edit", "action": "account.edit"},
        {"detail": "last", "action": "accounts.weird"},
    ]
    for second, row in enumerate(rows, start=1):
        audit.add(entry(second, **row))

    assert [one.detail for one in audit.entries(AuditFilter(**narrowed))] == expected
    assert [one.detail for one in audit.stream(AuditFilter(**narrowed))] == expected[::-1]


def test_the_page_before_is_the_one_that_was_left(audit: Audit) -> None:
    for number in range(6):
        audit.add(entry(number, detail=str(number)))
    newest = audit.entries(AuditFilter(limit=2))
    older = audit.entries(AuditFilter(limit=2, before=newest[-1].id))

    assert audit.entries(AuditFilter(limit=2, after=older[0].id)) == newest
    assert audit.entries(AuditFilter(limit=2, after=newest[0].id)) == []


def test_a_stream_has_all_rows_however_many(audit: Audit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("concord.adapters.sql.audit._PAGE", 3)
    for number in range(7):
        audit.add(entry(number, detail=str(number)))

    assert [one.detail for one in audit.stream(AuditFilter(limit=1))] == list("0123456")


def test_what_was_added_only_verifies(audit: Audit) -> None:
    assert audit.verify() == AuditVerdict(rows=0, newest=AuditMark())

    rows = [audit.add(entry(number, actor="小红", detail="a\nb\x1f\u2028\ud800\0" + "x" * 3000)) for number in range(5)]

    newest = AuditMark(id=rows[-1].id, hash=rows[-1].hash or "")
    assert audit.verify() == AuditVerdict(rows=5, newest=newest)
    assert audit.verify(noted=AuditMark(id=rows[2].id, hash=rows[2].hash or "")).breach is None


def test_a_chain_that_was_made_anew_lacks_what_was_noted(audit: Audit) -> None:
    noted = AuditMark(id=audit.add(entry()).id, hash="0" * 64)

    verdict = audit.verify(noted=noted)

    assert (verdict.breach, verdict.at) == (Breach.FORGOTTEN, noted.id)


# What somebody with the database's password does, by what it must look like: breach, and the row it shows at.
TAMPERING = {
    "a word is changed": ("UPDATE audit SET actor = 'bob' WHERE id = 3", Breach.UNTIED, 3),
    "a time is changed": ("UPDATE audit SET at = '2001-01-01 00:00:00' WHERE id = 3", Breach.UNTIED, 3),
    "a detail moves to the subject": (
        "UPDATE audit SET subject = subject || detail, detail = '' WHERE id = 3",
        Breach.UNTIED,
        3,
    ),
    "the first is taken away": ("DELETE FROM audit WHERE id = 1", Breach.UNTIED, 2),
    "one is taken away": ("DELETE FROM audit WHERE id = 3", Breach.UNTIED, 4),
    "two change places": ("UPDATE audit SET id = -id WHERE id IN (2, 3)", Breach.UNTIED, -3),
    "the newest is taken away": ("DELETE FROM audit WHERE id = 5", Breach.CUT, 5),
    "all are taken away": ("DELETE FROM audit", Breach.CUT, 1),
    "one is put behind": (
        """INSERT INTO audit (at, actor, via, action, subject, outcome, detail, hash)
        SELECT at, 'bob', via, action, subject, outcome, detail, hash FROM audit WHERE id = 5""",
        Breach.ADDED,
        6,
    ),
    "a hash is taken away": ("UPDATE audit SET hash = NULL WHERE id = 4", Breach.UNTIED, 4),
    "the mark is taken away": ("DELETE FROM meta WHERE key = 'audit_mark'", Breach.UNMARKED, None),
    "the mark is spoilt": ("UPDATE meta SET value = 'x' WHERE key = 'audit_mark'", Breach.UNMARKED, None),
}


@pytest.mark.parametrize("wrong", TAMPERING, ids=str)
def test_tampering_shows_and_goes_on_showing(engine: Engine, wrong: str) -> None:
    """Also after the next row, which must not heal the chain."""
    audit = SqlAudit(engine)
    for number in range(1, 6):
        audit.add(entry(number, detail=str(number)))
    statement, breach, at = TAMPERING[wrong]

    with transaction(engine) as connection:
        connection.execute(text(statement))

    found = audit.verify()
    assert (found.breach, found.at) == (breach, at)
    audit.add(entry(9))
    assert audit.verify().breach is not None


def test_many_writers_make_one_chain(engine: Engine) -> None:
    """As many processes do it: each with connections of its own."""

    def write(writer: int) -> None:
        own = make_engine(settings_of(engine.url.render_as_string(hide_password=False)))
        for number in range(15):
            SqlAudit(own).add(entry(number, actor=f"writer {writer}"))
        own.dispose()

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(write, range(8)))

    verdict = SqlAudit(engine).verify()
    assert (verdict.breach, verdict.rows) == (None, 120)


def test_verifying_while_others_write_raises_no_false_alarm(engine: Engine) -> None:
    audit = SqlAudit(engine)
    audit.add(entry())

    def write() -> None:
        own = make_engine(settings_of(engine.url.render_as_string(hide_password=False)))
        for number in range(40):
            SqlAudit(own).add(entry(number))
        own.dispose()

    with ThreadPoolExecutor(2) as threads:
        writing = [threads.submit(write) for _ in range(2)]
        verdicts = []
        while not all(one.done() for one in writing):
            verdicts.append(audit.verify())

    assert [one.breach for one in verdicts] == [None] * len(verdicts)
    assert audit.verify().rows == 81


def test_an_upgrade_ties_the_rows_of_earlier_versions(empty_engine: Engine) -> None:
    schema.upgrade(empty_engine, "0002")
    with transaction(empty_engine) as connection:
        for microsecond in (0, 123_456):
            old = {"actor": "小红", "via": "cli", "action": "service.start", "subject": "all", "outcome": "done"}
            at = START.replace(microsecond=microsecond)
            connection.execute(insert(tables.audit).values(old | {"at": at, "detail": f"“{at}”"}))

    schema.upgrade(empty_engine)

    audit = SqlAudit(empty_engine)
    audit.add(entry())
    verdict = audit.verify()
    assert (verdict.breach, verdict.rows) == (None, 3)
