"""Signing in at a provider that behaves, and at one that does not: what the operator is told (A2)."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from concord.adapters.oauth import ProviderSignIns
from concord.errors import (
    ConcordError,
    ConsentFailedError,
    MailboxForbiddenError,
    ProviderDownError,
    SettingsError,
    TokenRefusedError,
)
from concord.model.oauth import PRESETS, OAuthClient, OAuthFlow, OAuthProvider, Tokens
from concord.wording import english
from tests.oauth_world import CALLBACK, SECRET, client_at, request_of, settings_for, visit
from tests.servers.openid import OTHER_TENANT, TENANT, Misdeed, OpenIdServer
from tests.sql_world import now

GOOGLE: dict[str, Any] = {"provider": OAuthProvider.GOOGLE}
MICROSOFT: dict[str, Any] = {"provider": OAuthProvider.MICROSOFT, "tenant": TENANT}


def signs(provider: OpenIdServer, **settings: Any) -> ProviderSignIns:
    return ProviderSignIns(settings_for(provider, **settings), now)


def sign_in(provider: OpenIdServer, client: OAuthClient, secret: str = SECRET, **settings: Any) -> Tokens:
    """All of it, as a browser does it."""
    made = signs(provider, **settings)
    departure = made.depart(client, redirect_uri=CALLBACK, hint="alice@example.com")
    back = visit(provider, departure.url)
    assert back["state"] == departure.state
    request = request_of(departure, client)
    return made.arrive(client, secret, request, code=back["code"], verifier=departure.verifier)


def refused(server: OpenIdServer, misdeed: Misdeed, kind: type[ConcordError], /, **client: Any) -> ConcordError:
    """How a sign-in ends at a provider that does this."""
    server.misdeeds.add(misdeed)
    with pytest.raises(kind) as caught:
        sign_in(server, client_at(server, **client), timeout=1)
    return caught.value


# What works.


@pytest.mark.parametrize("preset", [{}, GOOGLE, MICROSOFT], ids=["other", "google", "microsoft"])
def test_a_sign_in_brings_both_tokens_and_says_who_it_was(provider: OpenIdServer, preset: dict[str, Any]) -> None:
    tokens = sign_in(provider, client_at(provider, **preset))

    assert provider.access[tokens.access_token][0] == "alice@example.com"
    assert provider.refresh[tokens.refresh_token or ""] == "alice@example.com"
    assert tokens.signed_in == "alice@example.com"
    assert timedelta(minutes=59) < tokens.expires_at - now() <= timedelta(minutes=60)


def test_the_tokens_are_in_no_words(provider: OpenIdServer) -> None:
    tokens = sign_in(provider, client_at(provider))

    assert tokens.access_token not in repr(tokens)
    assert (tokens.refresh_token or "") not in repr(tokens)


@pytest.mark.parametrize(
    ("preset", "parameters"),
    [
        (GOOGLE, {"access_type": "offline", "prompt": "consent", "scope": "openid email https://mail.google.com/"}),
        (MICROSOFT, {"scope": "openid email offline_access https://outlook.office.com/IMAP.AccessAsUser.All"}),
    ],
    ids=["google", "microsoft"],
)
def test_each_provider_is_asked_in_its_own_way(
    provider: OpenIdServer, preset: dict[str, Any], parameters: dict[str, str]
) -> None:
    departure = signs(provider).depart(client_at(provider, **preset), redirect_uri=CALLBACK, hint="a@example.com")

    asked = dict(parse_qsl(urlsplit(departure.url).query))
    assert asked | parameters == asked
    assert asked["redirect_uri"] == CALLBACK
    assert (asked["login_hint"], asked["code_challenge_method"]) == ("a@example.com", "S256")
    assert departure.verifier not in departure.url


@pytest.mark.parametrize(
    ("client", "place"),
    [
        (GOOGLE, "https://accounts.google.com/o/oauth2/v2/auth"),
        (MICROSOFT, f"https://login.microsoftonline.com/{TENANT}/oauth2/v2.0/authorize"),
        (MICROSOFT | {"tenant": None}, "https://login.microsoftonline.com/organizations/oauth2/v2.0/authorize"),
    ],
    ids=["google", "microsoft", "any organisation"],
)
def test_where_google_and_microsoft_are_need_not_be_asked(
    provider: OpenIdServer, client: dict[str, Any], place: str
) -> None:
    departure = signs(provider).depart(client_at(provider, issuer=None, **client), redirect_uri=CALLBACK, hint="a")

    assert departure.url.partition("?")[0] == place
    assert provider.calls == []


def test_state_nonce_and_verifier_are_never_the_same_twice(provider: OpenIdServer) -> None:
    made = [signs(provider).depart(client_at(provider), redirect_uri=CALLBACK, hint="a") for _ in range(3)]

    parts = [part for one in made for part in (one.state, one.nonce, one.verifier)]
    assert len(set(parts)) == 9
    assert min(map(len, parts)) >= 43  # 256 bits in base64; RFC 7636 wants as many characters


def test_a_public_client_has_no_secret(provider: OpenIdServer) -> None:
    provider.clients["public"] = ""

    assert sign_in(provider, client_at(provider, client_id="public", secret=b""), secret="").refresh_token


def test_a_provider_is_asked_for_its_addresses_once(provider: OpenIdServer) -> None:
    made, client = signs(provider), client_at(provider)

    for _ in range(3):
        made.depart(client, redirect_uri=CALLBACK, hint="a")

    assert provider.count("/.well-known/openid-configuration") == 1


def test_a_refresh_brings_the_next_refresh_token(provider: OpenIdServer) -> None:
    client = client_at(provider)
    first = sign_in(provider, client)

    second = signs(provider).refresh(client, SECRET, first.refresh_token or "")

    assert second.access_token != first.access_token
    assert second.refresh_token not in (None, first.refresh_token)
    with pytest.raises(TokenRefusedError, match="gives no token"):
        signs(provider).refresh(client, SECRET, first.refresh_token or "")


def test_an_application_opens_mailboxes_by_its_own_right(provider: OpenIdServer) -> None:
    client = client_at(provider, **MICROSOFT)

    tokens = signs(provider).app_only(client, SECRET)

    assert tokens.access_token in provider.access
    assert tokens.refresh_token is None
    assert client.scopes_of(OAuthFlow.APP_ONLY) == ("https://outlook.office365.com/.default",)


def test_a_providers_wrong_clock_does_no_harm(provider: OpenIdServer) -> None:
    """Only how long a token lives is believed; the times in its word are by its own clock, and so are they read."""
    provider.misdeeds.add(Misdeed.CLOCK_AHEAD)

    tokens = sign_in(provider, client_at(provider))

    assert timedelta(minutes=59) < tokens.expires_at - now() <= timedelta(minutes=60)


# What does not.


@pytest.mark.parametrize(
    ("misdeed", "cause", "remedy"),
    [
        (Misdeed.EXPIRED, "not used for so long", "Sign in again"),
        (Misdeed.REVOKED, "has expired or was taken back", "Sign in again"),
        (Misdeed.PASSWORD_CHANGED, "the password was changed", "Sign in again"),
        (Misdeed.FOREIGN_ACCOUNT, "not in the tenant", "Correct the tenant"),
        (Misdeed.ADMIN_CONSENT_MISSING, "nobody has consented", "Have an administrator"),
        (Misdeed.BAD_SECRET, "secret is wrong", "Make a new secret"),
        (Misdeed.SECRET_EXPIRED, "secret has expired", "Make a new secret"),
    ],
)
def test_a_refusal_is_told_with_its_cause_and_what_to_do(
    provider: OpenIdServer, misdeed: Misdeed, cause: str, remedy: str
) -> None:
    error = refused(provider, misdeed, TokenRefusedError, **MICROSOFT)

    assert cause in str(error.facts["cause"])
    assert english.remedy(error).startswith(remedy)
    assert error.facts["oauth_client"] == "main"
    # Microsoft's own words run over several lines; the first has the number to look for.
    assert "Trace ID" not in english.explain(error)
    assert "\n" not in english.explain(error)


@pytest.mark.parametrize(
    ("misdeed", "told"),
    [
        (Misdeed.CONSENT_MISSING, "leave the box for mail ticked"),
        (Misdeed.NO_REFRESH_TOKEN, "no refresh token"),
        (Misdeed.NO_ID_TOKEN, "there is no id_token"),
        (Misdeed.WRONG_NONCE, "the answer belongs to another sign-in"),
        (Misdeed.WRONG_AUDIENCE, "not for this application"),
        (Misdeed.WRONG_ISSUER, "not for this application"),
        (Misdeed.WRONG_TENANT, "of another tenant"),
        (Misdeed.BAD_SIGNATURE, "signature is not good"),
        (Misdeed.UNSIGNED, "signature is not good"),
        (Misdeed.CLOCK_TORN, "clock contradicts itself"),
    ],
)
def test_a_sign_in_that_is_of_no_use_or_not_to_be_trusted_is_not_kept(
    provider: OpenIdServer, misdeed: Misdeed, told: str
) -> None:
    error = refused(provider, misdeed, ConsentFailedError, **MICROSOFT)

    assert told in english.explain(error)
    assert english.remedy(error)


@pytest.mark.parametrize(
    ("misdeed", "told"),
    [
        (Misdeed.SLOW, "did not answer in time"),
        (Misdeed.FAILS, "status=503"),
        (Misdeed.BUSY, "busy"),
        (Misdeed.GARBAGE, "cannot be understood"),
        (Misdeed.NOT_AN_OBJECT, "cannot be understood"),
        (Misdeed.ODD_TOKEN, "cannot be understood"),
        (Misdeed.ENDLESS, "not HTTP"),
        (Misdeed.REDIRECTS, "cannot be understood"),
    ],
)
def test_a_provider_in_trouble_is_told_apart_from_a_refusal(
    provider: OpenIdServer, misdeed: Misdeed, told: str
) -> None:
    """Nobody is sent to sign in again because a server is down."""
    error = refused(provider, misdeed, ProviderDownError)

    assert told in english.explain(error)


def test_what_a_provider_quotes_of_our_secrets_is_blotted_out(provider: OpenIdServer) -> None:
    error = refused(provider, Misdeed.ECHOES, TokenRefusedError)

    told = english.explain(error)
    assert "I know your" in told
    assert SECRET not in told
    assert told.count("[hidden]") >= 3  # code, verifier, secret
    assert error.__cause__ is None


def test_the_wrong_verifier_is_noticed_by_the_provider(provider: OpenIdServer) -> None:
    """The provider of the tests really checks PKCE: without this, the others would prove little."""
    made, client = signs(provider), client_at(provider)
    departure = made.depart(client, redirect_uri=CALLBACK, hint="a")
    back = visit(provider, departure.url)

    with pytest.raises(TokenRefusedError):
        made.arrive(client, SECRET, request_of(departure, client), code=back["code"], verifier="x" * 43)


def test_a_code_is_good_for_the_redirect_uri_that_it_was_asked_for_only(provider: OpenIdServer) -> None:
    made, client = signs(provider), client_at(provider)
    departure = made.depart(client, redirect_uri=CALLBACK, hint="a")
    back = visit(provider, departure.url)
    request = replace(request_of(departure, client), redirect_uri="http://localhost:3000/admin/oauth/callback/")

    with pytest.raises(TokenRefusedError):
        made.arrive(client, SECRET, request, code=back["code"], verifier=departure.verifier)


# Where a provider must not be.


def test_a_provider_at_a_private_address_is_not_called(provider: OpenIdServer) -> None:
    with pytest.raises(MailboxForbiddenError, match="not allowed") as caught:
        sign_in(provider, client_at(provider), allow_networks=())

    assert "oauth.allow_networks" in english.remedy(caught.value)
    assert provider.calls == []


@pytest.mark.parametrize(
    "issuer", ["http://169.254.169.254", "http://localhost:1", "ftp://example.com", "file:///etc/passwd", "localhost"]
)
def test_an_issuer_that_is_no_https_address_is_refused(provider: OpenIdServer, issuer: str) -> None:
    with pytest.raises(ProviderDownError, match="https://"):
        signs(provider).depart(client_at(provider, issuer=issuer), redirect_uri=CALLBACK, hint="a")


def test_a_document_of_another_issuer_is_not_believed(provider: OpenIdServer) -> None:
    client = client_at(provider, issuer=provider.issuer.replace("localhost", "127.0.0.1"))

    with pytest.raises(ProviderDownError, match="of another issuer"):
        signs(provider).depart(client, redirect_uri=CALLBACK, hint="a")


def test_an_untrusted_certificate_ends_it(provider: OpenIdServer) -> None:
    with pytest.raises(ProviderDownError, match="does not answer") as caught:
        sign_in(provider, client_at(provider), ca_file=None)

    assert "oauth.ca_file" in english.remedy(caught.value)


def test_a_file_of_authorities_that_is_none_is_named(provider: OpenIdServer) -> None:
    with pytest.raises(SettingsError, match="certificate authorities"):
        sign_in(provider, client_at(provider), ca_file=os.devnull)


def test_the_presets_say_where_applications_are_registered() -> None:
    assert all(preset.help for kind, preset in PRESETS.items() if kind is not OAuthProvider.OTHER)
    assert TENANT != OTHER_TENANT
