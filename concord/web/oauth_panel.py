"""What a mailbox's page says of its OAuth2 sign-in, and offers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from concord.bootstrap import Concord
from concord.model.account import Account
from concord.model.oauth import OAuthClient, OAuthGrant, OAuthProvider
from concord.model.provider import provider_of


@dataclass(frozen=True, slots=True, kw_only=True)
class OAuthPanel:
    """The clients that can open it, its own first; and what it was granted."""

    clients: tuple[OAuthClient, ...]
    grant: OAuthGrant | None
    is_due: bool  # nobody has signed in, or the provider takes it back
    provider: str  # whose sign-in its server takes, in words; empty where that is not known

    @property
    def since(self) -> datetime | None:
        """When somebody signed in."""
        return self.grant.granted_at if self.grant else None

    @property
    def is_shown(self) -> bool:
        """A generic server with a password, where no client is registered, has nothing to say here."""
        return bool(self.clients or self.grant or self.is_due)


def panel(parts: Concord, account: Account) -> OAuthPanel:
    """Of one account."""
    home = provider_of(account.host).oauth
    clients = [one for one in parts.oauth_clients.all() if _fits(one, home, account)]
    clients.sort(key=lambda one: (one.name != account.oauth_client, one.name))
    grant = parts.oauth_grants.get(account.id) if account.auth.is_oauth else None
    refused = grant is not None and grant.refused_at is not None
    signed_in = grant is not None and bool(grant.refresh_token or grant.access_token)
    return OAuthPanel(
        clients=tuple(clients),
        grant=grant,
        is_due=account.auth.is_oauth and (refused or not signed_in),
        provider=OAuthProvider(home).value.capitalize() if home else "",
    )


def _fits(client: OAuthClient, home: str | None, account: Account) -> bool:
    """Google's and Microsoft's tokens are for their own servers only; of another provider only its mailboxes know."""
    other = bool(client.issuer) or client.provider is OAuthProvider.OTHER
    return account.auth.is_oauth if other else client.provider.value == home
