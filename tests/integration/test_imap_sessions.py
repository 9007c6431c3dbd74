"""Connections kept between polls, the budget they live in, and what a kept one survives."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import resource
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from concord.adapters.imap.contexts import context_for
from concord.errors import MailboxBudgetError, MailboxDeniedError, MailboxDownError, MailboxFolderError, SecretKeyError
from concord.model.account import Tls
from concord.model.message import FetchedMail
from tests.servers.certificates import Certificates
from tests.servers.dovecot import Dovecot
from tests.servers.hostile_imap import HostileImap, Talk
from tests.servers.imap_accounts import VAULT, Polls, account_at, account_on, now, open_folder
from tests.waiting import eventually

HELLO = b"Subject: hello\r\n\r\nHello.\r\n"


def polls_with(**settings: Any) -> Iterator[Polls]:
    made = Polls(**settings)
    yield made
    made.sources.close()
    assert made.connections.slots == {}


@pytest.fixture
def two_at_most() -> Iterator[Polls]:
    """A budget of two connections for each login."""
    yield from polls_with(connections_per_login=2)


@pytest.fixture
def keeping_one() -> Iterator[Polls]:
    """One idle connection is kept, for any account."""
    yield from polls_with(keep_connections=1)


def looked(polls: Polls, dovecot: Dovecot, user: str, account_id: int = 1) -> None:
    """One idle poll."""
    with polls.open(account_on(dovecot, user, id=account_id)) as source:
        source.status("INBOX")


def asked(polls: Polls, server: HostileImap) -> None:
    with polls.open(account_at(server.port)) as source:
        source.status("INBOX")


# Kept connections.


def test_the_next_poll_logs_in_no_more(polls: Polls, dovecot: Dovecot, mailbox_user: str) -> None:
    for _ in range(5):
        looked(polls, dovecot, mailbox_user)

    assert dovecot.logins(mailbox_user) == 1
    assert len(polls.connections.slots) == 1


def test_an_idle_poll_on_a_kept_connection_is_one_question(polls: Polls) -> None:
    """P3: one STATUS, and nothing else, goes over the wire."""
    with HostileImap() as server:
        for _ in range(2):
            asked(polls, server)

        assert server.verbs() == ["CAPABILITY", "LOGIN", "CAPABILITY", "STATUS", "STATUS"]


def test_a_used_folder_is_closed_before_keeping(polls: Polls, dovecot: Dovecot, mailbox_user: str) -> None:
    with polls.open(account_on(dovecot, mailbox_user)) as source:
        source.select("INBOX", writable=True)
    dovecot.deliver(mailbox_user, HELLO)

    with polls.open(account_on(dovecot, mailbox_user)) as source:
        assert source.status("INBOX").messages == 1
    assert dovecot.logins(mailbox_user) == 2  # ours, and the one that delivered


def test_a_changed_password_never_rides_an_old_login(polls: Polls, dovecot: Dovecot, mailbox_user: str) -> None:
    looked(polls, dovecot, mailbox_user)

    edited = account_on(dovecot, mailbox_user, secret=VAULT.seal("mistyped"))
    with pytest.raises(MailboxDeniedError), polls.open(edited):
        pass

    assert polls.connections.slots == {}


def test_a_refused_folder_does_not_cost_the_connection(polls: Polls, dovecot: Dovecot, mailbox_user: str) -> None:
    with pytest.raises(MailboxFolderError), polls.open(account_on(dovecot, mailbox_user)) as source:
        source.status("Nirgends")
    looked(polls, dovecot, mailbox_user)

    assert dovecot.logins(mailbox_user) == 1


def test_an_error_of_somebody_else_costs_the_connection(polls: Polls, dovecot: Dovecot, mailbox_user: str) -> None:
    """Whatever interrupted the poll may have done so in the middle of an answer."""
    with pytest.raises(ZeroDivisionError), polls.open(account_on(dovecot, mailbox_user)):
        raise ZeroDivisionError

    assert polls.connections.slots == {}


def test_only_so_many_are_kept(keeping_one: Polls, dovecot: Dovecot, mailbox_user: str) -> None:
    for account_id in (1, 2, 3):
        looked(keeping_one, dovecot, mailbox_user, account_id)

    assert len(keeping_one.connections.slots) == 1


def test_none_is_kept_too_long(dovecot: Dovecot, mailbox_user: str) -> None:
    for polls in polls_with(keep_seconds=1):
        looked(polls, dovecot, mailbox_user)
        time.sleep(1.1)  # what is tested is that time passes
        looked(polls, dovecot, mailbox_user)

    assert dovecot.logins(mailbox_user) == 2


def test_a_slot_is_short_and_renewed_while_its_connection_is_open(
    polls: Polls, dovecot: Dovecot, mailbox_user: str
) -> None:
    """A6: a killed worker's slots are free within a minute, and a living one's never lapse."""
    looked(polls, dovecot, mailbox_user)
    [first] = polls.connections.until.values()

    assert first <= now() + timedelta(seconds=60)
    assert eventually(lambda: min(polls.connections.until.values()) > first)
    assert polls.connections.idle == set(polls.connections.slots)


def test_a_kept_connection_whose_slot_lapsed_is_closed(polls: Polls, dovecot: Dovecot, mailbox_user: str) -> None:
    """Somebody else may count on its place by now."""
    looked(polls, dovecot, mailbox_user)
    polls.connections.lose()

    assert eventually(lambda: not polls.connections.until)
    looked(polls, dovecot, mailbox_user)

    assert dovecot.logins(mailbox_user) == 2


def test_a_connection_in_use_whose_slot_lapsed_is_not_kept(polls: Polls, dovecot: Dovecot, mailbox_user: str) -> None:
    with polls.open(account_on(dovecot, mailbox_user)) as source:
        polls.connections.lose()
        polls.sources._slots.renew()
        source.status("INBOX")

    assert polls.connections.until == {}


def test_two_processes_share_a_budget_of_one(dovecot: Dovecot, mailbox_user: str) -> None:
    """W8: a connection that one keeps for later is given up where the other needs its place."""
    for first in polls_with(connections_per_login=1):
        second = Polls(connections_per_login=1, connections=first.connections)
        looked(first, dovecot, mailbox_user)
        looked(second, dovecot, mailbox_user)
        looked(first, dovecot, mailbox_user)
        second.sources.close()

    assert first.connections.most == 1
    assert dovecot.logins(mailbox_user) == 3


def test_more_mailboxes_than_are_kept_still_reuse_most(dovecot: Dovecot, mailbox_user: str) -> None:
    """A7: three mailboxes in turn, two lines. Dropping the longest idle would drop the very one that is needed next."""
    for polls in polls_with(keep_connections=2):
        for _ in range(4):
            for account_id in (1, 2, 3):
                looked(polls, dovecot, mailbox_user, account_id)

    assert dovecot.logins(mailbox_user) <= 6  # two are kept for good; all twelve would be new otherwise


def test_more_mailboxes_than_the_host_allows_still_reuse_most(dovecot: Dovecot, mailbox_user: str) -> None:
    for polls in polls_with(connections_per_host=2):
        for _ in range(4):
            for account_id in (1, 2, 3):
                looked(polls, dovecot, mailbox_user, account_id)

    assert dovecot.logins(mailbox_user) <= 8


# Losing them.


def test_a_server_restart_between_polls_heals_itself(polls: Polls, own_dovecot: Dovecot) -> None:
    user = own_dovecot.add_user("alice")
    looked(polls, own_dovecot, user)

    own_dovecot.stop()
    with pytest.raises(MailboxDownError):
        looked(polls, own_dovecot, user)
    own_dovecot.start()
    looked(polls, own_dovecot, user)
    own_dovecot.stop()
    own_dovecot.start()
    looked(polls, own_dovecot, user)

    assert len(polls.connections.slots) == 1


def test_a_kept_connection_that_says_goodbye_is_replaced(polls: Polls) -> None:
    talks: list[Talk] = []

    def status(talk: Talk) -> None:
        talks.append(talk)
        server.tell_status(talk)

    with HostileImap(STATUS=status) as server:
        for _ in range(2):
            asked(polls, server)
            talks[-1].say(b"* BYE idle for too long")

        assert server.verbs().count("LOGIN") == 2
        assert server.verbs().count("STATUS") == 2  # nothing more was asked on the first


def test_a_kept_connection_that_died_in_silence_is_replaced() -> None:
    """Trap 13: behind a dead firewall nothing is ever answered; the poll goes on over a new connection."""

    def silent_the_second_time(talk: Talk) -> None:
        if server.verbs().count("STATUS") != 2:
            server.tell_status(talk)

    for polls in polls_with(connect_timeout=1, timeout=20):
        with HostileImap(STATUS=silent_the_second_time) as server:
            for _ in range(2):
                with polls.open(account_at(server.port)) as source:
                    assert source.status("INBOX").uidvalidity == 7

        assert server.verbs().count("LOGIN") == 2


def test_a_lost_connection_gives_its_slot_back(polls: Polls) -> None:
    with HostileImap(STATUS=Talk.cut) as server, pytest.raises(MailboxDownError):
        asked(polls, server)

    assert polls.connections.slots == {}


def test_a_secret_that_does_not_open_takes_no_slot(polls: Polls, dovecot: Dovecot, mailbox_user: str) -> None:
    with pytest.raises(SecretKeyError), polls.open(account_on(dovecot, mailbox_user, secret=b"garbage")):
        pass

    assert polls.connections.slots == {}


def test_a_forked_child_shares_no_connection(polls: Polls, dovecot: Dovecot, mailbox_user: str) -> None:
    """Two processes on one connection would read each other's answers."""
    looked(polls, dovecot, mailbox_user)

    child = multiprocessing.get_context("fork").Process(target=looked, args=(polls, dovecot, mailbox_user))
    child.start()
    child.join(timeout=90)
    of_both = dovecot.logins(mailbox_user)
    looked(polls, dovecot, mailbox_user)

    assert child.exitcode == 0
    assert of_both == 2
    assert dovecot.logins(mailbox_user) == 2  # ours still stands


# The budget (A6).


def test_a_third_session_on_a_budget_of_two_is_refused(two_at_most: Polls, dovecot: Dovecot, mailbox_user: str) -> None:
    polls = two_at_most
    first, second, third = (account_on(dovecot, mailbox_user, id=number) for number in (1, 2, 3))

    with polls.open(first), polls.open(second), pytest.raises(MailboxBudgetError), polls.open(third):
        pass

    assert polls.connections.most == 2


def test_an_idle_connection_makes_room_for_a_busy_one(two_at_most: Polls, dovecot: Dovecot, mailbox_user: str) -> None:
    for number in (1, 2, 3, 4):
        looked(two_at_most, dovecot, mailbox_user, number)

    assert two_at_most.connections.most == 2
    assert dovecot.logins(mailbox_user) == 4


def test_many_threads_keep_to_the_budget(two_at_most: Polls, dovecot: Dovecot, mailbox_user: str) -> None:
    def poll(number: int) -> bool:
        try:
            looked(two_at_most, dovecot, mailbox_user, number)
        except MailboxBudgetError:
            return False
        return True

    # Dovecot makes a new user's INBOX at the first look, and tells one of two who look at once that it exists already.
    assert poll(0)
    with ThreadPoolExecutor(8) as threads:
        done = list(threads.map(poll, [number % 6 for number in range(60)]))

    assert any(done)
    assert two_at_most.connections.most == 2


# What makes it cheap.


def test_imaplib_formats_no_debug_lines(polls: Polls, dovecot: Dovecot, mailbox_user: str) -> None:
    """Design, section 4: imapclient leaves the inner imaplib at debug 5, four times as dear. A private attribute."""
    with polls.open(account_on(dovecot, mailbox_user)) as source:
        assert source.line.client._imap.debug == 0
        assert source.line.client._imap is source.line.client.wire


def test_one_tls_context_serves_all_accounts(tmp_path: Path) -> None:
    """Making one costs 20 ms; a CA file that was replaced is read again."""
    ca_file = Certificates(tmp_path).ca_file

    first, second = context_for(str(ca_file)), context_for(str(ca_file))
    os.utime(ca_file, (1, 1))
    third = context_for(str(ca_file))

    assert first is second
    assert third is not first
    assert context_for(None) is context_for(None)
    assert context_for(None).check_hostname


def test_a_batch_of_small_mails_is_one_question(polls: Polls) -> None:
    mails = {uid: b"mail %d" % uid for uid in range(1, 31)}
    with HostileImap(mails) as server, polls.open(account_at(server.port)) as source:
        source.select("INBOX", uidvalidity=7)
        items = list(source.fetch(list(mails), max_size=1000))

        assert len(items) == 30
        assert server.verbs().count("FETCH") == 1


@pytest.mark.parametrize("tls", list(Tls))
def test_five_megabytes_need_little_memory(polls: Polls, dovecot: Dovecot, mailbox_user: str, tls: Tls) -> None:
    """P17: a big mail is never whole in memory."""
    big = b"Subject: big\r\n\r\n" + b"".join(
        hashlib.sha256(b"%d" % n).hexdigest().encode() + b"\r\n" for n in range(80_000)
    )
    uid = dovecot.deliver(mailbox_user, big)
    before = grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with polls.open(account_on(dovecot, mailbox_user, tls)) as source:
        open_folder(source)
        for item in source.fetch([uid], max_size=50_000_000):
            assert isinstance(item, FetchedMail)
            assert isinstance(item.content, Path)
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            assert item.sha256 == hashlib.sha256(big).hexdigest()
            assert item.content.read_bytes() == big

    assert len(big) > 5_000_000
    assert grown < 4_000  # KiB; the chunks, not the mail


def test_an_abandoned_fetch_leaves_no_file(polls: Polls, dovecot: Dovecot, mailbox_user: str) -> None:
    uid = dovecot.deliver(mailbox_user, b"Subject: big\r\n\r\n" + b"x" * 70 + b"\r\n" * 400_000)

    with polls.open(account_on(dovecot, mailbox_user)) as source:
        open_folder(source)
        items = source.fetch([uid], max_size=50_000_000)
        mail = next(items)
        assert isinstance(mail, FetchedMail)
        assert isinstance(mail.content, Path)
        assert mail.content.exists()
        del items

    assert not mail.content.exists()
