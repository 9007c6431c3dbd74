"""`concord audit`, and that every command that does something leaves a row there (U5)."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import text

from concord.adapters.sql.engine import transaction
from concord.model.audit import AuditEntry, AuditFilter
from concord.model.fault import in_english
from tests.fakes.command import Command, MemoryConcord

PASSWORD: Final = "Hemmelig-4711"
SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ADD: Final = "account add new --host mail.example.com --user bob --password-stdin"


@pytest.fixture(autouse=True)
def alice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("concord.cli.identity.actor", lambda: "alice")


def _nothing(_concord: MemoryConcord) -> None: ...


def _used_handler(concord: MemoryConcord) -> None:
    run = Command(lambda: concord)
    assert run("handler", "add", "crm", "--kind", "webhook", "--option", "url=https://example.com").code == 0
    assert run("rule", "add", "orders", "--handler", "crm").code == 0


def _quarantined(concord: MemoryConcord) -> None:
    with transaction(concord.engine) as connection:
        connection.execute(text("UPDATE messages SET state = 'quarantined'"))


@dataclass(frozen=True)
class Row:
    """`{folder}` in the command line is an empty folder; three messages of the account sales are processed."""

    command: str
    action: str
    subject: str
    outcome: str = "done"
    detail: str = ""  # stands in it
    given: Callable[[MemoryConcord], None] = _nothing
    stdin: str = PASSWORD


ROWS = [
    Row(ADD, "account.add", "new", detail="bob on mail.example.com"),
    Row(
        "account edit sales --same-mailbox --host imap.example.com --password-stdin",
        "account.edit",
        "sales",
        detail='host: "mail.example.com" → "ima',
    ),
    Row("account edit sales --password-stdin", "account.edit", "sales", detail="password"),
    Row("account disable sales", "account.disable", "sales"),
    Row("account enable sales", "account.enable", "sales"),
    Row("account enable nobody", "account.enable", "nobody", outcome="refused", detail="no such account"),
    Row("account remove sales", "account.remove", "sales"),
    Row("account test sales", "account.test", "sales"),
    Row("account import {folder}/many.csv", "account.add", "many", detail="import"),
    Row("apply {folder}/wanted.toml", "rule.add", "all", detail="by a file"),
    Row("poll sales", "account.poll", "sales", detail="done: 0 archived"),
    Row("sync-email-tasks", "schedule.sync", "", detail="1 in all"),
    Row(
        "sync-email-tasks",
        "schedule.sync",
        "",
        outcome="failed",
        detail="Redis did not answer",
        given=lambda concord: setattr(concord.memory_schedule, "down", True),
    ),
    Row("rule add spam --from *@spam.example --skip", "rule.add", "spam", detail="skip"),
    Row("rule add orders --replace --stop", "rule.edit", "orders", detail="stop", given=_used_handler),
    Row("rule remove orders", "rule.remove", "orders", given=_used_handler),
    Row(
        "handler add crm --kind webhook --option url=https://example.com --secret-stdin",
        "handler.add",
        "crm",
        detail="url",
        stdin=SECRET,
    ),
    Row("handler remove crm", "handler.remove", "crm", outcome="refused", detail="orders", given=_used_handler),
    Row("handler test log", "handler.test", "log"),
    Row("message retry {newest}", "message.retry", "message {newest}", given=_quarantined),
    Row("message replay --account sales", "message.replay", "3 messages", detail="3 replayed, 3 deliveries, 0 failed"),
    Row("message replay {newest} --handler log", "message.replay", "message {newest}", detail="only to log"),
    Row("delivery retry 1", "delivery.retry", "delivery 1", detail="1"),
    Row("workflow retry 1", "run.retry", "run 1", detail="none could be"),
    Row("secrets forget --yes", "secrets.forget", ""),
    Row("event show {event} --json", "event.read", "{event}"),
    Row("audit export", "audit.export", "", detail="0 rows as jsonl"),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.command[:40]} {row.outcome}")
def test_what_a_command_does_is_written_down(
    run: Command, concord: MemoryConcord, processed: list[int], tmp_path: Path, row: Row
) -> None:
    """Who, by which way, what, to what, what became of it; and never a secret."""
    (tmp_path / "many.csv").write_text(f"name,host,user,password\nmany,mail.example.com,carol,{PASSWORD}\n")
    (tmp_path / "wanted.toml").write_text('[[rules]]\nname = "all"\nhandlers = ["log"]\n')
    newest = concord.ledger.get(processed[-1])
    words = {"folder": str(tmp_path), "newest": newest.id, "event": newest.event_id}
    row.given(concord)

    run(*(word.format(**words) for word in row.command.split()), stdin=row.stdin)

    written = concord.audit.entries()[0]
    assert (written.actor, written.via, written.address) == ("alice", "cli", "")
    assert (written.action, written.subject, written.outcome) == (
        row.action,
        row.subject.format(**words),
        row.outcome,
    )
    assert row.detail in (in_english(written.detail) or "")
    assert not any(word in one.detail for one in concord.audit.entries() for word in (PASSWORD, SECRET))
    assert concord.audit.verify().breach is None


@pytest.mark.parametrize("command", ["account list", "message list", "rule list", "handler list", "audit list"])
def test_looking_leaves_no_row(run: Command, concord: MemoryConcord, command: str) -> None:
    assert run(*command.split()).code == 0

    assert concord.audit.entries() == []


def test_a_mistyped_option_is_nobodys_action(run: Command, concord: MemoryConcord) -> None:
    assert run(*ADD.replace("mail.example.com", "imaps://mail.example.com").split(), stdin="x").code == 2

    assert concord.audit.entries() == []


def test_a_replay_that_cannot_go_on_says_how_far_it_came(
    run: Command, concord: MemoryConcord, processed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    concord.memory_queue.down = True

    run("message", "replay", "--account", "sales")

    written = concord.audit.entries()[0]
    assert (written.action, written.outcome) == ("message.replay", "failed")
    assert f"stopped_at_message={processed[0]}" in (in_english(written.detail) or "")


def test_the_list_is_narrowed_and_paged(run: Command, concord: MemoryConcord) -> None:
    for number in range(3):
        concord.audit.add(_entry(subject=str(number), actor="bob"))
    concord.audit.add(_entry(action="rule.add"))

    assert [one["subject"] for one in run("audit", "list", "--actor", "bob", "--json").json] == ["2", "1", "0"]
    assert [one["action"] for one in run("audit", "list", "--action", "rule", "--json").json] == ["rule.add"]
    assert "--before 2" in run("audit", "list", "--actor", "bob", "--limit", "2").out
    assert [one["id"] for one in run("audit", "list", "--before", "2", "--json").json] == [1]
    assert "Fewer options" in run("audit", "list", "--actor", "nobody").out


def test_verify_shows_the_newest_row_to_be_noted_and_finds_it_again(run: Command, concord: MemoryConcord) -> None:
    assert run("audit", "verify").out == "Nobody has asked for anything yet.\n"
    first = concord.audit.add(_entry())
    noted = run("audit", "verify", "--json").json["newest"]
    concord.audit.add(_entry())

    assert noted == f"{first.id}:{first.hash}"
    assert run("audit", "verify", "--noted", noted).code == 0
    assert "2 rows, as they were written" in run("audit", "verify").out
    assert run("audit", "verify", "--noted", "1:abc").code == 2


def test_verify_says_where_the_audit_is_not_as_it_was_written(run: Command, concord: MemoryConcord) -> None:
    rows = [concord.audit.add(_entry(subject=str(number))) for number in range(3)]
    with transaction(concord.engine) as connection:
        connection.execute(text("UPDATE audit SET actor = 'bob' WHERE subject = '1'"))

    done = run("audit", "verify")

    assert done.code == 1
    assert "A row of the audit, or one just before it, was changed" in done.err
    assert f"row: {rows[1].id}" in done.err
    assert "audit.written" in done.err


def test_an_export_can_be_verified_by_whoever_has_it(run: Command, concord: MemoryConcord) -> None:
    """With nothing of Concord's, by what `concord.model.audit` says."""
    for detail in ("plain", "小红 “x”\n\x85 ", '="x"'):
        concord.audit.add(_entry(detail=detail))

    lines = run("audit", "export").out.splitlines()

    former = ""
    for line in lines:
        row = json.loads(line)
        expected = row.pop("hash")
        canonical = json.dumps(row, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        former = sha256(f"{former}\n{canonical}".encode()).hexdigest()
        assert former == expected
    assert len(lines) == 3
    assert "\x85" not in "".join(lines)


@pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t=", " =", "＝"])
def test_a_spreadsheet_is_given_no_formula(run: Command, concord: MemoryConcord, sign: str) -> None:
    concord.audit.add(_entry(subject=f'{sign}HYPERLINK("http://evil.example";"x")', detail="a,b\nc"))

    text = run("audit", "export", "--format", "csv").out

    assert text.startswith("\ufeff")
    (row,) = csv.DictReader(io.StringIO(text.removeprefix("\ufeff"), newline=""))
    assert row["subject"].startswith("'")
    assert row["detail"] == "a,b\nc"
    assert row["hash"] == concord.audit.entries(AuditFilter(limit=2))[-1].hash


def test_an_export_is_narrowed_too(run: Command, concord: MemoryConcord) -> None:
    concord.audit.add(_entry(actor="bob"))
    concord.audit.add(_entry())

    assert [json.loads(line)["actor"] for line in run("audit", "export", "--actor", "bob").out.splitlines()] == ["bob"]


def _entry(
    *, actor: str = "alice", action: str = "account.add", subject: str = "sales", detail: str = ""
) -> AuditEntry:
    return AuditEntry(
        at=datetime.now(UTC), actor=actor, via="cli", action=action, subject=subject, outcome="done", detail=detail
    )
