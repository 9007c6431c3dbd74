"""Accounts from the command line (A1, A3, A5)."""

from __future__ import annotations

import pytest

from concord.model.account import Account, AccountNote, Tls
from concord.model.binding import of_password
from concord.model.discovery import DiscoverySource, FoundServer
from tests.fakes.command import Command, MemoryConcord

ADD = ("account", "add", "sales", "--host", "mail.example.com", "--user", "alice", "--password-stdin")


def test_added_account_is_kept_sealed_and_scheduled(run: Command, concord: MemoryConcord) -> None:
    answer = run(*ADD, stdin="geheim\n")

    account = concord.accounts.get("sales")
    assert (answer.code, answer.err) == (0, "")
    assert concord.vault.unseal(account.secret, of_password(account)) == "geheim"
    assert account.port == 993
    assert concord.memory_schedule.intervals == {account.id: 60}
    assert "geheim" not in answer.out


@pytest.mark.parametrize(("tls", "port"), [("implicit", 993), ("starttls", 143), ("none", 143)])
def test_port_follows_the_kind_of_connection(run: Command, concord: MemoryConcord, tls: str, port: int) -> None:
    run(*ADD, "--tls", tls, stdin="x")

    assert (concord.accounts.get("sales").tls, concord.accounts.get("sales").port) == (Tls(tls), port)


def test_plain_connection_is_warned_of(run: Command) -> None:
    answer = run(*ADD, "--tls", "none", stdin="x")

    assert answer.code == 0
    assert "in clear" in answer.err


def test_password_keeps_all_but_its_last_line_end(run: Command, concord: MemoryConcord) -> None:
    run(*ADD, stdin=" two words \r\n")

    assert (
        concord.vault.unseal(concord.accounts.get("sales").secret, of_password(concord.accounts.get("sales")))
        == " two words "
    )


def test_account_is_stored_while_redis_is_away(run: Command, concord: MemoryConcord) -> None:
    concord.memory_schedule.down = True

    answer = run(*ADD, stdin="x")

    assert answer.code == 0
    assert "follows automatically" in answer.err
    assert [account.name for account in concord.accounts.all()] == ["sales"]


def test_existing_name_is_refused_before_the_password(run: Command, sales: Account) -> None:
    answer = run(*ADD)

    assert answer.code == 2
    assert "already" in answer.err


def test_edit_changes_only_what_is_said(run: Command, concord: MemoryConcord, sales: Account) -> None:
    answer = run("account", "edit", "sales", "--interval", "90", "--after", "move:Done", "--folder", "INBOX")

    changed = concord.accounts.get("sales")
    assert answer.code == 0, answer.err
    assert (changed.interval, str(changed.after), changed.host) == (90, "move:Done", sales.host)
    assert concord.vault.unseal(changed.secret, of_password(changed)) == "sesame"
    assert concord.memory_schedule.intervals == {sales.id: 90}


@pytest.mark.parametrize(("option", "stays"), [("--same-mailbox", True), ("--another-mailbox", False)])
def test_edit_asks_what_a_changed_host_means(
    run: Command, concord: MemoryConcord, sales: Account, option: str, *, stays: bool
) -> None:
    """P24: never guessed."""
    edit = ("account", "edit", "sales", "--host", "imap.example.org", "--password-stdin")
    refused = run(*edit, stdin="sesame\n")
    both = run(*edit, "--same-mailbox", "--another-mailbox", stdin="sesame\n")
    assert (refused.code, both.code) == (2, 2)
    assert "--same-mailbox" in refused.err
    assert concord.accounts.get("sales") == sales

    without = run(*edit[:-1], option)
    answer = run(*edit, option, stdin="sesame\n")

    assert "The password is for the server" in without.err
    after = concord.accounts.get("sales")
    assert answer.code == 0, answer.err
    assert (after.host, after.id == sales.id) == ("imap.example.org", stays)


def test_show_tells_what_was_found_out_about_the_server(run: Command, concord: MemoryConcord, sales: Account) -> None:
    concord.accounts.note(sales.id, AccountNote.SEARCH_UNRELIABLE, holds=True)

    assert "SEARCH is wrong" in run("account", "show", "sales").out


def test_edit_can_go_back_to_the_default_interval(run: Command, concord: MemoryConcord, sales: Account) -> None:
    run("account", "edit", "sales", "--interval", "90")
    run("account", "edit", "sales", "--interval", "0")

    assert concord.accounts.get("sales").interval is None


def test_edit_moves_the_port_only_from_the_old_default(run: Command, concord: MemoryConcord, sales: Account) -> None:
    edit = ("account", "edit", "sales", "--password-stdin")
    run(*edit, "--tls", "starttls", stdin="sesame\n")
    moved = concord.accounts.get("sales").port
    run(*edit, "--port", "1143", stdin="sesame\n")
    run(*edit, "--tls", "implicit", stdin="sesame\n")

    assert (moved, concord.accounts.get("sales").port) == (143, 1143)


def test_disabled_account_leaves_the_schedule_and_comes_back(
    run: Command, concord: MemoryConcord, sales: Account
) -> None:
    run("sync-email-tasks")
    run("account", "disable", "sales")
    gone = dict(concord.memory_schedule.intervals)
    run("account", "enable", "sales")

    assert gone == {}
    assert concord.memory_schedule.intervals == {sales.id: 60}


def test_removed_account_keeps_its_messages(run: Command, concord: MemoryConcord, processed: list[int]) -> None:
    answer = run("account", "remove", "sales")

    assert answer.code == 0
    assert run("account", "list", "--json").json == []
    assert [one["id"] for one in run("message", "list", "--account", "sales", "--json").json] == processed[::-1]


def test_empty_list_says_what_to_do(run: Command) -> None:
    assert "concord account add" in run("account", "list").out


def test_list_and_show_never_have_the_secret(run: Command, processed: list[int]) -> None:
    texts = [
        run("account", verb, *name, *how).out
        for verb, *name in (["list"], ["show", "sales"])
        for how in ((), ("--json",))
    ]

    assert all("sesame" not in text and "c2VhbGVk" not in text for text in texts)
    assert '"password": "set"' in texts[1]


def test_show_has_state_cursors_and_counts(run: Command, processed: list[int]) -> None:
    shown = run("account", "show", "sales", "--json").json

    assert (shown["state"], shown["messages"]["processed"]) == ("ok", 3)
    assert shown["last_success"].endswith("Z")
    assert [cursor["folder"] for cursor in shown["cursors"]] == ["INBOX"]
    assert "Read up to UID" in run("account", "show", "sales").out


def test_connection_test_tells_each_step_and_fails_with_one(
    run: Command, concord: MemoryConcord, sales: Account
) -> None:
    good = run("account", "test", "sales")
    concord.mailboxes.mailboxes["alice"].denied = True
    bad = run("account", "test", "sales")

    assert (good.code, bad.code) == (0, 1)
    assert "✓ tcp" in bad.out
    assert "✗ login" in bad.out
    assert "cause: denied" in bad.out


def test_poll_archives_now_and_says_so(run: Command, concord: MemoryConcord, sales: Account) -> None:
    concord.mailboxes.deliver("alice", b"Subject: now\r\n\r\nx")

    answer = run("poll", "sales")

    assert (answer.code, answer.out) == (0, "sales: 1 new message archived.\n")


def test_failed_poll_is_told_with_its_remedy(run: Command, concord: MemoryConcord, sales: Account) -> None:
    concord.mailboxes.mailboxes["alice"].denied = True

    answer = run("poll", "sales", "--json")

    assert answer.code == 1
    assert answer.json["error"]["code"] == "mailbox_denied"
    assert answer.json["error"]["remedy"]


def test_sync_tells_what_changed(run: Command, sales: Account) -> None:
    """P2."""
    first, second = run("sync-email-tasks", "--json").json, run("sync-email-tasks", "--json").json

    assert first == {"added": 1, "removed": 0, "updated": 0, "total": 1}
    assert second == {"added": 0, "removed": 0, "updated": 0, "total": 1}


def test_a_mail_address_leads_to_its_server(run: Command, concord: MemoryConcord) -> None:
    found = FoundServer(
        host="mail.example.org",
        port=1143,
        tls=Tls.STARTTLS,
        user="ann@example.org",
        source=DiscoverySource.SRV,
        place="_imap._tcp.example.org",
    )
    concord.memory_discoverer.servers["ann@example.org"] = (found,)

    answer = run("account", "discover", "ann@example.org")

    assert answer.code == 0
    assert "the domain's DNS says so (_imap._tcp.example.org)" in answer.out
    assert "--host mail.example.org --user ann@example.org --tls starttls --port 1143" in answer.out
    assert run("account", "discover", "ann@example.org", "--json").json["found"][0]["source"] == "srv"


def test_an_address_that_nobody_knows_is_told_so(run: Command) -> None:
    answer = run("account", "discover", "ann@example.net")

    assert answer.code == 1
    assert "Nobody knows" in answer.out


def test_what_is_no_address_is_refused(run: Command) -> None:
    assert run("account", "discover", "ann").code == 2


@pytest.mark.parametrize(
    ("found", "told"), [(0, "0, as of"), (3, "3, as of"), (None, "unknown"), ("never", "not compared")]
)
def test_unaccounted_mail_is_told(
    run: Command, concord: MemoryConcord, sales: Account, found: int | str | None, told: str
) -> None:
    """O7."""
    if found != "never":
        assert not isinstance(found, str)
        concord.accounts.reconciled(sales.id, found)

    shown, listed = run("account", "show", "sales"), run("account", "list", "--json").json

    assert told in shown.out
    assert listed[0]["unaccounted"] == (None if found == "never" else found)
