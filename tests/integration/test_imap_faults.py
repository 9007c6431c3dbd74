"""Servers that misbehave: each failure has its own name, says what to do, and never holds the password."""

from __future__ import annotations

import hashlib
import socket
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from concord.adapters.imap.session import ImapSession
from concord.errors import (
    FolderRenumberedError,
    MailboxDeniedError,
    MailboxDnsError,
    MailboxDownError,
    MailboxError,
    MailboxFolderError,
    MailboxForbiddenError,
    MailboxProtocolError,
    MailboxQuotaError,
    MailboxThrottledError,
    MailboxTlsError,
    MessageUnreadableError,
    MoveUnfinishedError,
    PollBudgetError,
)
from concord.model.account import Tls
from concord.model.message import FetchedMail
from concord.ports import Unreadable
from concord.wording import english
from tests.servers.certificates import Fault
from tests.servers.dovecot import Dovecot
from tests.servers.hostile_imap import HostileImap, Talk
from tests.servers.imap_accounts import VAULT, Polls, account_at, account_on
from tests.servers.redis import free_port

MAX = 10 * 1024 * 1024
SECRET = 'hunter2 "quoted" \\ back'


@pytest.fixture
def quick() -> Iterator[Polls]:
    """Sources with short time-outs and small chunks."""
    made = Polls(connect_timeout=1, timeout=1, chunk_bytes=4096)
    yield made
    made.sources.close()
    assert made.connections.slots == {}


def says(text: bytes) -> Callable[[Talk], None]:
    """An answer that is just this refusal."""
    return lambda talk: talk.done(text)


def logged_in(polls: Polls, server: HostileImap, seconds: float = 60, **changes: Any) -> None:
    with polls.open(account_at(server.port, **changes), seconds=seconds):
        pass


def taken(source: ImapSession, *uids: int) -> list[FetchedMail | Unreadable]:
    source.select("INBOX", uidvalidity=7)
    return list(source.fetch(uids, max_size=MAX))


def take(polls: Polls, server: HostileImap, *uids: int) -> list[FetchedMail | Unreadable]:
    """A whole session for some mails."""
    with polls.open(account_at(server.port)) as source:
        return taken(source, *uids)


def select(polls: Polls, server: HostileImap, *, writable: bool = False) -> None:
    with polls.open(account_at(server.port)) as source:
        source.select("INBOX", writable=writable)


def bodies(items: list[FetchedMail | Unreadable]) -> dict[int, bytes]:
    return {
        item.uid: item.content for item in items if isinstance(item, FetchedMail) and isinstance(item.content, bytes)
    }


# Getting there.


def test_a_name_without_an_address_is_a_dns_error(quick: Polls) -> None:
    """A5."""
    with pytest.raises(MailboxDnsError) as caught, quick.open(account_at(993, host="no-such-host.invalid")):
        pass

    assert caught.value.facts["host"] == "no-such-host.invalid"
    assert quick.connections.slots == {}


@pytest.mark.parametrize("host", ["", "a..b", "x" * 70 + ".example"])
def test_an_impossible_name_is_a_dns_error(quick: Polls, host: str) -> None:
    with pytest.raises((MailboxDnsError, MailboxDownError)), quick.open(account_at(free_port(), host=host)):
        pass


def test_a_closed_port_is_told_as_refused(quick: Polls) -> None:
    with pytest.raises(MailboxDownError) as caught, quick.open(account_at(free_port())):
        pass

    assert caught.value.facts["cause"] == "connection refused"


def test_a_silent_server_is_told_as_slow(quick: Polls) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(MailboxDownError, match="in time"), quick.open(account_at(port)):
            pass


@pytest.mark.parametrize(
    "greeting",
    [
        b"220 mail.example ESMTP",
        b"220 mail.example too many connections, try again later",
        b"HTTP/1.1 400 Bad Request",
        b"-ERR unknown command mail.example",
        b"\x15\x03\x03\x00\x02",
    ],
)
def test_a_server_that_is_not_imap_is_told_so_without_its_words(quick: Polls, greeting: bytes) -> None:
    """Whoever may name a host must not read what answers there."""
    with HostileImap(greeting=greeting) as server, pytest.raises(MailboxProtocolError) as caught:
        logged_in(quick, server)

    assert "port" in english.remedy(caught.value)
    assert "answer" not in caught.value.facts
    assert "mail.example" not in english.explain(caught.value)


@pytest.mark.parametrize("host", ["169.254.169.254", "::ffff:169.254.169.254", "fd00:ec2::254", "0.0.0.0"])  # noqa: S104 - an address to refuse
def test_an_address_where_clouds_keep_secrets_is_not_called(quick: Polls, host: str) -> None:
    with pytest.raises(MailboxForbiddenError) as caught, quick.open(account_at(143, host=host)):
        pass

    assert "poll.allow_networks" in english.remedy(caught.value)
    assert quick.connections.slots == {}


def test_an_operator_may_forbid_and_allow_networks() -> None:
    with HostileImap() as server:
        with pytest.raises(MailboxForbiddenError), Polls(deny_networks=["127.0.0.0/8"]).open(account_at(server.port)):
            pass
        allowing = Polls(deny_networks=["127.0.0.0/8"], allow_networks=["127.0.0.1/32"])
        with allowing.open(account_at(server.port)):
            pass
        allowing.sources.close()

        assert server.verbs()[:2] == ["CAPABILITY", "LOGIN"]


def test_a_server_full_at_the_greeting_is_throttling(quick: Polls) -> None:
    with HostileImap(greeting=b"* BYE Too many connections") as server, pytest.raises(MailboxThrottledError):
        logged_in(quick, server)


def test_a_server_that_greets_with_preauth_gets_no_password(quick: Polls) -> None:
    with HostileImap(greeting=b"* PREAUTH welcome") as server, pytest.raises(MailboxProtocolError):
        logged_in(quick, server)

    assert "LOGIN" not in server.verbs()


# TLS.


@pytest.mark.parametrize(
    ("fault", "cause"),
    [(Fault.EXPIRED, "the certificate has expired"), (Fault.WRONG_NAME, "the certificate is for another name")],
)
@pytest.mark.parametrize("tls", [Tls.IMPLICIT, Tls.STARTTLS])
def test_a_bad_certificate_is_told_by_its_fault(quick: Polls, fault: Fault, cause: str, tls: Tls) -> None:
    """A4, P3."""
    with Dovecot(fault=fault) as server:
        account = account_on(server, server.add_user("alice"), tls)
        with pytest.raises(MailboxTlsError) as caught, quick.open(account):
            pass

        assert server.logins("alice") == 0
    assert caught.value.facts["cause"] == cause


@pytest.mark.parametrize("tls", [Tls.IMPLICIT, Tls.STARTTLS])
def test_an_unknown_authority_is_not_trusted(quick: Polls, dovecot: Dovecot, mailbox_user: str, tls: Tls) -> None:
    with pytest.raises(MailboxTlsError) as caught, quick.open(account_on(dovecot, mailbox_user, tls, ca_file=None)):
        pass

    assert caught.value.facts["cause"] == "the certificate is from an unknown authority"
    assert "--ca-file" in english.remedy(caught.value)
    assert dovecot.logins(mailbox_user) == 0


def test_a_missing_ca_file_is_named(quick: Polls, dovecot: Dovecot, mailbox_user: str) -> None:
    with (
        pytest.raises(MailboxTlsError) as caught,
        quick.open(account_on(dovecot, mailbox_user, ca_file="/nowhere.pem")),
    ):
        pass

    assert caught.value.facts["ca_file"] == "/nowhere.pem"


def test_a_port_without_tls_is_told_so(quick: Polls) -> None:
    with HostileImap() as server, pytest.raises(MailboxTlsError) as caught:
        logged_in(quick, server, tls=Tls.IMPLICIT)

    assert "starttls" in english.remedy(caught.value)


def test_no_password_goes_out_when_starttls_is_missing(quick: Polls) -> None:
    """A1, P3: a stripped STARTTLS must not downgrade."""
    with HostileImap() as server, pytest.raises(MailboxTlsError):
        logged_in(quick, server, tls=Tls.STARTTLS)

    assert "LOGIN" not in server.verbs()


@pytest.mark.parametrize("answer", [b"NO not now", b"BAD what?"])
def test_no_password_goes_out_when_starttls_fails(quick: Polls, answer: bytes) -> None:
    with HostileImap(capabilities=b"IMAP4rev1 STARTTLS", STARTTLS=says(answer)) as server, pytest.raises(MailboxError):
        logged_in(quick, server, tls=Tls.STARTTLS)

    assert "LOGIN" not in server.verbs()


def test_no_password_goes_out_when_the_handshake_fails(quick: Polls) -> None:
    def no_handshake(talk: Talk) -> None:
        talk.done()
        talk.say(b"* OK this is no handshake")

    capabilities = b"IMAP4rev1 STARTTLS"
    with HostileImap(capabilities=capabilities, STARTTLS=no_handshake) as server, pytest.raises(MailboxTlsError):
        logged_in(quick, server, tls=Tls.STARTTLS)

    assert not any(b"LOGIN" in command for command in server.commands)


def test_a_server_that_disables_login_gets_no_password(quick: Polls) -> None:
    with HostileImap(capabilities=b"IMAP4rev1 LOGINDISABLED") as server, pytest.raises(MailboxTlsError):
        logged_in(quick, server)

    assert "LOGIN" not in server.verbs()


# The login.


def test_a_wrong_password_is_a_denial(quick: Polls, dovecot: Dovecot, mailbox_user: str) -> None:
    account = account_on(dovecot, mailbox_user, secret=VAULT.seal("wrong-horse"))

    with pytest.raises(MailboxDeniedError) as caught, quick.open(account):
        pass

    assert caught.value.facts == {
        "account": account.name,
        "host": "localhost",
        "port": dovecot.imaps_port,
        "answer": "[AUTHENTICATIONFAILED] Authentication failed.",
    }


@pytest.mark.parametrize("password", ['sp ace "q" \\b', "pässwörd-密码", "{5}", "a" * 200, "%s%d*()"])
def test_any_password_can_be_used(polls: Polls, dovecot: Dovecot, password: str) -> None:
    user = dovecot.add_user(f"odd{hashlib.sha256(password.encode()).hexdigest()[:8]}", password)

    with polls.open(account_on(dovecot, user)) as source:
        assert source.status("INBOX").messages == 0


def test_a_user_name_with_a_space_is_one_word(quick: Polls) -> None:
    with HostileImap() as server:
        logged_in(quick, server, user='al ice"')

        assert b'LOGIN "al ice\\"" "hunter2"' in server.commands


@pytest.mark.parametrize("secret", ["two\r\nA1 LOGOUT", "line\n", "nul\0"])
def test_a_password_with_a_line_break_is_never_sent(quick: Polls, secret: str) -> None:
    with HostileImap() as server, pytest.raises(MailboxDeniedError, match="character"):
        logged_in(quick, server, secret=VAULT.seal(secret))

    assert "LOGIN" not in server.verbs()


@pytest.mark.parametrize(
    ("answer", "kind", "seconds"),
    [
        (b"NO [AUTHENTICATIONFAILED] Invalid credentials (Failure)", MailboxDeniedError, None),
        (b"NO [ALERT] Application-specific password required", MailboxDeniedError, None),
        (b"NO LOGIN failed.", MailboxDeniedError, None),
        (b"NO [UNAVAILABLE] Temporary authentication failure.", MailboxThrottledError, None),
        (b"NO [INUSE] Mailbox in use", MailboxThrottledError, None),
        (b"NO [LIMIT] Rate limit hit", MailboxThrottledError, None),
        (b"NO [THROTTLED] Account exceeded command or bandwidth limits.", MailboxThrottledError, None),
        (b"NO [ALERT] Too many simultaneous connections. (Failure)", MailboxThrottledError, None),
        (b"NO Server busy, try again later", MailboxThrottledError, None),
        (b"NO Request is throttled. Suggested Backoff Time: 299961 milliseconds", MailboxThrottledError, 299.961),
        (b"BAD User is authenticated but not connected.", MailboxThrottledError, None),
        (b"NO [PRIVACYREQUIRED] Plaintext authentication disallowed", MailboxTlsError, None),
    ],
)
def test_a_refused_login_is_told_by_its_reason(
    quick: Polls, answer: bytes, kind: type[MailboxError], seconds: float | None
) -> None:
    """A5: only a real denial counts as one; the rest is tried again."""
    with HostileImap(LOGIN=says(answer)) as server, pytest.raises(MailboxError) as caught:
        logged_in(quick, server)

    assert type(caught.value) is kind
    assert caught.value.facts.get("retry_after") == seconds


def bye(talk: Talk) -> None:
    talk.say(b"* BYE Internal error occurred. Refer to server log.")
    talk.cut()


@pytest.mark.parametrize("answer", [bye, Talk.cut])
def test_a_hang_up_during_login_is_no_denial(quick: Polls, answer: Callable[[Talk], None]) -> None:
    """A5: a server in trouble must not look like a wrong password."""
    with HostileImap(LOGIN=answer) as server, pytest.raises(MailboxDownError):
        logged_in(quick, server)


@pytest.mark.parametrize("verb", [b"NO", b"BAD", b"* BYE"])
def test_an_echoed_password_is_blotted_out(quick: Polls, verb: bytes) -> None:
    """A3."""

    def echo(talk: Talk) -> None:
        said = verb + b" did not like " + talk.words
        if verb.startswith(b"*"):
            talk.say(said)
            talk.cut()
        else:
            talk.done(said)

    with HostileImap(LOGIN=echo) as server, pytest.raises(MailboxError) as caught:
        logged_in(quick, server, secret=VAULT.seal(SECRET))

    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + english.explain(caught.value)
    assert "did not like" in shown
    assert "[hidden]" in shown
    assert "hunter2" not in shown
    assert "quoted" not in shown
    assert caught.value.__context__ is None


# Time.


@pytest.mark.parametrize("verb", ["GREETING", "CAPABILITY", "LOGIN", "STATUS"])
def test_a_tarpit_cannot_outlast_the_budget(quick: Polls, verb: str) -> None:
    """A7, P3: one octet now and then defeats every socket time-out."""
    answers: dict[str, Any] = {verb: Talk.drip}
    with HostileImap(**answers) as server:
        began = time.monotonic()
        with pytest.raises(PollBudgetError), quick.open(account_at(server.port), seconds=1.5) as source:
            source.status("INBOX")

        assert 1.4 < time.monotonic() - began < 4
    assert quick.connections.slots == {}


def test_a_tarpit_in_the_tls_handshake_is_told_as_slow(quick: Polls) -> None:
    async def record_without_end(talk: Talk) -> None:
        talk.send(b"\x16\x03\x03\x40\x00")
        await talk.drip()

    with HostileImap(GREETING=record_without_end) as server, pytest.raises(MailboxDownError, match="in time"):
        logged_in(quick, server, tls=Tls.IMPLICIT)


def test_a_deadline_during_a_fetch_spoils_no_other_poll(quick: Polls) -> None:
    with HostileImap({1: b"x" * 100}, FETCH=Talk.drip) as server:
        with pytest.raises(PollBudgetError), quick.open(account_at(server.port), seconds=1) as source:
            taken(source, 1)
        server.behave()
        with quick.open(account_at(server.port)) as source:
            assert bodies(taken(source, 1)) == {1: b"x" * 100}


# Fetching.


def test_a_cut_in_the_middle_of_a_mail_is_a_hang_up(quick: Polls) -> None:
    """P4: half a mail is no mail."""

    def half(talk: Talk) -> None:
        talk.say(b"* 1 FETCH (UID 1 BODY[]<0> {1000}", b"only this")
        talk.cut()

    with HostileImap({1: b"x" * 1000}, FETCH=half) as server, pytest.raises(MailboxDownError):
        take(quick, server, 1)


def test_news_of_flags_are_no_mails(quick: Polls) -> None:
    """Sequence number 2 is not UID 2, and a mail's flags are its own."""

    def chatty(talk: Talk) -> None:
        talk.say(b"* 2 FETCH (FLAGS (\\Answered))", b"* 9 FETCH (UID 9 FLAGS (\\Seen))", b"* 3 EXISTS")
        for uid in server.wanted(talk):
            server.send_piece(talk, uid)
            talk.say(b"* 1 FETCH (FLAGS (\\Flagged))")
        talk.done()

    with HostileImap({2: b"two", 5: b"five"}, FETCH=chatty) as server, quick.open(account_at(server.port)) as source:
        items = taken(source, 2, 5)

    assert bodies(items) == {2: b"two", 5: b"five"}
    assert [item.flags for item in items if isinstance(item, FetchedMail)] == [(), ()]


@pytest.mark.parametrize("refusal", [b"NO [SERVERBUG] cannot read it", b"BAD internal"])
def test_one_refused_mail_leaves_its_neighbours_alone(quick: Polls, refusal: bytes) -> None:
    """P16, trap 4."""

    def refuse_two(talk: Talk) -> None:
        wanted = server.wanted(talk)
        for uid in wanted:
            if uid != 2:
                server.send_piece(talk, uid)
        talk.done(refusal if 2 in wanted else b"OK done")

    mails = {uid: b"mail %d" % uid for uid in (1, 2, 3)}
    with HostileImap(mails, FETCH=refuse_two) as server, quick.open(account_at(server.port)) as source:
        items = taken(source, 1, 2, 3)

    assert [item.uid for item in items] == [1, 2, 3]
    assert bodies(items) == {1: b"mail 1", 3: b"mail 3"}
    assert isinstance(items[1], Unreadable)
    assert isinstance(items[1].error, MessageUnreadableError)


def test_a_batch_refused_whole_is_asked_for_one_by_one(quick: Polls) -> None:
    def only_alone(talk: Talk) -> None:
        wanted = server.wanted(talk)
        if len(wanted) > 1:
            return talk.done(b"NO one at a time")
        server.send_piece(talk, wanted[0])
        return talk.done()

    with HostileImap({1: b"one", 2: b"two"}, FETCH=only_alone) as server, quick.open(account_at(server.port)) as source:
        assert bodies(taken(source, 1, 2)) == {1: b"one", 2: b"two"}


def test_a_mail_passed_over_in_silence_is_not_lost(quick: Polls) -> None:
    """P4: listed by SEARCH and left out by FETCH is unreadable, not gone."""

    def skip_two(talk: Talk) -> None:
        for uid in server.wanted(talk):
            if uid != 2:
                server.send_piece(talk, uid)
        talk.done()

    with HostileImap({1: b"one", 2: b"two"}, FETCH=skip_two) as server, quick.open(account_at(server.port)) as source:
        first, second = taken(source, 1, 2)

    assert isinstance(first, FetchedMail)
    assert isinstance(second, Unreadable)


def test_an_answer_that_cannot_be_parsed_spoils_one_mail(quick: Polls) -> None:
    def garbled(talk: Talk) -> None:
        for uid in server.wanted(talk):
            if uid == 2:
                talk.say(b"* 2 FETCH (UID 2 FLAGS (((( BODY[]<0> NIL")
            else:
                server.send_piece(talk, uid)
        talk.done()

    with HostileImap({1: b"one", 2: b"two"}, FETCH=garbled) as server, quick.open(account_at(server.port)) as source:
        first, second = taken(source, 1, 2)

    assert isinstance(first, FetchedMail)
    assert isinstance(second, Unreadable)


@pytest.mark.parametrize("told", [0, 1, 4096, 9_999_999])
@pytest.mark.parametrize("length", [10, 4095, 4096, 4097, 8192, 20_000])
def test_a_lying_size_changes_no_octet(quick: Polls, told: int, length: int) -> None:
    """P4: the truth is what was received."""

    def liar(talk: Talk) -> None:
        for uid in server.wanted(talk):
            server.send_piece(talk, uid, size=told)
        talk.done()

    raw = bytes(number % 251 for number in range(length))
    with HostileImap({1: raw}, FETCH=liar) as server, quick.open(account_at(server.port)) as source:
        source.select("INBOX", uidvalidity=7)
        for item in source.fetch([1], max_size=MAX):
            assert isinstance(item, FetchedMail)
            got = item.content.read_bytes() if isinstance(item.content, Path) else item.content
            assert got == raw
            assert (item.size, item.sha256) == (length, hashlib.sha256(raw).hexdigest())


def test_a_mail_longer_than_told_is_still_limited(quick: Polls) -> None:
    """P17."""

    def liar(talk: Talk) -> None:
        server.send_piece(talk, 1, size=10)
        talk.done()

    with HostileImap({1: b"x" * 50_000}, FETCH=liar) as server, quick.open(account_at(server.port)) as source:
        source.select("INBOX", uidvalidity=7)
        [item] = source.fetch([1], max_size=20_000)

    assert isinstance(item, Unreadable)
    assert item.oversized


def test_announced_gigabytes_are_not_believed(quick: Polls) -> None:
    """P17: reading what a server announces would allocate it first."""

    def huge(talk: Talk) -> None:
        talk.say(b"* 1 FETCH (UID 1 BODY[]<0> {9000000000}", b"x")

    with HostileImap({1: b"x"}, FETCH=huge) as server, pytest.raises(MailboxProtocolError):
        take(quick, server, 1)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"NO [LIMIT] UID FETCH Rate limit hit", MailboxThrottledError),
        (b"NO [OVERQUOTA] Account exceeded command or bandwidth limits.", MailboxThrottledError),
    ],
)
def test_throttling_during_a_fetch_blames_no_mail(quick: Polls, answer: bytes, kind: type[MailboxError]) -> None:
    with HostileImap({1: b"x"}, FETCH=says(answer)) as server, pytest.raises(kind):
        take(quick, server, 1)


def test_a_long_search_answer_is_read_whole(quick: Polls) -> None:
    """The standard library alone gives up on lines over a million octets."""

    def many(talk: Talk) -> None:
        talk.say(b"* SEARCH " + b" ".join(b"%d" % uid for uid in range(1_000_000, 1_200_000)), b"* SEARCH 7")
        talk.done()

    with HostileImap(SEARCH=many) as server, quick.open(account_at(server.port)) as source:
        source.select("INBOX")
        uids = source.uids(1)

    assert len(uids) == 200_001
    assert uids[0] == 7


# Folders.


def test_odd_answers_to_list_are_understood(quick: Polls) -> None:
    """P14: closed folders are left out; UTF-8, literals, atoms and a stray ampersand are read, and written back."""

    def odd(talk: Talk) -> None:
        talk.say(
            b'* LIST (\\HasNoChildren) "/" INBOX',
            b'* LIST (\\Noselect \\HasChildren) "/" "closed"',
            b'* LIST (\\NonExistent) "/" "gone"',
            b"* LIST () NIL {5}",
            b'a "b"',
            b'* LIST () "/" "Entw\xc3\xbcrfe"',
            b'* LIST () "/" "R&D"',
            b'* LIST () "." "&U,BTFw-"',
        )
        talk.done()

    with HostileImap(LIST=odd) as server, quick.open(account_at(server.port)) as source:
        names = [folder.name for folder in source.folders()]
        source.select("Entwürfe")
        source.select("R&D")
        source.select("台北")

        assert names == ["INBOX", 'a "b"', "Entwürfe", "R&D", "台北"]
        assert [command for command in server.commands if b"EXAMINE" in command] == [
            b'EXAMINE "Entw\xc3\xbcrfe"',
            b'EXAMINE "R&D"',
            b'EXAMINE "&U,BTFw-"',
        ]


def test_a_server_that_refuses_to_be_asked_for_special_uses_is_asked_plainly(quick: Polls) -> None:
    """P14, RFC 6154: what it lists of its own accord is taken."""

    def fussy(talk: Talk) -> None:
        if b"RETURN" in talk.words:
            talk.done(b"BAD no such option")
        else:
            talk.say(b'* LIST (\\HasNoChildren) "/" Inbox', b'* LIST (\\Junk) "/" Spam')
            talk.done()

    capabilities = b"IMAP4rev1 UIDPLUS UNSELECT LIST-EXTENDED SPECIAL-USE"
    with HostileImap(LIST=fussy, capabilities=capabilities) as server, quick.open(account_at(server.port)) as source:
        found = {folder.name: folder.uses for folder in source.folders()}

        assert found == {"INBOX": {"\\hasnochildren"}, "Spam": {"\\junk"}}
        assert sum(command.startswith(b"LIST") for command in server.commands) == 2


def test_a_full_mailbox_is_told_as_quota(quick: Polls) -> None:
    """A5."""
    with HostileImap({1: b"x"}, COPY=says(b"NO [OVERQUOTA] Quota exceeded")) as server:
        with quick.open(account_at(server.port)) as source:
            source.select("INBOX", uidvalidity=7)
            with pytest.raises(MailboxQuotaError):
                source.move([1], "Archive")

        assert "CREATE" not in server.verbs()


def test_a_folder_without_uidvalidity_is_not_read(quick: Polls) -> None:
    def forgetful(talk: Talk) -> None:
        talk.say(b"* 0 EXISTS")
        talk.done()

    with HostileImap(EXAMINE=forgetful) as server, pytest.raises(MailboxProtocolError):
        select(quick, server)


@pytest.mark.parametrize("verb", ["mark", "move", "delete", "fetch"])
def test_a_uidvalidity_that_changes_during_a_session_outdates_the_uids(quick: Polls, verb: str) -> None:
    """P15, RFC 9051 section 7.1: the server says it in an untagged OK, with the answer to any command."""

    def renumbered(talk: Talk) -> None:
        talk.say(b"* OK [UIDVALIDITY 8] the mailbox was made again")
        talk.server.tell_mails(talk)

    with HostileImap({1: b"x"}, FETCH=renumbered) as server, quick.open(account_at(server.port)) as source:
        source.select("INBOX", uidvalidity=7)
        commands: dict[str, Callable[[], Any]] = {
            "mark": lambda: source.mark([1], "\\Seen"),
            "move": lambda: source.move([1], "Archive"),
            "delete": lambda: source.delete([1]),
            "fetch": lambda: list(source.fetch([1], max_size=100)),
        }
        with pytest.raises(FolderRenumberedError) as caught:
            list(source.fetch([1], max_size=100))
        with pytest.raises(RuntimeError):
            commands[verb]()

    assert (caught.value.facts["was"], caught.value.facts["now"]) == (7, 8)
    assert not {"STORE", "COPY", "EXPUNGE"} & set(server.verbs())


def test_a_copy_whose_original_stays_is_told(quick: Polls) -> None:
    """P12: the copy is made, so it must not be made again."""
    refuses = HostileImap({1: b"x", 2: b"y"}, STORE=lambda talk: talk.done(b"NO not allowed"))
    with refuses as server, quick.open(account_at(server.port)) as source:
        source.select("INBOX", uidvalidity=7)
        with pytest.raises(MoveUnfinishedError) as caught:
            source.move([1, 2], "Archive")

    assert caught.value.uids == (1, 2)


def test_a_folder_that_may_not_be_written_is_named(quick: Polls) -> None:
    with HostileImap() as server, pytest.raises(MailboxFolderError) as caught:
        select(quick, server, writable=True)

    assert caught.value.facts["folder"] == "INBOX"


def test_without_uidplus_nothing_is_expunged(quick: Polls) -> None:
    """P12: the flag is set and stays, since EXPUNGE and a writable CLOSE would take what others marked."""
    with HostileImap({1: b"x"}, capabilities=b"IMAP4rev1") as server:
        with quick.open(account_at(server.port)) as source:
            source.select("INBOX", uidvalidity=7)
            source.delete([1])

        assert "STORE" in server.verbs()
        assert "EXPUNGE" not in server.verbs()
        assert server.verbs()[-2:] == ["EXAMINE", "CLOSE"]


def test_without_move_mails_are_copied_then_deleted(quick: Polls) -> None:
    with HostileImap({1: b"x", 2: b"y"}) as server, quick.open(account_at(server.port)) as source:
        source.select("INBOX", uidvalidity=7)
        source.move([1, 2], "Archive")

        assert [command for command in server.commands if command.startswith(b"UID")] == [
            b'UID COPY 1:2 "Archive"',
            b"UID STORE 1:2 +FLAGS.SILENT (\\Deleted)",
            b"UID EXPUNGE 1:2",
        ]


# Many folders.


def list_status(*lines: bytes, end: bytes = b"OK done") -> Callable[[Talk], None]:
    """An answer to LIST ... RETURN (STATUS ...)."""

    def answer(talk: Talk) -> None:
        talk.say(b'* LIST () "/" INBOX', *lines)
        talk.done(end if b"STATUS" in talk.words else b"OK done")

    return answer


MANY = ["INBOX", "2024", "Entwürfe", 'quo"ted', "Sales", "gone"]


def test_many_folders_are_one_question(quick: Polls) -> None:
    """RFC 5819: 1,500 folders cost 1,500 round trips without it."""
    lines = (
        b"* STATUS inbox (MESSAGES 3 UIDNEXT 9 UIDVALIDITY 7)",
        b"* STATUS 2024 (UIDVALIDITY 5 MESSAGES 1)",
        b'* STATUS "Entw&APw-rfe" (MESSAGES 9223372036854775808 UIDNEXT x UIDVALIDITY 4)',
        b"* STATUS {7}",
        b'quo"ted (MESSAGES 2 UIDNEXT 3 UIDVALIDITY 6)',
        b"* STATUS Sales (MESSAGES 2)",
        b"* STATUS ((((",
        b"* STATUS another (MESSAGES 2 UIDNEXT 3 UIDVALIDITY 6)",
    )
    capabilities = b"IMAP4rev1 LIST-STATUS"
    with (
        HostileImap(capabilities=capabilities, LIST=list_status(*lines)) as server,
        quick.open(account_at(server.port)) as source,
    ):
        found = source.statuses(MANY)
        assert server.verbs().count("LIST") == 1
        assert source.statuses(MANY[:2]) == {}

    assert {name: (one.uidvalidity, one.messages, one.uidnext) for name, one in found.items()} == {
        "INBOX": (7, 3, 9),
        "2024": (5, 1, None),
        "Entwürfe": (4, None, None),
        'quo"ted': (6, 2, 3),
    }


@pytest.mark.parametrize("end", [b"NO not now", b"BAD what?"])
def test_a_server_that_refuses_what_it_offers_is_asked_folder_by_folder(quick: Polls, end: bytes) -> None:
    with (
        HostileImap(capabilities=b"IMAP4rev1 LIST-STATUS", LIST=list_status(end=end)) as server,
        quick.open(account_at(server.port)) as source,
    ):
        assert source.statuses(MANY) == {}
        assert source.status("INBOX").uidvalidity == 7


@pytest.mark.parametrize("end", [b"NO not now", b"BAD what?"])
def test_a_server_that_refuses_special_uses_still_lists(quick: Polls, end: bytes) -> None:
    """RFC 6154: what it offers and cannot do is asked for without."""

    def plain_only(talk: Talk) -> None:
        if b"RETURN" in talk.words:
            talk.done(end)
        else:
            list_status()(talk)

    capabilities = b"IMAP4rev1 SPECIAL-USE LIST-EXTENDED"
    with (
        HostileImap(capabilities=capabilities, LIST=plain_only) as server,
        quick.open(account_at(server.port)) as source,
    ):
        assert [folder.name for folder in source.folders()] == ["INBOX"]
