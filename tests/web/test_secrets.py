"""No page and no answer of the API shows a secret, whoever asks (A3): every address that can be read is asked."""

from __future__ import annotations

import html
import json
import re
from base64 import b64encode
from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import quote

import pytest
from sqlalchemy import text

from concord.adapters.imap.keys import Keys, NoTokens
from concord.adapters.sql.engine import transaction
from concord.bootstrap import Concord
from concord.errors import MailboxSecretError
from concord.model.account import Account, AccountStatus, AuthKind
from concord.model.binding import of_access_token, of_refresh_token
from concord.model.oauth import OAuthClient, OAuthFlow, OAuthGrant, OAuthProvider
from concord.model.rule import HandlerSpec
from concord.pipeline import health
from concord.services import accounts, handlers, oauth_clients
from concord.web.app import make_app
from tests.factories import mail
from tests.fakes.handlers import make_tools, public
from tests.sql_world import now
from tests.web.mails import Mails
from tests.web_world import PASSWORD, SHELL, Browser, every_route, token_of

MAILBOX = "Tr0ub4dor-geheim-密码"
CLIENT = "app-Bl0menkohl-Zw1ebel"
ACCESS = "ya29.access-Kn0blauch-1"
REFRESH = "1//refresh-Kn0blauch-2"
WEBHOOK = "whsec_" + b64encode(b"webhook-Kn0blauchzehe-123").decode()
HEADER = "Bearer header-R0sinen"
IN_URL = "token-in-url-M0hn"
SECRETS = (MAILBOX, CLIENT, ACCESS, REFRESH, WEBHOOK, HEADER, IN_URL, PASSWORD)


def disguises(secret: str) -> Iterator[str]:
    """As it is, as JSON, base64 and an address would write it."""
    yield secret
    yield json.dumps(secret).strip('"')
    yield b64encode(secret.encode()).decode().rstrip("=")
    yield quote(secret, safe="")


def found_in(text: str) -> list[str]:
    return [secret for secret in SECRETS if any(shape in text for shape in disguises(secret))]


@pytest.fixture
def places(concord: Concord) -> list[str]:
    """Every address to read, with something in its places; of all that has secrets there is one."""
    vars(concord)["tools"] = make_tools(resolve=public)
    (message,) = Mails(concord).arrive(mail("Order 7"))
    wanted = OAuthClient(name="office", provider=OAuthProvider.OTHER, client_id="id", issuer="https://id.example.com")
    client = oauth_clients.save(concord, wanted, secret=CLIENT, replacing=False, by=SHELL)
    plain = Account(name="billing", host="imap.example.com", user="billing")
    account = accounts.add(concord, plain, MAILBOX, by=SHELL).account
    signed = Account(name="token", host="imap.example.com", user="token", auth=AuthKind.OAUTH2, oauth_client="office")
    other = accounts.add(concord, signed, by=SHELL).account
    refresh, access = of_refresh_token(other, client), of_access_token(other, client)
    at = now()
    concord.oauth_grants.keep(
        OAuthGrant(
            account_id=other.id,
            client_id=client.id,
            flow=OAuthFlow.CODE,
            refresh_token=concord.vault.seal(REFRESH, refresh),
            access_token=concord.vault.seal(ACCESS, access),
            expires_at=at + timedelta(hours=1),
            granted_at=at,
            refreshed_at=at,
        )
    )
    options = {"url": f"https://hooks.example.com/{IN_URL}", "headers": {"Authorization": HEADER}}
    handlers.save(concord, HandlerSpec(name="crm", kind="webhook", options=options), secret=WEBHOOK, by=SHELL)
    ids: dict[str, list[object]] = {"message_id": [message.id], "event_id": [message.event_id]}
    numbers = (account.id, other.id, message.id, 1)
    names = ["billing", "token", "crm", "office", "alice", "poll"]
    return sorted(
        {
            re.sub(r"\{[^}]*\}", str(value), route.path)
            for route in every_route(make_app(concord))
            if "GET" in (route.methods or ()) and not route.path.startswith("/admin/flower")
            for value in ids.get((re.findall(r"\{(\w+)", route.path) or [""])[0], [*numbers, *names])
            if not route.path.endswith("/live") and "events/stream" not in route.path
        }
    )


@pytest.mark.parametrize("name", ["alice", "carol"])
def test_no_secret_shows_on_any_page_or_in_any_answer(
    concord: Concord, places: list[str], name: str, request: pytest.FixtureRequest
) -> None:
    browser: Browser = request.getfixturevalue(name)
    token = token_of(concord, name)
    answered: dict[str, str] = {}
    for place in places:
        headers = token if place.startswith("/api/") else {}
        answer = browser.get(place, headers=headers)
        if answer.is_success:
            answered[place] = answer.text
        told = f"{answer.text}\n{dict(answer.headers)}"
        # The whole address of a webhook is for those who may change it.
        shown = {IN_URL} if name == "alice" and "/handlers" in place else set()
        assert set(found_in(told)) - shown == set(), place
    assert {"/admin/settings/handlers/crm", "/api/v1/accounts/billing", "/api/v1/oauth-clients/office"} <= set(answered)
    assert len(answered) > 60


def test_scan_finds_what_it_looks_for() -> None:
    """It can fail."""
    assert [found_in(f"x{shape}y") for secret in SECRETS for shape in disguises(secret)] == [
        [secret] for secret in SECRETS for _ in disguises(secret)
    ]


def test_redirected_mailbox_says_so_on_its_page_and_in_the_api(concord: Concord, alice: Browser) -> None:
    """A3: somebody changed the host in the database, and the poll refused to send the password there."""
    plain = Account(name="billing", host="imap.example.com", user="billing")
    account = accounts.add(concord, plain, MAILBOX, by=SHELL).account
    with transaction(concord.engine) as connection:
        connection.execute(text("UPDATE accounts SET host = 'evil.example'"))
    with pytest.raises(MailboxSecretError) as caught:
        Keys(concord.vault, NoTokens()).secret(concord.accounts.get("billing"))
    failed = health.failed(AccountStatus(), caught.value, now(), concord.settings.poll)
    concord.accounts.set_status(account.id, failed)

    page = html.unescape(alice.get(f"/admin/settings/accounts/{account.id}").text)
    told = alice.get("/api/v1/accounts/billing", headers=token_of(concord, "alice")).text

    assert "it was sealed for another server, row or purpose" in page
    assert "enter the password again on the mailbox's page" in page
    assert "it was sealed for another server, row or purpose" in told
    assert MAILBOX not in page + told
