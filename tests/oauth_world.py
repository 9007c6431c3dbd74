"""OAuth2 around one real provider: clients, a mailbox that wants a token, and a browser that goes where it is sent."""

from __future__ import annotations

import ssl
from dataclasses import replace
from datetime import timedelta
from http.client import HTTPSConnection
from ipaddress import ip_network
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from sqlalchemy import Engine

from concord.adapters.oauth import ProviderSignIns
from concord.adapters.sql.accounts import SqlAccounts
from concord.adapters.sql.oauth_clients import SqlOAuthClients
from concord.adapters.sql.oauth_grants import SqlOAuthGrants
from concord.model.account import Account, AuthKind
from concord.model.oauth import Departure, OAuthClient, OAuthFlow, OAuthGrant, OAuthProvider, OAuthRequest, Tokens
from concord.pipeline.tokens import TokenKeeper
from concord.settings import OAuthSettings, PollSettings
from tests.fakes.audit import MemoryAudit
from tests.fakes.vault import NullVault
from tests.servers.openid import OpenIdServer
from tests.sql_world import account, now

VAULT = NullVault()
CALLBACK = "http://localhost:3000/admin/oauth/callback"
SECRET = "top-secret"


def settings_for(provider: OpenIdServer, **changes: Any) -> OAuthSettings:
    """As an operator of a provider on this machine has them."""
    known: dict[str, Any] = {"allow_networks": (ip_network("127.0.0.0/8"), ip_network("::1/128"))}
    return OAuthSettings(**{**known, "ca_file": provider.ca_file, "timeout": 5, **changes})


def client_at(server: OpenIdServer, /, **changes: Any) -> OAuthClient:
    """The application `concord` at this provider."""
    known: dict[str, Any] = {
        "name": "main",
        "provider": OAuthProvider.OTHER,
        "client_id": "concord",
        "secret": VAULT.seal(SECRET),
        "issuer": server.issuer,
    }
    return OAuthClient(**{**known, **changes})


def visit(provider: OpenIdServer, url: str) -> dict[str, str]:
    """What the provider sends the browser back with."""
    place = urlsplit(url)
    context = ssl.create_default_context(cafile=str(provider.ca_file))
    connection = HTTPSConnection(place.hostname or "", place.port, context=context, timeout=10)
    try:
        connection.request("GET", f"{place.path}?{place.query}")
        answer = connection.getresponse()
        location = answer.headers["Location"] or ""
        answer.read()
    finally:
        connection.close()
    return dict(parse_qsl(urlsplit(location).query))


def request_of(departure: Departure, client: OAuthClient) -> OAuthRequest:
    """A consent under way, as it is kept."""
    at = now()
    return OAuthRequest(
        state=b"",
        verifier=VAULT.seal(departure.verifier),
        nonce=departure.nonce,
        client_id=client.id,
        account_id=1,
        user_id=1,
        redirect_uri=CALLBACK,
        created_at=at,
        expires_at=at + timedelta(minutes=10),
    )


class OAuthWorld:
    """Everything on one engine. `keeper()` makes a process's own."""

    def __init__(self, engine: Engine, server: OpenIdServer, /, *, app_only: bool = False, **client: Any) -> None:
        self.provider = server
        self.accounts = SqlAccounts(engine, now)
        self.clients = SqlOAuthClients(engine, now)
        self.grants = SqlOAuthGrants(engine, now)
        self.audit = MemoryAudit()
        self.settings = settings_for(server)
        self.client = self.clients.save(client_at(server, **client))
        auth = AuthKind.OAUTH2_APP if app_only else AuthKind.OAUTH2
        self.account = self.accounts.add(account("alice", auth=auth, oauth_client=self.client.name, secret=b""))

    @property
    def sign_ins(self) -> ProviderSignIns:
        return ProviderSignIns(self.settings, now)

    def keeper(self, **changes: Any) -> TokenKeeper:
        known: dict[str, Any] = {
            "accounts": self.accounts,
            "clients": self.clients,
            "grants": self.grants,
            "sign_ins": lambda: self.sign_ins,
            "vault": VAULT,
            "audit": lambda: self.audit,
            "settings": self.settings,
            "poll": PollSettings(),
            "clock": now,
        }
        return TokenKeeper(**{**known, **changes})

    def token(self, **asked: Any) -> str:
        return self.keeper().token(self.account, **asked)

    def sign_in(self, user: str | None = None) -> Tokens:
        """As a person does in a browser; the grant is kept."""
        departure = self.sign_ins.depart(self.client, redirect_uri=CALLBACK, hint=user or self.account.user)
        back = visit(self.provider, departure.url)
        request = request_of(departure, self.client)
        tokens = self.sign_ins.arrive(self.client, SECRET, request, code=back["code"], verifier=departure.verifier)
        self.grants.keep(
            OAuthGrant(
                account_id=self.account.id,
                client_id=self.client.id,
                flow=OAuthFlow.CODE,
                refresh_token=VAULT.seal(tokens.refresh_token or ""),
                access_token=VAULT.seal(tokens.access_token),
                expires_at=tokens.expires_at,
                granted_at=now(),
                refreshed_at=now(),
            )
        )
        return tokens

    @property
    def grant(self) -> OAuthGrant:
        """As it stands."""
        found = self.grants.get(self.account.id)
        assert found is not None
        return found

    def age(self, *, left: timedelta) -> None:
        """The access token, an hour old, lives only so much longer."""
        at = now()
        self.grants.renewed(replace(self.grant, refreshed_at=at - timedelta(hours=1), expires_at=at + left))

    def mailbox(self, host: str, port: int, ca_file: str, user: str) -> Account:
        """The account, moved to a server of the test's."""
        self.account = self.accounts.save(
            replace(self.account, host=host, port=port, ca_file=ca_file, user=user, folders=("INBOX",))
        )
        return self.account
