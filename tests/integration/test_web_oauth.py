"""OAuth2 in the browser and through the API, with a real provider at the other end (A2, U2)."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from concord.bootstrap import Concord
from concord.model.account import Account, AuthKind
from concord.model.binding import of_client
from concord.model.user import Permission
from tests.factories import sealed_in
from tests.oauth_world import SECRET, settings_for, visit
from tests.servers.openid import Misdeed, OpenIdServer
from tests.sql_world import account
from tests.web_world import Browser, token_of, web_concord

LIST = "/admin/settings/oauth"
API = "/api/v1"


@pytest.fixture
def concord(tmp_path: Path, provider: OpenIdServer) -> Iterator[Concord]:
    with web_concord(tmp_path, oauth=settings_for(provider)) as made:
        yield made


@pytest.fixture
def bob(concord: Concord) -> Browser:
    """An operator, who may configure."""
    browser = Browser(concord)
    browser.sign_in("bob")
    return browser


@pytest.fixture
def mailbox(concord: Concord) -> Account:
    """With a password."""
    return concord.accounts.add(sealed_in(concord.vault, account("sales"), "sesame"))


def written(provider: OpenIdServer, **changes: str) -> dict[str, str]:
    """The form of an app at this provider."""
    return {
        "name": "main",
        "provider": "other",
        "client_id": "concord",
        "secret": SECRET,
        "issuer": provider.issuer,
        **changes,
    }


@pytest.fixture
def app(bob: Browser, provider: OpenIdServer) -> str:
    """An app that Bob added."""
    assert bob.submit(LIST, page=LIST, **written(provider)).url.path == LIST
    return "main"


def leave(browser: Browser, mailbox: Account, **fields: str) -> str:
    """Press the button; where the browser is led."""
    place = f"/admin/settings/accounts/{mailbox.id}"
    left = browser.submit(f"{place}/sign-in", page=place, **{"client": "main", "flow": "code", **fields})
    found = re.search(r'http-equiv="refresh" content="0;url=([^"]+)"', left.text)
    assert found, left.text
    return html.unescape(found[1])


def test_a_mailbox_signs_in_in_the_browser(
    bob: Browser, concord: Concord, mailbox: Account, app: str, provider: OpenIdServer
) -> None:
    back = visit(provider, leave(bob, mailbox))

    shown = bob.get(f"/admin/oauth/callback?{urlencode(back)}")

    assert shown.url.path == f"/admin/settings/accounts/{mailbox.id}"
    assert "&#39;sales&#39; is signed in" in shown.text
    assert concord.accounts.get("sales").auth is AuthKind.OAUTH2
    assert back["code"] not in shown.text
    assert "Token good until" in shown.text


def test_the_way_there_is_a_link_too_and_no_redirect_of_a_form(bob: Browser, mailbox: Account, app: str) -> None:
    """The policy's form-action holds for redirects as well: a browser would not follow one to another site."""
    place = f"/admin/settings/accounts/{mailbox.id}"
    left = bob.submit(f"{place}/sign-in", page=place, client="main", flow="code")

    assert left.status_code == 200
    assert left.history == []
    assert left.text.count("code_challenge_method=S256") == 2
    assert "form-action 'self'" in left.headers["content-security-policy"]


def test_a_browser_that_lost_its_session_signs_in_and_goes_on(
    bob: Browser, concord: Concord, mailbox: Account, app: str, provider: OpenIdServer
) -> None:
    back = visit(provider, leave(bob, mailbox))
    bob.cookies.clear()

    place = f"/admin/oauth/callback?{urlencode(back)}"
    assert bob.get(place).url.path == "/admin/login"
    shown = bob.sign_in("bob", place=place)

    assert "is signed in" in shown.text


def test_another_users_browser_cannot_finish_it(
    bob: Browser, concord: Concord, mailbox: Account, app: str, provider: OpenIdServer
) -> None:
    back = visit(provider, leave(bob, mailbox))
    alice = Browser(concord)
    alice.sign_in("alice")

    shown = alice.get(f"/admin/oauth/callback?{urlencode(back)}")

    assert shown.status_code == 422
    assert "begun by somebody else" in shown.text
    assert concord.accounts.get("sales").auth is AuthKind.PASSWORD


def test_a_viewer_neither_begins_nor_finishes_it(
    bob: Browser, concord: Concord, mailbox: Account, app: str, provider: OpenIdServer
) -> None:
    back = visit(provider, leave(bob, mailbox))
    carol = Browser(concord)
    carol.sign_in("carol")
    place = f"/admin/settings/accounts/{mailbox.id}"

    assert "Sign in with" not in carol.get(place).text
    assert carol.submit(f"{place}/sign-in", client="main", flow="code").status_code == 403
    assert carol.get(f"/admin/oauth/callback?{urlencode(back)}").status_code == 403
    assert carol.submit(LIST, **written(provider, name="more")).status_code == 403


@pytest.mark.parametrize(
    ("misdeed", "told"),
    [
        (Misdeed.DECLINED, "the access to the mailbox was declined"),
        (Misdeed.WRONG_STATE, "used already"),
        (Misdeed.WRONG_NONCE, "belongs to another sign-in"),
        (Misdeed.NO_REFRESH_TOKEN, "gives no lasting access"),
        (Misdeed.BAD_SECRET, "Make a new secret"),
        (Misdeed.FOREIGN_ACCOUNT, "Correct the tenant"),
        (Misdeed.FAILS, "provider has trouble"),
        (Misdeed.GARBAGE, "cannot be understood"),
    ],
)
def test_a_sign_in_that_fails_says_why_and_what_to_do(
    bob: Browser, mailbox: Account, app: str, provider: OpenIdServer, misdeed: Misdeed, told: str
) -> None:
    provider.misdeeds.add(misdeed)
    back = visit(provider, leave(bob, mailbox))

    shown = bob.get(f"/admin/oauth/callback?{urlencode(back)}")

    assert shown.status_code in (422, 502)
    assert told in shown.text
    assert "What to do" in shown.text
    assert "Nothing is changed" in shown.text
    assert SECRET not in shown.text


def test_words_in_the_address_are_shown_only_with_the_right_state(bob: Browser, app: str) -> None:
    words = {"error": "access_denied", "error_description": "Call 555-0100 <script>", "state": "guess"}
    shown = bob.get(f"/admin/oauth/callback?{urlencode(words)}")

    assert "555-0100" not in shown.text
    assert shown.status_code == 422


def test_what_a_provider_says_is_escaped(bob: Browser, mailbox: Account, app: str, provider: OpenIdServer) -> None:
    state = visit(provider, leave(bob, mailbox))["state"]
    words = {"error": "<script>alert(1)</script>", "error_description": '"><img src=x>', "state": state}

    shown = bob.get(f"/admin/oauth/callback?{urlencode(words)}")

    assert "<script>alert" not in shown.text
    assert "<img src=x" not in shown.text
    assert "&lt;script&gt;" in shown.text


@pytest.mark.parametrize("query", ["", "code=x", "state=x", "code=%01&state=%ff", "state=" + "x" * 9000])
def test_a_callback_out_of_nowhere_is_refused(bob: Browser, query: str) -> None:
    assert bob.get(f"/admin/oauth/callback?{query}").status_code == 422


def test_somebody_else_who_signed_in_is_pointed_out(
    bob: Browser, mailbox: Account, app: str, provider: OpenIdServer
) -> None:
    provider.user = "carol@example.com"
    back = visit(provider, leave(bob, mailbox))

    shown = bob.get(f"/admin/oauth/callback?{urlencode(back)}")

    assert "Signed in as carol@example.com" in shown.text


def test_an_app_opens_a_mailbox_by_its_own_right(bob: Browser, concord: Concord, mailbox: Account, app: str) -> None:
    place = f"/admin/settings/accounts/{mailbox.id}"

    shown = bob.submit(f"{place}/sign-in", page=place, client="main", flow="app_only")

    assert shown.url.path == place
    assert concord.accounts.get("sales").auth is AuthKind.OAUTH2_APP


def test_a_refused_sign_in_shows_on_the_mailboxs_page(
    bob: Browser, concord: Concord, mailbox: Account, app: str, provider: OpenIdServer
) -> None:
    back = visit(provider, leave(bob, mailbox))
    bob.get(f"/admin/oauth/callback?{urlencode(back)}")
    grant = concord.oauth_grants.get(mailbox.id)
    assert grant is not None
    concord.oauth_grants.refused(grant, code="token_refused", error="It was taken back. Sign in again")

    shown = bob.get(f"/admin/settings/accounts/{mailbox.id}").text

    assert "The provider takes the sign-in no longer." in shown
    assert "It was taken back. Sign in again" in shown


# Apps.


def test_the_redirect_uri_to_register_is_shown(bob: Browser) -> None:
    assert "http://localhost:3000/admin/oauth/callback" in bob.get(LIST).text


def test_a_secret_goes_in_and_never_comes_out(bob: Browser, concord: Concord, app: str, provider: OpenIdServer) -> None:
    assert (
        concord.vault.unseal(concord.oauth_clients.get("main").secret, of_client(concord.oauth_clients.get("main")))
        == SECRET
    )
    assert SECRET not in bob.get(LIST).text + bob.get(f"{LIST}/main").text
    wrong = bob.submit(f"{LIST}/main", page=LIST, **written(provider, secret="new secret", tenant="../x"))
    assert wrong.status_code == 422
    assert "new secret" not in wrong.text


def test_mistakes_are_shown_at_their_fields(bob: Browser, provider: OpenIdServer) -> None:
    shown = bob.submit(LIST, page=LIST, **written(provider, client_id="", issuer="http://x"))

    assert shown.status_code == 422
    assert shown.text.count('aria-invalid="true"') == 2
    assert 'value="main"' in shown.text


def test_an_app_is_changed_and_removed(bob: Browser, concord: Concord, app: str, provider: OpenIdServer) -> None:
    changed = bob.submit(f"{LIST}/main", page=LIST, **written(provider, secret="", scopes="openid mail"))

    assert "is changed" in changed.text
    assert concord.oauth_clients.get("main").scopes == ("openid", "mail")
    assert (
        concord.vault.unseal(concord.oauth_clients.get("main").secret, of_client(concord.oauth_clients.get("main")))
        == SECRET
    )
    assert "is removed" in bob.submit(f"{LIST}/main/remove", page=LIST).text
    assert concord.oauth_clients.all() == []


def test_an_app_that_a_mailbox_uses_stays(bob: Browser, concord: Concord, mailbox: Account, app: str) -> None:
    bob.submit(f"/admin/settings/accounts/{mailbox.id}/sign-in", page=LIST, client="main", flow="app_only")

    shown = bob.submit(f"{LIST}/main/remove", page=LIST)

    assert shown.status_code == 409
    assert "sales" in shown.text


# The same through the API.


@pytest.fixture
def api(concord: Concord) -> Browser:
    """A program with Bob's token."""
    program = Browser(concord)
    program.headers.update(token_of(concord, "bob") | {"Accept": "application/json"})
    return program


def _app(provider: OpenIdServer, **changes: Any) -> dict[str, Any]:
    return {**written(provider), "scopes": [], **changes}


def test_a_mailbox_signs_in_through_the_api(
    api: Browser, concord: Concord, mailbox: Account, provider: OpenIdServer
) -> None:
    made = api.post(f"{API}/oauth-clients", json=_app(provider))
    begun = api.post(f"{API}/sign-ins", json={"account": "sales", "client": "main"})
    back = visit(provider, begun.json()["url"])

    done = api.post(f"{API}/sign-ins/finish", json={"state": back["state"], "code": back["code"]})

    assert (made.status_code, begun.status_code, done.status_code) == (201, 200, 200)
    assert done.json() == {
        "account": "sales",
        "auth": "oauth2",
        "oauth_client": "main",
        "signed_in_as": "sales@example.com",
    }
    told = api.get(f"{API}/sign-ins/sales").json()
    assert (told["signed_in"], told["refused_at"]) == (True, None)
    everything = made.text + begun.text + done.text + str(told)
    assert not [word for word in (SECRET, *provider.access, *provider.refresh) if word in everything]


def test_the_api_says_why_a_sign_in_fails(api: Browser, mailbox: Account, provider: OpenIdServer) -> None:
    api.post(f"{API}/oauth-clients", json=_app(provider))
    provider.misdeeds.add(Misdeed.SECRET_EXPIRED)

    refused = api.post(f"{API}/sign-ins/app-only", json={"account": "sales", "client": "main"})

    assert refused.status_code == 502
    assert refused.json()["type"] == "urn:concord:problem:token_refused"
    assert "Make a new secret" in refused.json()["remedy"]


def test_the_api_lists_changes_and_removes_apps(api: Browser, concord: Concord, provider: OpenIdServer) -> None:
    api.post(f"{API}/oauth-clients", json=_app(provider))

    listed = api.get(f"{API}/oauth-clients").json()["items"]
    changed = api.put(
        f"{API}/oauth-clients/main",
        json={"provider": "other", "client_id": "concord", "issuer": provider.issuer, "tenant": "t"},
    )

    assert [(one["name"], one["has_secret"]) for one in listed] == [("main", True)]
    assert listed[0]["redirect_uri"] == "http://localhost:3000/admin/oauth/callback"
    assert (changed.status_code, changed.json()["tenant"], changed.json()["has_secret"]) == (200, "t", True)
    assert api.delete(f"{API}/oauth-clients/main").status_code == 204
    assert api.get(f"{API}/oauth-clients/main").status_code == 404


def test_the_api_names_each_mistake(api: Browser, provider: OpenIdServer) -> None:
    refused = api.post(f"{API}/oauth-clients", json=_app(provider, client_id="a b", issuer="http://x"))

    assert refused.status_code == 422
    assert [one["pointer"] for one in refused.json()["errors"]] == ["/client_id", "/issuer"]
    assert SECRET not in refused.text


def test_a_token_to_read_configures_nothing(concord: Concord, mailbox: Account, provider: OpenIdServer) -> None:
    program = Browser(concord)
    program.headers.update(token_of(concord, "bob", Permission.READ) | {"Accept": "application/json"})

    assert program.get(f"{API}/oauth-clients").status_code == 200
    assert program.post(f"{API}/oauth-clients", json=_app(provider)).status_code == 403
    assert program.post(f"{API}/sign-ins", json={"account": "sales"}).status_code == 403
