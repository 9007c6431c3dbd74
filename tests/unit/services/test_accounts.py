"""Mailboxes as operators handle them from pages and programs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from concord.errors import NotFoundError, QueueDownError, UsageError
from concord.model.account import Account, AuthKind, Mailbox
from concord.model.binding import of_password
from concord.model.caller import Caller
from concord.services import accounts
from tests.fakes.command import MemoryConcord
from tests.servers.certificates import authority_pem

BY = Caller(actor="olga", via="admin", address="127.0.0.1")
AUTHORITY = authority_pem()


@pytest.fixture
def parts() -> MemoryConcord:
    """One account is there: bob."""
    made = MemoryConcord()
    made.accounts.add(Account(name="bob", host="mail.example.org", user="bob", secret=made.vault.seal("sesame")))
    return made


def test_a_poll_that_is_asked_for_is_queued_and_written_down(parts: MemoryConcord) -> None:
    accounts.poll_soon(parts, "bob", by=BY)

    assert parts.memory_queue.forced == [parts.accounts.get("bob").id]
    (entry,) = parts.audit.entries()
    assert (entry.action, entry.subject, entry.outcome, entry.detail) == ("account.poll", "bob", "done", "queued")


def test_without_redis_a_poll_is_refused_in_words(parts: MemoryConcord) -> None:
    parts.memory_queue.down = True

    with pytest.raises(QueueDownError):
        accounts.poll_soon(parts, "bob", by=BY)

    assert parts.audit.entries()[0].outcome == "failed"


def test_what_is_not_there_is_not_polled(parts: MemoryConcord) -> None:
    with pytest.raises(NotFoundError):
        accounts.poll_soon(parts, "eve", by=BY)

    assert parts.memory_queue.polls == []


def test_a_form_shows_each_mistake_once(parts: MemoryConcord) -> None:
    _, mistakes = accounts.read_form(parts, {"name": "", "host": "a b", "user": "x", "port": "many"})

    assert [mistake.path for mistake in mistakes] == [("port",), ("name",), ("host",)]


@pytest.mark.parametrize(
    "said",
    [
        {"host": "evil.example"},
        {"port": 1993},
        {"tls": "none"},
        {"tls": "starttls"},
        {"user": "robert"},
        {"ca_pem": AUTHORITY},
    ],
)
def test_a_kept_password_goes_to_no_other_server(parts: MemoryConcord, said: dict[str, Any]) -> None:
    """Permission to change a mailbox does not reveal its password."""
    with pytest.raises(UsageError, match="The password is for the server"):
        accounts.edit(parts, "bob", said, by=BY)
    assert parts.accounts.get("bob").host == "mail.example.org"

    accounts.edit(parts, "bob", said, password="another", mailbox=Mailbox.SAME, by=BY)
    assert parts.vault.unseal(parts.accounts.get("bob").secret, of_password(parts.accounts.get("bob"))) == "another"


def test_a_kept_token_goes_to_no_other_server_at_all(parts: MemoryConcord) -> None:
    parts.accounts.save(replace(parts.accounts.get("bob"), auth=AuthKind.OAUTH2, oauth_client="google"))

    with pytest.raises(UsageError, match="The token is for the server"):
        accounts.edit(parts, "bob", {"host": "evil.example"}, by=BY)


@pytest.mark.parametrize("said", [{"host": "MAIL.example.org"}, {"interval": 90}, {"folders": ["INBOX", "Jobs"]}])
def test_what_stays_on_the_same_server_keeps_its_password(parts: MemoryConcord, said: dict[str, Any]) -> None:
    changed = accounts.edit(parts, "bob", said, mailbox=Mailbox.SAME, by=BY)

    assert parts.vault.unseal(changed.account.secret, of_password(changed.account)) == "sesame"


@pytest.mark.parametrize("said", [{"host": "new.example.org"}, {"port": 1993}, {"tls": "starttls"}, {"user": "robert"}])
def test_a_password_does_not_move_along_at_a_shell_either(parts: MemoryConcord, said: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="The password is for the server"):
        accounts.edit(parts, "bob", said, mailbox=Mailbox.SAME, by=ROOT)


# The same mailbox, moved, or another one (P24).

ROOT = Caller(actor="root")


@pytest.mark.parametrize("said", [{"host": "new.example.org"}, {"user": "robert"}])
def test_a_changed_host_or_user_is_asked_about(parts: MemoryConcord, said: dict[str, Any]) -> None:
    before = parts.accounts.get("bob")

    with pytest.raises(UsageError, match="the same mailbox, moved, or another one"):
        accounts.edit(parts, "bob", said, password="sesame", by=ROOT)

    assert parts.accounts.get("bob") == before


@pytest.mark.parametrize("said", [{"port": 1993}, {"tls": "starttls"}, {"host": "MAIL.example.org."}, {"start": "all"}])
def test_another_way_to_the_same_mailbox_is_not_asked_about(parts: MemoryConcord, said: dict[str, Any]) -> None:
    before = parts.accounts.get("bob")

    changed = accounts.edit(parts, "bob", said, password="sesame", by=ROOT).account

    assert (changed.id, changed.key) == (before.id, before.key)


@pytest.mark.parametrize("answer", list(Mailbox))
def test_the_answer_says_whether_the_identity_stays(parts: MemoryConcord, answer: Mailbox) -> None:
    before = parts.accounts.get("bob")

    after = accounts.edit(parts, "bob", {"user": "robert"}, password="sesame", mailbox=answer, by=ROOT).account

    is_same = answer is Mailbox.SAME
    assert (after.id == before.id, after.key == before.key) == (is_same, is_same)
    assert (after.name, after.user) == ("bob", "robert")
    assert parts.vault.unseal(after.secret, of_password(after)) == "sesame"
