"""Plan, apply and import (A8): twice is as good as once."""

from __future__ import annotations

from pathlib import Path

import pytest

from concord.model.account import Account
from concord.model.binding import of_password
from tests.fakes.command import Answer, Command, MemoryConcord

PLAN = """
[[accounts]]
name = "billing"
host = "mail.example.org"
user = "billing"
password_file = "password"
after = "move:Done"

[[handlers]]
name = "crm"
kind = "webhook"
options = { url = "https://example.com/" }
secret_env = "CRM_SECRET"

[[workflows]]
name = "flow"
steps = [{ name = "call", kind = "celery", options = { task = "x", queue = "y" } }]

[[rules]]
name = "invoices"
match = { subject = ["*invoice*"] }
handlers = ["crm", "log"]
workflows = ["flow"]
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CRM_SECRET", "whsec_" + "QUJD" * 8)
    (tmp_path / "password").write_text("geheim\n")
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    return path


def lines(answer: Answer) -> list[str]:
    return [line for line in answer.out.splitlines() if line.startswith(("+", "~", "-"))]


def test_plan_changes_nothing(run: Command, concord: MemoryConcord, file: Path) -> None:
    answer = run("apply", str(file), "--plan")

    assert answer.code == 0, answer.err
    assert lines(answer) == ["+ handler 'crm'", "+ workflow 'flow'", "+ account 'billing'", "+ rule 'invoices'"]
    assert (concord.accounts.all(), concord.rulebook.rules()) == ([], [])


def test_second_time_there_is_nothing_to_change(run: Command, concord: MemoryConcord, file: Path) -> None:
    first, second = run("apply", str(file)), run("apply", str(file))

    assert first.code == 0, first.err
    assert second.out == "Nothing to change.\n"
    assert (
        concord.vault.unseal(concord.accounts.get("billing").secret, of_password(concord.accounts.get("billing")))
        == "geheim"
    )
    assert concord.memory_schedule.intervals


def test_changed_fields_are_shown_but_no_password(run: Command, concord: MemoryConcord, file: Path) -> None:
    run("apply", str(file))
    file.write_text(PLAN.replace("move:Done", "seen").replace("*invoice*", "*bill*"))
    (file.parent / "password").write_text("neues geheimnis")

    answer = run("apply", str(file))

    assert lines(answer) == ["~ account 'billing'", "~ rule 'invoices'"]
    assert 'after: "move:Done" → "seen"' in answer.out
    assert "password: another one" in answer.out
    assert "geheim" not in answer.out
    assert (
        concord.vault.unseal(concord.accounts.get("billing").secret, of_password(concord.accounts.get("billing")))
        == "neues geheimnis"
    )


@pytest.mark.parametrize(("answer", "stays"), [("same", True), ("another", False)])
def test_changed_host_is_asked_about(
    run: Command, concord: MemoryConcord, file: Path, answer: str, *, stays: bool
) -> None:
    """P24: the same mailbox, moved, or another one: never guessed."""
    run("apply", str(file))
    before = concord.accounts.get("billing")
    moved = PLAN.replace('host = "mail.example.org"', 'host = "imap.example.org"')
    file.write_text(moved)

    refused = run("apply", str(file))
    file.write_text(moved.replace('user = "billing"', f'user = "billing"\nmailbox = "{answer}"'))
    done = run("apply", str(file))

    assert (refused.code, done.code) == (2, 0), done.err
    assert "the same mailbox, moved, or another one?" in refused.err
    after = concord.accounts.get("billing")
    assert (after.host, after.id == before.id, after.key == before.key) == ("imap.example.org", stays, stays)
    assert concord.vault.unseal(after.secret, of_password(after)) == "geheim"
    assert run("apply", str(file)).out == "Nothing to change.\n"


def test_password_stays_where_the_file_names_none(run: Command, concord: MemoryConcord, file: Path) -> None:
    run("apply", str(file))
    file.write_text(PLAN.replace('password_file = "password"\n', ""))

    assert run("apply", str(file)).out == "Nothing to change.\n"


def test_only_pruning_removes_and_only_in_named_sections(
    run: Command, concord: MemoryConcord, sales: Account, file: Path
) -> None:
    run("apply", str(file))
    file.write_text("rules = []\n")

    kept, pruned = run("apply", str(file)), run("apply", str(file), "--prune", "--json")

    assert kept.out == "Nothing to change.\n"
    assert [(one["verb"], one["name"]) for one in pruned.json["changes"]] == [("remove", "invoices")]
    assert {account.name for account in concord.accounts.all()} == {"billing", "sales"}


def test_pruning_keeps_what_remaining_rules_name(run: Command, concord: MemoryConcord, file: Path) -> None:
    run("apply", str(file))
    file.write_text("handlers = []\n")

    answer = run("apply", str(file), "--prune")

    assert answer.code == 2
    assert "handler: crm" in answer.err
    assert len(concord.rulebook.handlers()) == 1


def test_wrong_entry_stops_all_before_anything(run: Command, concord: MemoryConcord, file: Path) -> None:
    file.write_text(PLAN.replace('handlers = ["crm", "log"]', 'handlers = ["cmr"]'))

    answer = run("apply", str(file))

    assert answer.code == 2
    assert "Did you mean 'crm'?" in answer.err
    assert (concord.accounts.all(), concord.rulebook.handlers()) == ([], [])


CSV = """name,host,user,password,tls,folders
one,mail.example.com,u1,geheim-1,implicit,INBOX;Rechnungen
two,mail.example.com,u2,"geheim,2",starttls,
"""


def imported(run: Command, tmp_path: Path, text: str, *options: str, name: str = "accounts.csv") -> Answer:
    (tmp_path / name).write_text(text, encoding="utf-8")
    return run("account", "import", str(tmp_path / name), *options)


def test_csv_is_imported(run: Command, concord: MemoryConcord, tmp_path: Path) -> None:
    answer = imported(run, tmp_path, CSV)

    one, two = concord.accounts.get("one"), concord.accounts.get("two")
    assert (answer.code, answer.out) == (0, "2 accounts imported.\n"), answer.err
    assert (one.folders, two.port) == (("INBOX", "Rechnungen"), 143)
    assert concord.vault.unseal(two.secret, of_password(two)) == "geheim,2"
    assert set(concord.memory_schedule.intervals) == {one.id, two.id}


def test_one_wrong_row_imports_none(run: Command, concord: MemoryConcord, tmp_path: Path) -> None:
    text = CSV + "three,bad host,u3,geheim-3,implicit,\none,mail.example.com,u4,geheim-4,,\n"

    answer = imported(run, tmp_path, text)

    assert answer.code == 2
    assert "line 4" in answer.err
    assert "bad host" in answer.err
    assert "line 5" in answer.err
    assert "it stands at 2 already" in answer.err
    assert "geheim" not in answer.out + answer.err
    assert concord.accounts.all() == []


def test_right_rows_are_imported_when_asked(run: Command, concord: MemoryConcord, tmp_path: Path) -> None:
    answer = imported(run, tmp_path, CSV + "three,bad host,u3,x,,\n", "--keep-going", "--json")

    assert answer.code == 2
    assert answer.json["imported"] == ["one", "two"]
    assert [(row["line"], row["name"]) for row in answer.json["refused"]] == [(4, "three")]
    assert len(concord.accounts.all()) == 2


def test_semicolons_and_a_byte_order_mark_are_read(run: Command, concord: MemoryConcord, tmp_path: Path) -> None:
    answer = imported(run, tmp_path, "\ufeffName;Host;User;Password\none;mail.example.com;u;x\n")

    assert answer.code == 0, answer.err
    assert concord.accounts.get("one").user == "u"


def test_toml_is_imported_with_password_files(run: Command, concord: MemoryConcord, tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("geheim")
    text = '[[accounts]]\nname = "one"\nhost = "mail.example.com"\nuser = "u"\npassword_file = "pw"\n'

    answer = imported(run, tmp_path, text, name="accounts.toml")

    assert answer.code == 0, answer.err
    assert (
        concord.vault.unseal(concord.accounts.get("one").secret, of_password(concord.accounts.get("one"))) == "geheim"
    )
