"""Keeping tokens: renewed ahead of time, by one process at a time, with an alarm at the first refusal (A2)."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine
from structlog.testing import capture_logs

from concord.errors import ProviderDownError, SecretKeyError, TokenRefusedError
from concord.model.account import AccountState, AuthKind
from concord.model.binding import of_access_token, of_refresh_token
from concord.model.fault import in_english
from concord.model.oauth import OAuthFlow
from concord.wording import english
from tests.oauth_world import SECRET, VAULT, OAuthWorld
from tests.servers.openid import Misdeed, OpenIdServer
from tests.sql_world import account, now

MINUTE = timedelta(minutes=1)


@pytest.fixture
def oauth(engine: Engine, provider: OpenIdServer) -> OAuthWorld:
    """One account that somebody signed in for."""
    world = OAuthWorld(engine, provider)
    world.sign_in()
    return world


def refreshes(world: OAuthWorld) -> int:
    return world.provider.count("refresh_token")


def test_a_good_token_is_taken_as_it_is(oauth: OAuthWorld) -> None:
    first = oauth.token()

    assert oauth.token() == first
    assert refreshes(oauth) == 0


def test_tokens_are_sealed_in_the_database(oauth: OAuthWorld) -> None:
    token = oauth.token()

    assert VAULT.unseal(oauth.grant.access_token, of_access_token(oauth.account, oauth.client)) == token
    assert token not in repr(oauth.grant)


def test_a_token_is_renewed_minutes_before_it_expires(oauth: OAuthWorld) -> None:
    before = oauth.token()
    oauth.age(left=4 * MINUTE)

    after = oauth.token()

    assert after != before
    assert oauth.provider.access[after][0] == oauth.account.user
    assert (oauth.grant.expires_at or now()) > now() + 50 * MINUTE


def test_a_refresh_token_that_changed_is_kept_at_once(oauth: OAuthWorld) -> None:
    """The provider of the tests takes each but once: a second round works only if the first one's answer was kept."""
    for _ in range(3):
        oauth.age(left=MINUTE)
        oauth.token()

    assert refreshes(oauth) == 3
    kept = VAULT.unseal(oauth.grant.refresh_token, of_refresh_token(oauth.account, oauth.client))
    assert oauth.provider.refresh == {kept: oauth.account.user}


def test_a_token_that_lives_for_minutes_is_not_renewed_at_every_poll(oauth: OAuthWorld) -> None:
    oauth.provider.lifetime = 240
    oauth.age(left=timedelta(0))
    oauth.token()

    oauth.token()

    assert refreshes(oauth) == 1


def test_many_processes_renew_it_once(oauth: OAuthWorld) -> None:
    """With a refresh token that is good once, a race would end the sign-in."""
    oauth.age(left=timedelta(0))
    begin = threading.Barrier(8)

    def one() -> str:
        begin.wait()
        return oauth.keeper().token(oauth.account)

    with ThreadPoolExecutor(8) as pool:
        tokens = {future.result() for future in [pool.submit(one) for _ in range(8)]}

    assert refreshes(oauth) == 1
    assert len(tokens) == 1


def test_while_another_process_renews_it_the_old_one_is_used(oauth: OAuthWorld) -> None:
    before = oauth.token()
    oauth.age(left=2 * MINUTE)
    assert oauth.grants.hold(oauth.account.id, until=now() + MINUTE)

    assert oauth.token() == before
    assert refreshes(oauth) == 0


def test_what_a_process_held_when_it_died_is_free_after_a_while(oauth: OAuthWorld) -> None:
    oauth.age(left=timedelta(0))
    assert oauth.grants.hold(oauth.account.id, until=now() - MINUTE)

    oauth.token()

    assert refreshes(oauth) == 1


def test_waiting_for_another_process_comes_to_an_end(oauth: OAuthWorld) -> None:
    oauth.age(left=timedelta(0))
    assert oauth.grants.hold(oauth.account.id, until=now() + 60 * MINUTE)
    waits: list[float] = []

    with pytest.raises(ProviderDownError, match="does not come to an end"):
        oauth.keeper(pause=waits.append).token(oauth.account)

    assert sum(waits) == pytest.approx(20, abs=1)


def test_a_token_that_the_mail_server_refused_is_renewed_whatever_its_time(oauth: OAuthWorld) -> None:
    before = oauth.token()

    after = oauth.token(refused=before)

    assert after != before
    assert oauth.token(refused=before) == after
    assert refreshes(oauth) == 1


def test_a_provider_that_is_away_harms_nothing_while_the_token_lives(oauth: OAuthWorld) -> None:
    before = oauth.token()
    oauth.age(left=2 * MINUTE)
    oauth.provider.misdeeds.add(Misdeed.FAILS)

    assert oauth.token() == before
    assert oauth.grant.refused_at is None


def test_a_provider_that_is_away_is_waited_for(oauth: OAuthWorld) -> None:
    oauth.age(left=timedelta(0))
    oauth.provider.misdeeds.add(Misdeed.FAILS)
    with pytest.raises(ProviderDownError):
        oauth.token()

    oauth.provider.misdeeds.clear()

    assert oauth.token()
    assert oauth.audit.rows == []


def test_the_first_refusal_is_an_alarm_and_the_second_is_not(oauth: OAuthWorld) -> None:
    oauth.age(left=MINUTE)
    oauth.provider.misdeeds.add(Misdeed.REVOKED)

    with capture_logs() as logs:
        for _ in range(2):
            with pytest.raises(TokenRefusedError):
                oauth.token()

    assert [(one["event"], one["log_level"]) for one in logs if one["log_level"] == "error"] == [
        ("oauth.refused", "error")
    ]
    assert [(row.action, row.subject, row.outcome) for row in oauth.audit.rows] == [
        ("oauth.refused", "alice", "failed")
    ]
    assert oauth.grant.refused_at is not None
    assert oauth.grant.error_code == "token_refused"
    assert "Sign in again" in (in_english(oauth.grant.error) or "")


def test_an_alarm_ends_with_a_new_sign_in(oauth: OAuthWorld) -> None:
    oauth.age(left=MINUTE)
    oauth.provider.misdeeds.add(Misdeed.REVOKED)
    with pytest.raises(TokenRefusedError):
        oauth.token()

    oauth.provider.misdeeds.clear()
    oauth.sign_in()

    assert oauth.token()
    assert (oauth.grant.refused_at, oauth.grant.error) == (None, None)


def test_a_sign_in_meanwhile_is_not_undone_by_an_old_answer(oauth: OAuthWorld) -> None:
    old = oauth.grant
    oauth.sign_in()
    new = oauth.grant

    oauth.grants.renewed(replace(old, access_token=VAULT.seal("old")))
    oauth.grants.refused(old, code="x", error="y")

    assert oauth.grant == new


@pytest.mark.parametrize("misdeed", [Misdeed.BAD_SECRET, Misdeed.SECRET_EXPIRED])
def test_a_new_secret_of_the_client_is_all_that_a_wrong_one_needs(oauth: OAuthWorld, misdeed: Misdeed) -> None:
    oauth.age(left=timedelta(0))
    oauth.provider.misdeeds.add(misdeed)
    with pytest.raises(TokenRefusedError, match="gives no token"):
        oauth.token()

    oauth.provider.misdeeds.clear()

    assert oauth.token()
    assert oauth.grant.refused_at is None


# What is renewed without being asked for.


def test_tokens_of_mailboxes_that_nobody_polls_are_renewed_too(oauth: OAuthWorld) -> None:
    oauth.age(left=2 * MINUTE)

    assert oauth.keeper().renew_due() == 1
    assert oauth.keeper().renew_due() == 0
    assert refreshes(oauth) == 1


def test_a_round_of_renewals_comes_to_an_end(oauth: OAuthWorld) -> None:
    """A provider that hangs at each of hundreds of accounts must not keep a worker for an hour."""
    oauth.age(left=MINUTE)
    times = iter([now(), now() + MINUTE])

    assert oauth.keeper(clock=lambda: next(times)).renew_due() == 0
    assert refreshes(oauth) == 0


def test_a_refusal_in_the_background_shows_in_the_accounts_state(oauth: OAuthWorld) -> None:
    oauth.age(left=MINUTE)
    oauth.provider.misdeeds.add(Misdeed.REVOKED)

    assert oauth.keeper().renew_due() == 0

    status = oauth.accounts.status(oauth.account.id)
    assert status.state is AccountState.AUTH_FAILED
    assert "Sign in again with 'concord oauth login" in (in_english(status.last_error) or "")
    assert oauth.keeper().renew_due() == 0
    assert refreshes(oauth) == 1


def test_a_new_sign_in_is_tried_at_the_next_poll(oauth: OAuthWorld) -> None:
    oauth.age(left=MINUTE)
    oauth.provider.misdeeds.add(Misdeed.REVOKED)
    oauth.keeper().renew_due()

    oauth.provider.misdeeds.clear()
    oauth.sign_in()

    status = oauth.accounts.status(oauth.account.id)
    assert (status.state, status.next_try) == (AccountState.NEW, None)


def test_a_disabled_account_is_left_alone(oauth: OAuthWorld) -> None:
    oauth.age(left=MINUTE)
    oauth.accounts.save(replace(oauth.account, enabled=False))

    assert oauth.keeper().renew_due() == 0
    assert refreshes(oauth) == 0


# Before anybody signed in.


def test_without_a_sign_in_the_operator_is_told_to(engine: Engine, provider: OpenIdServer) -> None:
    with pytest.raises(TokenRefusedError, match="Nobody has signed in") as caught:
        OAuthWorld(engine, provider).token()

    assert "concord oauth login" in english.remedy(caught.value)
    assert provider.calls == []


def test_a_client_that_is_not_there_is_named(oauth: OAuthWorld) -> None:
    oauth.account = oauth.accounts.save(replace(oauth.account, oauth_client="gone"))

    with pytest.raises(TokenRefusedError, match="is not there") as caught:
        oauth.token()

    assert caught.value.facts["oauth_client"] == "gone"


def test_another_client_needs_another_sign_in(oauth: OAuthWorld) -> None:
    oauth.clients.save(replace(oauth.client, name="second"))
    oauth.account = oauth.accounts.save(replace(oauth.account, oauth_client="second"))

    with pytest.raises(TokenRefusedError, match="Nobody has signed in"):
        oauth.token()


def test_a_password_in_place_of_the_sign_in_forgets_the_tokens(oauth: OAuthWorld) -> None:
    oauth.accounts.save(replace(oauth.account, auth=AuthKind.PASSWORD, secret=VAULT.seal("x")))

    assert oauth.grants.get(oauth.account.id) is None


def test_a_removed_account_leaves_no_tokens_behind(oauth: OAuthWorld) -> None:
    oauth.accounts.remove(oauth.account.name)

    assert oauth.grants.get(oauth.account.id) is None


# The application itself.


def test_an_application_needs_no_sign_in(engine: Engine, provider: OpenIdServer) -> None:
    world = OAuthWorld(engine, provider, app_only=True)

    token = world.token()

    assert token in provider.access
    assert world.token() == token
    assert (world.grant.flow, world.grant.refresh_token) == (OAuthFlow.APP_ONLY, b"")
    assert provider.calls.count("client_credentials") == 1


def test_an_applications_token_is_renewed_by_its_secret(engine: Engine, provider: OpenIdServer) -> None:
    world = OAuthWorld(engine, provider, app_only=True)
    first = world.token()
    world.age(left=MINUTE)

    assert world.token() != first
    assert provider.calls.count("client_credentials") == 2


def test_an_application_that_is_refused_is_an_alarm_too(engine: Engine, provider: OpenIdServer) -> None:
    world = OAuthWorld(engine, provider, app_only=True)
    provider.misdeeds.add(Misdeed.BAD_SECRET)

    with pytest.raises(TokenRefusedError) as caught:
        world.token()

    assert [row.action for row in world.audit.rows] == ["oauth.refused"]
    assert "Make a new secret" in english.remedy(caught.value)
    assert SECRET not in english.explain(caught.value)


def test_a_grant_that_the_key_does_not_open_holds_up_no_other(
    oauth: OAuthWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue 9, B: a wrong key blames no account, and the round goes on."""
    oauth.age(left=MINUTE)
    second = oauth.accounts.add(account("bob", auth=AuthKind.OAUTH2, oauth_client="main", secret=b""))
    oauth.grants.keep(replace(oauth.grant, account_id=second.id))
    oauth.grants.keep(replace(oauth.grant, access_token=b"of another key", refresh_token=b"of another key"))
    monkeypatch.setattr("random.shuffle", lambda ids: ids.sort())  # the closed one first

    with capture_logs() as logs:
        renewed = oauth.keeper().renew_due()

    assert renewed == 1
    assert [entry["error"].code for entry in logs if entry["event"] == "oauth.not_renewed"] == ["secret_key"]
    assert oauth.accounts.status(oauth.account.id).state is AccountState.NEW


def test_no_token_is_fetched_that_could_not_be_sealed(oauth: OAuthWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refresh token that is good once would be lost with it."""
    oauth.age(left=timedelta(0))

    def refuse(_plain: str, _where: bytes) -> bytes:
        raise SecretKeyError("none")

    with monkeypatch.context() as patched:
        patched.setattr(VAULT, "seal", refuse)
        with pytest.raises(SecretKeyError):
            oauth.token()

    assert refreshes(oauth) == 0
    assert oauth.token()
