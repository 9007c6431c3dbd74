"""Signing in, from the button to the mailbox that works: who may finish what, and what is written down (A2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import update

from concord.adapters.sql.engine import transaction
from concord.adapters.sql.oauth_tables import oauth_requests
from concord.errors import (
    ConflictError,
    ConsentFailedError,
    MistakesError,
    NotFoundError,
    TokenRefusedError,
    UsageError,
)
from concord.model.account import AuthKind
from concord.model.audit import AuditFilter
from concord.model.binding import of_client
from concord.model.caller import Caller
from concord.model.oauth import OAuthClient, OAuthFlow, OAuthProvider
from concord.model.user import Role
from concord.services import accounts, oauth, oauth_clients
from concord.wording import english
from tests.fakes.command import MemoryConcord
from tests.oauth_world import SECRET, client_at, settings_for, visit
from tests.servers.openid import Misdeed, OpenIdServer
from tests.sql_world import account, now

ALICE = Caller(actor="alice", via="admin", address="192.0.2.1")
BOB = Caller(actor="bob", via="admin")
SHELL = Caller(actor="root", via="cli")


@pytest.fixture
def concord(provider: OpenIdServer) -> Iterator[MemoryConcord]:
    """Two users, one client, one mailbox with a password."""
    made = MemoryConcord()
    made.settings = made.settings.model_copy(update={"oauth": settings_for(provider)})
    for name in ("alice", "bob"):
        made.users.add(name, Role.ADMIN, "hash")
    oauth_clients.save(made, replace(client_at(provider), secret=b""), secret=SECRET, replacing=False, by=ALICE)
    made.accounts.add(account("sales", secret=made.vault.seal("password")))
    yield made
    made.engine.dispose()


def written(concord: MemoryConcord) -> list[tuple[str, str, str]]:
    """The audit, oldest first."""
    return [(row.action, row.subject, row.outcome) for row in concord.audit.entries(AuditFilter())][::-1]


def sign_in(concord: MemoryConcord, provider: OpenIdServer, *, by: Caller = ALICE) -> oauth.SignedIn:
    back = visit(provider, oauth.begin(concord, "sales", "main", by=by).url)
    return oauth.finish(concord, back["state"], back["code"], by=by)


def test_a_sign_in_takes_the_passwords_place(concord: MemoryConcord, provider: OpenIdServer) -> None:
    done = sign_in(concord, provider)

    kept = concord.accounts.get("sales")
    assert done.account == kept
    assert (kept.auth, kept.oauth_client, kept.secret) == (AuthKind.OAUTH2, "main", b"")
    assert (done.who, done.is_somebody_else) == ("sales@example.com", False)
    assert concord.tokens.token(kept) in provider.access
    assert written(concord)[-2:] == [("oauth.begin", "sales", "done"), ("oauth.sign_in", "sales", "done")]
    assert done.schedule.sync is not None


def test_nothing_secret_is_written_down(concord: MemoryConcord, provider: OpenIdServer) -> None:
    back = visit(provider, oauth.begin(concord, "sales", "main", by=ALICE).url)
    oauth.finish(concord, back["state"], back["code"], by=ALICE)

    secrets = {SECRET, "password", back["code"], back["state"], *provider.access, *provider.refresh}
    assert not [word for word in secrets if word in str(concord.audit.entries(AuditFilter()))]


def test_somebody_else_who_signed_in_is_told(concord: MemoryConcord, provider: OpenIdServer) -> None:
    """Right for a shared mailbox; a slip for all others."""
    provider.user = "bob@example.com"

    assert sign_in(concord, provider).is_somebody_else


def test_a_state_is_good_once(concord: MemoryConcord, provider: OpenIdServer) -> None:
    back = visit(provider, oauth.begin(concord, "sales", "main", by=ALICE).url)
    oauth.finish(concord, back["state"], back["code"], by=ALICE)

    with pytest.raises(ConsentFailedError, match="not under way"):
        oauth.finish(concord, back["state"], back["code"], by=ALICE)


def test_a_state_is_good_for_whoever_began(concord: MemoryConcord, provider: OpenIdServer) -> None:
    """Somebody lured to another's link must not end with that other's mailbox, nor use it up."""
    back = visit(provider, oauth.begin(concord, "sales", "main", by=ALICE).url)

    for stranger in (BOB, SHELL):
        with pytest.raises(ConsentFailedError, match="not under way"):
            oauth.finish(concord, back["state"], back["code"], by=stranger)

    assert oauth.finish(concord, back["state"], back["code"], by=ALICE).account.auth is AuthKind.OAUTH2


def test_a_state_is_good_for_ten_minutes(concord: MemoryConcord, provider: OpenIdServer) -> None:
    begun = oauth.begin(concord, "sales", "main", by=ALICE)
    back = visit(provider, begun.url)
    with transaction(concord.engine) as connection:
        connection.execute(update(oauth_requests).values(expires_at=now() - timedelta(seconds=1)))

    with pytest.raises(ConsentFailedError, match="not under way"):
        oauth.finish(concord, back["state"], back["code"], by=ALICE)

    assert timedelta(minutes=9) < begun.expires_at - now() <= timedelta(minutes=10)


def test_a_state_that_nobody_knows_is_refused(concord: MemoryConcord, provider: OpenIdServer) -> None:
    provider.misdeeds.add(Misdeed.WRONG_STATE)
    back = visit(provider, oauth.begin(concord, "sales", "main", by=ALICE).url)

    with pytest.raises(ConsentFailedError, match="not under way"):
        oauth.finish(concord, back["state"], back["code"], by=ALICE)

    assert concord.accounts.get("sales").auth is AuthKind.PASSWORD


def test_a_failed_sign_in_leaves_the_account_as_it_was(concord: MemoryConcord, provider: OpenIdServer) -> None:
    before = concord.accounts.get("sales")
    provider.misdeeds.add(Misdeed.WRONG_NONCE)

    with pytest.raises(ConsentFailedError):
        sign_in(concord, provider)

    assert concord.accounts.get("sales") == before
    assert concord.oauth_grants.get(before.id) is None
    assert written(concord)[-1] == ("oauth.sign_in", "sales", "refused")


def test_a_declined_consent_says_what_to_do_and_is_over(concord: MemoryConcord, provider: OpenIdServer) -> None:
    provider.misdeeds.add(Misdeed.DECLINED)
    back = visit(provider, oauth.begin(concord, "sales", "main", by=ALICE).url)

    told = oauth.declined(concord, back["state"], back["error"], back["error_description"], by=ALICE)

    assert (told.facts["account"], told.facts["cause"]) == ("sales", "the access to the mailbox was declined")
    assert "allow the access" in english.remedy(told)
    assert written(concord)[-1] == ("oauth.sign_in", "sales", "failed")
    with pytest.raises(ConsentFailedError, match="not under way"):
        oauth.declined(concord, back["state"], "x", "", by=ALICE)


def test_a_stranger_declines_nothing(concord: MemoryConcord, provider: OpenIdServer) -> None:
    """Words on our pages come from nobody who does not know the state."""
    with pytest.raises(ConsentFailedError, match="not under way") as caught:
        oauth.declined(concord, "no-such-state", "call 555-0100", "and tell them your password", by=ALICE)

    assert "555" not in english.explain(caught.value)


def test_the_command_line_signs_in_too(concord: MemoryConcord, provider: OpenIdServer) -> None:
    assert sign_in(concord, provider, by=SHELL).account.auth is AuthKind.OAUTH2


def test_an_application_opens_a_mailbox_by_itself(concord: MemoryConcord, provider: OpenIdServer) -> None:
    done = oauth.app_only(concord, "sales", "main", by=ALICE)

    grant = concord.oauth_grants.get(done.account.id)
    assert done.account.auth is AuthKind.OAUTH2_APP
    assert grant is not None
    assert grant.flow is OAuthFlow.APP_ONLY
    assert concord.tokens.token(done.account) in provider.access


def test_an_application_that_is_refused_changes_nothing(concord: MemoryConcord, provider: OpenIdServer) -> None:
    provider.misdeeds.add(Misdeed.BAD_SECRET)

    with pytest.raises(TokenRefusedError):
        oauth.app_only(concord, "sales", "main", by=ALICE)

    assert concord.accounts.get("sales").auth is AuthKind.PASSWORD
    assert SECRET not in str(concord.audit.entries(AuditFilter()))


# Where tokens must not go.


@pytest.mark.parametrize("kind", [OAuthProvider.GOOGLE, OAuthProvider.MICROSOFT])
def test_googles_and_microsofts_tokens_go_to_their_own_servers_only(
    concord: MemoryConcord, provider: OpenIdServer, kind: OAuthProvider
) -> None:
    """Whoever may add a mailbox could name a server of their own, and read there what opens everybody's."""
    client = OAuthClient(name="cloud", provider=kind, client_id="concord")
    oauth_clients.save(concord, client, secret=SECRET, replacing=False, by=ALICE)
    evil = accounts.written(
        {"name": "evil", "host": "imap.evil.example", "user": "x", "auth": "oauth2-app", "oauth_client": "cloud"}
    )
    kept = accounts.add(concord, evil, by=ALICE).account

    with pytest.raises(TokenRefusedError, match="own mail servers"):
        concord.tokens.token(kept)
    with pytest.raises(TokenRefusedError, match="own mail servers"):
        oauth.begin(concord, "evil", by=ALICE)
    assert provider.calls == []


@pytest.mark.parametrize(
    "change",
    [{"issuer": "https://evil.example"}, {"client_id": "another"}, {"provider": OAuthProvider.MICROSOFT}],
    ids=["issuer", "client_id", "provider"],
)
def test_a_kept_secret_goes_to_no_other_provider(concord: MemoryConcord, change: dict[str, object]) -> None:
    client = concord.oauth_clients.get("main")
    moved = OAuthClient(**{**_fields(client), "secret": b"", **change})  # type: ignore[arg-type]  # fields by name

    with pytest.raises(MistakesError) as caught:
        oauth_clients.save(concord, moved, secret=None, replacing=True, by=ALICE)

    assert [mistake.path for mistake in caught.value.mistakes] == [("secret",)]
    assert concord.oauth_clients.get("main") == client


def test_a_client_that_moves_takes_no_sign_ins_along(concord: MemoryConcord, provider: OpenIdServer) -> None:
    kept = sign_in(concord, provider).account
    moved = replace(concord.oauth_clients.get("main"), issuer="https://evil.example")

    oauth_clients.save(concord, moved, secret="another", replacing=True, by=ALICE)

    assert concord.oauth_grants.get(kept.id) is None


def test_a_new_secret_keeps_the_sign_ins(concord: MemoryConcord, provider: OpenIdServer) -> None:
    kept = sign_in(concord, provider).account

    oauth_clients.save(concord, concord.oauth_clients.get("main"), secret="newer", replacing=True, by=ALICE)

    assert concord.oauth_grants.get(kept.id) is not None
    assert (
        concord.vault.unseal(concord.oauth_clients.get("main").secret, of_client(concord.oauth_clients.get("main")))
        == "newer"
    )


# Clients.


def test_a_client_that_is_used_stays(concord: MemoryConcord, provider: OpenIdServer) -> None:
    sign_in(concord, provider)

    with pytest.raises(ConflictError, match="log in with this OAuth2 client") as caught:
        oauth_clients.remove(concord, "main", by=ALICE)

    assert caught.value.facts["accounts"] == "sales"
    accounts.remove(concord, "sales", by=ALICE)
    oauth_clients.remove(concord, "main", by=ALICE)
    assert concord.oauth_clients.all() == []


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"name": "-x"}, "name"),
        ({"client_id": ""}, "client_id"),
        ({"client_id": "a b"}, "client_id"),
        ({"issuer": None}, "issuer"),
        ({"issuer": "http://example.com"}, "issuer"),
        ({"issuer": "https://user@example.com"}, "issuer"),
        ({"issuer": "https://example.com/?x=1"}, "issuer"),
        ({"issuer": "https://[::1"}, "issuer"),
        ({"tenant": "../../x"}, "tenant"),
        ({"scopes": ('a"b',)}, "scopes"),
    ],
)
def test_a_client_that_cannot_work_is_refused_at_its_field(
    concord: MemoryConcord, provider: OpenIdServer, change: dict[str, object], place: str
) -> None:
    client = OAuthClient(**{**_fields(client_at(provider, name="new")), **change})  # type: ignore[arg-type]  # as above

    with pytest.raises(MistakesError) as caught:
        oauth_clients.save(concord, client, secret=SECRET, replacing=False, by=ALICE)

    assert [mistake.path for mistake in caught.value.mistakes] == [(place,)]


@pytest.mark.parametrize("secret", ["two\nlines", "with space", "ü", "x" * 3000])
def test_a_secret_that_cannot_be_sent_is_refused_unseen(
    concord: MemoryConcord, provider: OpenIdServer, secret: str
) -> None:
    with pytest.raises(MistakesError) as caught:
        oauth_clients.save(concord, client_at(provider, name="new"), secret=secret, replacing=False, by=ALICE)

    assert secret not in str(caught.value.mistakes)


def test_an_account_names_a_client_that_is_there(concord: MemoryConcord) -> None:
    wanted = accounts.written({"name": "new", "host": "h.example", "user": "u", "auth": "oauth2", "oauth_client": "no"})

    with pytest.raises(NotFoundError, match="no such OAuth2 client"):
        accounts.add(concord, wanted, by=ALICE)


def test_an_account_with_oauth_has_no_password(concord: MemoryConcord) -> None:
    wanted = accounts.written({"name": "new", "host": "h.example", "user": "u", "auth": "oauth2"})

    with pytest.raises(UsageError, match="has no password"):
        accounts.add(concord, wanted, "sesame", by=ALICE)
    assert accounts.add(concord, wanted, by=ALICE).account.secret == b""


def test_an_application_account_names_its_client() -> None:
    with pytest.raises(UsageError, match="names no OAuth2 client"):
        accounts.written({"name": "new", "host": "h.example", "user": "u", "auth": "oauth2-app"})


def test_back_to_a_password_takes_a_password(concord: MemoryConcord, provider: OpenIdServer) -> None:
    kept = sign_in(concord, provider).account

    with pytest.raises(UsageError, match="password is empty"):
        accounts.edit(concord, "sales", {"auth": "password"}, by=ALICE)

    accounts.edit(concord, "sales", {"auth": "password", "oauth_client": None}, password="sesame", by=ALICE)
    assert concord.oauth_grants.get(kept.id) is None


def _fields(client: OAuthClient) -> dict[str, object]:
    return {name: getattr(client, name) for name in OAuthClient.__slots__}
