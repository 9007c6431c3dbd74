"""Opening mailboxes with tokens: real Dovecot asks the real provider; scripted servers say what others say (A2)."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from concord.errors import (
    MailboxDeniedError,
    MailboxDownError,
    MailboxThrottledError,
    ProviderDownError,
    TokenRefusedError,
)
from concord.model.account import Account, AuthKind, Tls
from concord.ports import CheckStep
from concord.wording import english
from tests.fakes.database import memory_database
from tests.oauth_world import OAuthWorld
from tests.servers.dovecot import Dovecot
from tests.servers.hostile_imap import Answer, HostileImap, Talk
from tests.servers.imap_accounts import Polls, account_at
from tests.servers.openid import Misdeed, OpenIdServer

USER = "alice@example.com"
STALE = {"status": "invalid_token", "schemes": "bearer", "scope": "mail"}


@pytest.fixture
def server(provider: OpenIdServer) -> Iterator[Dovecot]:
    """A mail server that takes the provider's tokens, and a mail in it."""
    with Dovecot(tokens=provider) as running:
        running.add_user(USER)
        running.deliver(USER, b"Subject: hello\r\n\r\nhello\r\n")
        yield running


@pytest.fixture
def oauth(provider: OpenIdServer, server: Dovecot) -> OAuthWorld:
    """Somebody signed in for the mailbox."""
    world = OAuthWorld(memory_database(), provider)
    world.mailbox("localhost", server.imaps_port, server.ca_file, USER)
    world.sign_in()
    return world


@pytest.fixture
def polls(oauth: OAuthWorld) -> Iterator[Polls]:
    """Sources that take tokens from the world."""
    made = Polls(oauth.keeper())
    yield made
    made.sources.close()
    assert made.connections.slots == {}


def uids(polls: Polls, account: Account) -> list[int]:
    with polls.open(account) as source:
        source.select("INBOX")
        return source.uids(1)


def steps(polls: Polls, account: Account) -> dict[str, CheckStep]:
    return {step.name: step for step in polls.sources.test(account)}


def test_a_token_opens_the_mailbox(polls: Polls, oauth: OAuthWorld, server: Dovecot) -> None:
    assert uids(polls, oauth.account) == [1]
    assert "method=OAUTHBEARER" in server.raw_log


def test_a_token_opens_it_over_starttls(polls: Polls, oauth: OAuthWorld, server: Dovecot) -> None:
    account = oauth.mailbox("localhost", server.imap_port, server.ca_file, USER)

    assert uids(polls, Account(**{**_fields(account), "tls": Tls.STARTTLS})) == [1]


def test_a_token_that_died_early_is_renewed_and_tried_again(
    polls: Polls, oauth: OAuthWorld, provider: OpenIdServer
) -> None:
    """The provider's clock, or an administrator, ends a token before its time."""
    provider.access.clear()

    assert uids(polls, oauth.account) == [1]
    assert provider.count("refresh_token") == 1


def test_a_mailbox_that_takes_no_token_says_so_after_one_new_try(
    polls: Polls, oauth: OAuthWorld, provider: OpenIdServer
) -> None:
    provider.misdeeds.add(Misdeed.TOKENS_REFUSED)

    with pytest.raises(MailboxDeniedError, match="refused the token") as caught:
        uids(polls, oauth.account)

    assert provider.count("refresh_token") == 1
    assert "Sign in as the mailbox's own user" in english.remedy(caught.value)
    assert caught.value.facts["user"] == USER
    assert not any(token in repr(caught.value.__dict__) for token in provider.access)


def test_somebody_elses_token_does_not_open_it(polls: Polls, oauth: OAuthWorld) -> None:
    oauth.sign_in("mallory@example.com")

    with pytest.raises(MailboxDeniedError, match="refused the token"):
        uids(polls, oauth.account)


def test_a_sign_in_that_was_taken_back_is_told(polls: Polls, oauth: OAuthWorld, provider: OpenIdServer) -> None:
    provider.revoke(USER)

    with pytest.raises(TokenRefusedError) as caught:
        uids(polls, oauth.account)

    assert "taken back" in str(caught.value.facts["cause"])
    assert [row.action for row in oauth.audit.rows] == ["oauth.refused"]


def test_a_provider_that_is_away_is_no_refusal(polls: Polls, oauth: OAuthWorld, provider: OpenIdServer) -> None:
    oauth.age(left=timedelta(0))
    provider.misdeeds.add(Misdeed.FAILS)

    with pytest.raises(ProviderDownError):
        uids(polls, oauth.account)


# The connection test.


def test_the_test_has_a_step_for_the_token(polls: Polls, oauth: OAuthWorld) -> None:
    found = steps(polls, oauth.account)

    assert list(found) == ["dns", "tcp", "tls", "token", "login", "capabilities", "folders"]
    assert all(step.ok for step in found.values())
    assert found["token"].detail == "by the OAuth2 client 'main', good for 60 minutes"
    assert "AUTH=OAUTHBEARER" not in found["login"].detail


def test_the_test_stops_at_the_token_where_there_is_none(
    polls: Polls, oauth: OAuthWorld, provider: OpenIdServer
) -> None:
    provider.revoke(USER)
    oauth.age(left=timedelta(0))

    last = list(steps(polls, oauth.account).values())[-1]

    assert (last.name, last.ok, str(last.error)) == ("token", False, "The provider gives no token")
    assert "taken back" in last.cause
    assert last.error
    assert english.remedy(last.error).startswith("Sign in again")


def test_the_test_tries_a_new_token_too(polls: Polls, oauth: OAuthWorld, provider: OpenIdServer) -> None:
    provider.access.clear()

    assert steps(polls, oauth.account)["folders"].ok


def test_the_test_says_when_the_mailbox_takes_no_token(polls: Polls, oauth: OAuthWorld, provider: OpenIdServer) -> None:
    provider.misdeeds.add(Misdeed.TOKENS_REFUSED)

    last = list(steps(polls, oauth.account).values())[-1]

    assert (last.name, last.ok, str(last.error)) == ("login", False, "The IMAP server refused the token")


# What other servers say. Each is asked with a token that never changes.


class Fixed:
    """Keeps `ports.TokenSource` with the tokens given, in turn."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)

    def token(self, account: Account, *, refused: str | None = None) -> str:
        del account
        if refused in self.tokens[:-1]:
            self.tokens.remove(refused)
        return self.tokens[0]

    def expiry(self, account: Account) -> datetime | None:
        del account
        return datetime.now(UTC)


class Bouncer:
    """Takes one token, and answers the others as it is told."""

    def __init__(self, good: str, say_no: Answer) -> None:
        self.good = good
        self.say_no = say_no
        self.seen: list[bytes] = []
        self.last_words: list[bytes] = []

    async def __call__(self, talk: Talk) -> None:
        talk.say(b"+ ")
        said = base64.b64decode(await talk.listen())
        self.seen.append(said)
        if f"Bearer {self.good}\x01".encode() in said:
            talk.done(b"OK welcome")
        elif waiting := self.say_no(talk):
            await waiting

    def with_document(self, document: bytes, no: bytes) -> Answer:
        """An error document first; the client owes it an empty word (RFC 7628, section 3.2.3)."""

        async def say_no(talk: Talk) -> None:
            talk.say(b"+ " + base64.b64encode(document))
            self.last_words.append(base64.b64decode(await talk.listen()))
            talk.done(no)

        return say_no


def bouncer(document: bytes | None, no: bytes, *, good: str = "good") -> Bouncer:
    made = Bouncer(good, lambda talk: talk.done(no))
    if document is not None:
        made.say_no = made.with_document(document, no)
    return made


def try_in(server: HostileImap, *tokens: str, **changes: Any) -> list[str]:
    """Open the mailbox and close it; the folder's names."""
    polls = Polls(Fixed(*tokens))
    account = account_at(server.port, auth=AuthKind.OAUTH2, oauth_client="main", **changes)
    try:
        with polls.open(account) as source:
            source.select("INBOX")
            return ["INBOX"]
    finally:
        polls.sources.close()
        assert polls.connections.slots == {}


@pytest.mark.parametrize(
    ("offered", "first"),
    [
        (
            b"AUTH=OAUTHBEARER AUTH=XOAUTH2",
            b"n,a=bob=3D=2C@example.com,\x01host=127.0.0.1\x01port=%d\x01auth=Bearer good\x01\x01",
        ),
        (b"AUTH=XOAUTH2 SASL-IR LOGINDISABLED", b"user=bob=,@example.com\x01auth=Bearer good\x01\x01"),
    ],
    ids=["OAUTHBEARER", "XOAUTH2"],
)
def test_the_token_is_shown_as_each_mechanism_wants_it(offered: bytes, first: bytes) -> None:
    door = bouncer(None, b"NO")
    with HostileImap(capabilities=b"IMAP4rev1 " + offered, AUTHENTICATE=door) as server:
        try_in(server, "good", user="bob=,@example.com")

        assert door.seen == [first % server.port if b"%d" in first else first]
        assert "LOGIN" not in server.verbs()


@pytest.mark.parametrize(
    ("offered", "word"), [(b"AUTH=OAUTHBEARER", b"\x01"), (b"AUTH=XOAUTH2", b"")], ids=["OAUTHBEARER", "XOAUTH2"]
)
def test_the_servers_reason_is_heard_out_and_a_new_token_tried(offered: bytes, word: bytes) -> None:
    door = bouncer(b'{"status": "401", "schemes": "bearer"}', b"NO [AUTHENTICATIONFAILED] Invalid credentials")
    with HostileImap(capabilities=b"IMAP4rev1 " + offered, AUTHENTICATE=door) as server:
        assert try_in(server, "stale", "good") == ["INBOX"]

    assert door.last_words == [word]
    assert len(door.seen) == 2


def test_a_server_that_hangs_up_after_its_no_is_called_again() -> None:
    def slam(talk: Talk) -> None:
        talk.done(b"NO AUTHENTICATE failed.")
        talk.cut()

    door = Bouncer("good", slam)
    with HostileImap(capabilities=b"IMAP4rev1 AUTH=XOAUTH2", AUTHENTICATE=door) as server:
        assert try_in(server, "stale", "good") == ["INBOX"]


@pytest.mark.parametrize(
    ("document", "remedy"),
    [
        (b'{"status": "insufficient_scope", "scope": "mail"}', "the provider's scope for IMAP"),
        (b'{"status": "403"}', "the provider's scope for IMAP"),
        (b'{"status": "invalid_token"}', "the mailbox's own user"),
        (b"not json", "the mailbox's own user"),
        (b'["a list"]', "the mailbox's own user"),
        (b'{"status": {"a": 1}}', "the mailbox's own user"),
        (b"\xff\xfe", "the mailbox's own user"),
    ],
)
def test_what_the_error_document_says_is_told(document: bytes, remedy: str) -> None:
    door = bouncer(document, b"NO failed", good="none")
    with (
        HostileImap(capabilities=b"IMAP4rev1 AUTH=OAUTHBEARER", AUTHENTICATE=door) as server,
        pytest.raises(MailboxDeniedError, match="refused the token") as caught,
    ):
        try_in(server, "one", "two")

    assert remedy in english.remedy(caught.value)


def test_a_server_without_token_logins_is_shown_none() -> None:
    with (
        HostileImap(capabilities=b"IMAP4rev1 AUTH=PLAIN") as server,
        pytest.raises(MailboxDeniedError, match="takes no OAuth2 logins") as caught,
    ):
        try_in(server, "good")

    assert "AUTHENTICATE" not in server.verbs()
    assert "--auth password" in english.remedy(caught.value)


def test_a_throttled_login_costs_no_token() -> None:
    door = bouncer(None, b"NO [UNAVAILABLE] Too many simultaneous connections", good="none")
    with (
        HostileImap(capabilities=b"IMAP4rev1 AUTH=XOAUTH2", AUTHENTICATE=door) as server,
        pytest.raises(MailboxThrottledError),
    ):
        try_in(server, "one", "two")

    assert len(door.seen) == 1


def test_a_cut_in_the_middle_is_no_refusal() -> None:
    with (
        HostileImap(capabilities=b"IMAP4rev1 AUTH=XOAUTH2", AUTHENTICATE=Bouncer("none", Talk.cut)) as server,
        pytest.raises(MailboxDownError),
    ):
        try_in(server, "one")


@pytest.mark.parametrize("how", ["plain", "base64", "initial"])
def test_a_token_that_a_server_repeats_is_blotted_out(how: str) -> None:
    secret = "ya29.very-secret"
    initial = base64.b64encode(f"user=alice\x01auth=Bearer {secret}\x01\x01".encode())
    said = {"plain": secret.encode(), "base64": base64.b64encode(secret.encode()), "initial": initial}[how]
    door = bouncer(None, b"NO I know " + said, good="none")
    with (
        HostileImap(capabilities=b"IMAP4rev1 AUTH=XOAUTH2", AUTHENTICATE=door) as server,
        pytest.raises(MailboxDeniedError) as caught,
    ):
        try_in(server, secret)

    error: BaseException | None = caught.value
    while error is not None:
        assert secret not in repr(error.__dict__) + str(error)
        assert said.decode() not in repr(error.__dict__) + str(error)
        error = error.__cause__ or error.__context__
    assert "[hidden]" in english.explain(caught.value)


def _fields(account: Account) -> dict[str, Any]:
    return {name: getattr(account, name) for name in Account.__slots__}
