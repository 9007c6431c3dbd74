"""Lists of accounts from a browser (A8): a preview that changes nothing, then the same carried out."""

from __future__ import annotations

from pathlib import Path

import pytest

from concord.errors import UsageError
from concord.model.account import Account
from concord.model.binding import of_password
from concord.model.caller import Caller
from concord.pipeline.account_plan import PlannedRow, RowVerb
from concord.services import importing
from concord.wording import english
from tests.fakes.command import MemoryConcord

BY = Caller(actor="olga", via="admin", address="127.0.0.1")
HEADER = "name,host,user,password\n"


@pytest.fixture
def parts() -> MemoryConcord:
    """One account is there: bob, whose password is `sesame`."""
    made = MemoryConcord()
    made.accounts.add(
        Account(name="bob", host="mail.example.org", user="bob", secret=made.vault.seal("sesame"), interval=30)
    )
    return made


def verbs(rows: list[PlannedRow]) -> dict[str, RowVerb]:
    return {row.name: row.verb for row in rows}


def test_a_preview_says_what_each_row_would_change_and_changes_nothing(parts: MemoryConcord) -> None:
    rows = importing.plan(
        parts,
        HEADER
        + "ann,mail.example.org,ann,open\n"
        + "bob,mail.example.org,bob,sesame\n"
        + "eve,https://mail.example.org,eve,open\n",
    )

    assert verbs(rows) == {"ann": RowVerb.ADD, "bob": RowVerb.SAME, "eve": RowVerb.WRONG}
    assert rows[2].place == 4
    assert rows[2].error
    assert rows[2].error.facts["cause"] == "it is a URL"
    assert [account.name for account in parts.accounts.all()] == ["bob"]


def test_what_a_row_does_not_say_stays_as_it_is(parts: MemoryConcord) -> None:
    (row,) = importing.plan(
        parts, "name,host,user,password,priority,mailbox\nbob,mail.example.org,robert,sesame,high,same\n"
    )

    assert row.verb is RowVerb.CHANGE
    assert [one.field for one in row.differences] == ["user", "priority"]
    assert row.account
    assert row.account.interval == 30


def test_a_changed_user_is_asked_about(parts: MemoryConcord) -> None:
    """P24: never guessed."""
    header = "name,host,user,password,mailbox\n"
    (asked,) = importing.plan(parts, header + "bob,mail.example.org,robert,sesame,\n")
    (wrong,) = importing.plan(parts, header + "bob,mail.example.org,robert,sesame,perhaps\n")
    (other,) = importing.plan(parts, header + "bob,mail.example.org,robert,sesame,another\n")
    before = parts.accounts.get("bob")

    importing.carry_out(parts, [asked, wrong], by=BY)
    assert (asked.verb, wrong.verb, parts.accounts.get("bob")) == (RowVerb.WRONG, RowVerb.WRONG, before)
    importing.carry_out(parts, [other], by=BY)
    assert parts.accounts.get("bob").id != before.id


def test_of_another_password_only_that_is_told(parts: MemoryConcord) -> None:
    (row,) = importing.plan(parts, HEADER + "bob,mail.example.org,bob,hunter2\n")

    assert [(one.field, one.after) for one in row.differences] == [("password", "…")]
    assert "hunter2" not in repr(row)

    importing.carry_out(parts, [row], by=BY)

    assert parts.vault.unseal(parts.accounts.get("bob").secret, of_password(parts.accounts.get("bob"))) == "hunter2"
    assert "hunter2" not in repr(parts.audit.entries())


def test_a_list_names_no_files_of_this_machine(parts: MemoryConcord, tmp_path: Path) -> None:
    """Whoever may import must not read the daemon's secrets into a password that goes to a server of theirs."""
    (tmp_path / "key").write_text("the key")

    rows = importing.plan(
        parts,
        f"name,host,user,password_file,password_env\nann,evil.example,ann,{tmp_path}/key,\neve,evil.example,eve,,HOME\n",
    )

    assert {row.verb for row in rows} == {RowVerb.WRONG}
    assert all(row.error and "command line" in english.remedy(row.error) for row in rows)
    assert "the key" not in repr(rows)


def test_toml_is_known_by_its_tables(parts: MemoryConcord) -> None:
    rows = importing.plan(
        parts,
        '[[accounts]]\nname = "ann"\nhost = "h.example.org"\nuser = "ann"\npassword = "open"\nfolders = ["A", "B"]\n',
    )

    assert verbs(rows) == {"ann": RowVerb.ADD}


def test_a_name_that_stands_there_twice_is_told(parts: MemoryConcord) -> None:
    rows = importing.plan(parts, HEADER + "ann,h.example.org,ann,x\nann,h.example.org,ann,x\n,h.example.org,x,x\n")

    assert [row.verb for row in rows] == [RowVerb.ADD, RowVerb.WRONG, RowVerb.WRONG]
    assert rows[1].error
    assert rows[1].error.facts["cause"] == "it stands at 2 already"
    assert rows[2].error
    assert str(rows[2].error) == "An account has no name"


def test_a_new_account_needs_a_password(parts: MemoryConcord) -> None:
    (row,) = importing.plan(parts, "name,host,user\nann,mail.example.org,ann\n")

    assert row.error
    assert str(row.error) == "The password is empty"


@pytest.mark.parametrize(
    ("octets", "message"),
    [
        (b"", "The list is empty"),
        (b" \n", "The list is empty"),
        (b"\xff\xfe\x00", "The list is not UTF-8 text"),
        (b"x" * (importing.MOST_OCTETS + 1), "The list is too long"),
    ],
)
def test_a_list_that_cannot_be_read_is_refused(octets: bytes, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        importing.decoded(octets)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,host\n", "lacks a column"),
        (HEADER, "has no accounts"),
        ("[[accounts]]\nname = \n", "not valid TOML"),
        (HEADER + "a,b,c,d\n" * (importing.MOST_ROWS + 1), "too many accounts"),
    ],
)
def test_a_list_that_holds_nothing_to_do_is_refused(parts: MemoryConcord, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        importing.plan(parts, text)


def test_the_right_rows_are_carried_out_and_written_down(parts: MemoryConcord) -> None:
    text = "ann,mail.example.org,ann,open,\nbob,imap.example.org,bob,sesame,same\neve,,eve,open,\n"
    rows = importing.plan(parts, HEADER.replace("\n", ",mailbox\n") + text)
    told: list[importing.ImportedRow] = []

    done = importing.carry_out(parts, rows, by=BY, told=told.append)

    assert [(row.name, row.verb, row.error is None) for row in done.rows] == [
        ("ann", RowVerb.ADD, True),
        ("bob", RowVerb.CHANGE, True),
        ("eve", RowVerb.WRONG, False),
    ]
    assert tuple(told) == done.rows
    assert done.schedule
    assert done.schedule.sync
    assert done.schedule.sync.total == 2
    assert parts.vault.unseal(parts.accounts.get("ann").secret, of_password(parts.accounts.get("ann"))) == "open"
    assert parts.vault.unseal(parts.accounts.get("bob").secret, of_password(parts.accounts.get("bob"))) == "sesame"
    assert [(entry.action, entry.subject, entry.actor) for entry in parts.audit.entries()] == [
        ("account.edit", "bob", "olga"),
        ("account.add", "ann", "olga"),
    ]


def test_an_account_that_came_meanwhile_does_not_stop_the_others(parts: MemoryConcord) -> None:
    rows = importing.plan(parts, HEADER + "ann,mail.example.org,ann,open\neve,mail.example.org,eve,open\n")
    parts.accounts.add(Account(name="ann", host="h.example.org", user="ann"))

    done = importing.carry_out(parts, rows, by=BY)

    assert done.rows[0].error
    assert done.rows[0].error.code == "exists"
    assert done.rows[1].error is None


def test_without_redis_the_accounts_are_kept_all_the_same(parts: MemoryConcord) -> None:
    parts.memory_schedule.down = True

    done = importing.carry_out(parts, importing.plan(parts, HEADER + "ann,mail.example.org,ann,open\n"), by=BY)

    assert done.schedule
    assert done.schedule.trouble
    assert parts.accounts.get("ann").host == "mail.example.org"


def test_what_changes_nothing_leaves_no_trace(parts: MemoryConcord) -> None:
    done = importing.carry_out(parts, importing.plan(parts, HEADER + "bob,mail.example.org,bob,sesame\n"), by=BY)

    assert done.schedule is None
    assert parts.audit.entries() == []


def test_a_kept_password_goes_to_no_other_server(parts: MemoryConcord) -> None:
    (row,) = importing.plan(parts, "name,host,user\nbob,evil.example,bob\n")

    assert row.error
    assert str(row.error) == "The password is for the server and the login it was given for"
