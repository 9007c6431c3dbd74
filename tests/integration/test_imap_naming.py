"""Saying who we are (RFC 2971): NetEase opens no folder to a client that has not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from concord.adapters.imap import wire
from concord.adapters.imap.naming import introduce
from concord.adapters.imap.watchdog import Watchdog
from concord.errors import MailboxDownError
from tests.servers.hostile_imap import HostileImap, Talk
from tests.servers.imap_accounts import Polls, account_at


def strict_status(talk: Talk) -> None:
    """As imap.163.com does."""
    if "ID" in talk.server.verbs():
        talk.server.tell_status(talk)
    else:
        talk.done(b"NO STATUS Unsafe Login. Please contact kefu@188.com for help")


def test_a_server_that_asks_for_a_name_gets_one(polls: Polls) -> None:
    with HostileImap(capabilities=b"IMAP4rev1 ID UNSELECT", STATUS=strict_status) as server:
        with polls.open(account_at(server.port)) as source:
            source.status("INBOX")

        assert b'ID ("name" "Concord"' in b"\n".join(server.commands)


def test_the_connection_test_says_the_name_too(polls: Polls) -> None:
    with HostileImap(capabilities=b"IMAP4rev1 ID", LIST=_one_folder, STATUS=strict_status) as server:
        *_, last = polls.sources.test(account_at(server.port))

    assert (last.name, last.ok) == ("folders", True)


def test_a_name_that_is_refused_changes_nothing(polls: Polls) -> None:
    with (
        HostileImap(capabilities=b"IMAP4rev1 ID", ID=lambda talk: talk.done(b"BAD what?")) as server,
        polls.open(account_at(server.port)) as source,
    ):
        assert source.status("INBOX").uidvalidity == 7


def test_a_provider_known_to_want_it_is_told_though_it_offers_nothing() -> None:
    with HostileImap() as server:
        _introduced(server, host="imap.163.com")

        assert "ID" in server.verbs()


def test_others_are_not_bothered() -> None:
    with HostileImap() as server:
        _introduced(server, host="127.0.0.1")

        assert "ID" not in server.verbs()


def test_a_server_that_hangs_up_at_the_name_is_down(polls: Polls) -> None:
    with (
        HostileImap(capabilities=b"IMAP4rev1 ID", ID=Talk.cut) as server,
        pytest.raises(MailboxDownError),
        polls.open(account_at(server.port)),
    ):
        pass


def _one_folder(talk: Talk) -> None:
    talk.say(b'* LIST () "/" INBOX')
    talk.done()


def _introduced(server: HostileImap, *, host: str) -> None:
    account = account_at(server.port)
    guard = Watchdog().guard(10)
    client = wire.connect(account, Polls().settings, guard)
    client.login(account.user, "hunter2")
    introduce(replace(account, host=host), client)
    wire.hang_up(client)
    guard.end()
