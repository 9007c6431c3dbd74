"""Access tokens: kept sealed, renewed ahead of time by one process at a time, an alarm at the first refusal (A2).

A provider that is away is waited for. One that refuses will not be talked round: a person has to sign in again.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import structlog
from structlog.contextvars import bound_contextvars

from concord.auditing import audited
from concord.errors import ConcordError, NotFoundError, ProviderDownError, SecretKeyError, TokenRefusedError
from concord.model.account import Account, AuthKind
from concord.model.binding import of_access_token, of_client, of_refresh_token
from concord.model.caller import Caller
from concord.model.fault import dump
from concord.model.oauth import OAuthClient, OAuthFlow, OAuthGrant, OAuthProvider, Tokens
from concord.model.provider import provider_of
from concord.pipeline import health
from concord.ports import Accounts, Audit, Clock, OAuthClients, OAuthGrants, SignIns, Vault
from concord.settings import OAuthSettings, PollSettings

log = structlog.get_logger(__name__)

# A token that dies on its way to the server is of no use.
_BARELY: Final = timedelta(seconds=10)
# Accounts that were added together shall not renew together.
_JITTER: Final = 60.0
# Whoever renews is done by then: two calls, each with its whole time-out, and room to write it down.
_CALLS: Final = 2
_ROOM: Final = 10
_LOOK_EVERY: Final = 0.2
# The next round begins every minute.
_LONGEST_ROUND: Final = timedelta(seconds=40)
_NOBODY: Final = Caller(actor="concord", via="daemon")
_FLOWS: Final = {AuthKind.OAUTH2: OAuthFlow.CODE, AuthKind.OAUTH2_APP: OAuthFlow.APP_ONLY}


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenKeeper:
    """Keeps `ports.TokenSource`."""

    accounts: Accounts
    clients: OAuthClients
    grants: OAuthGrants
    sign_ins: Callable[[], SignIns]
    vault: Vault
    audit: Callable[[], Audit]
    settings: OAuthSettings
    poll: PollSettings
    clock: Clock
    pause: Callable[[float], None] = time.sleep

    def token(self, account: Account, *, refused: str | None = None) -> str:
        """One that is good for a while yet; never the one that the mail server has just `refused`."""
        client = self._client(account)
        grant = self._grant(account, client)
        kept = self._kept(account, client, grant, refused)
        if kept and not self._is_due(grant):
            return kept
        if self._hold(account.id):
            return self._renewed(account, client, refused)
        # Somebody else renews it just now; as long as this one lives, there is no need to wait.
        return kept or self._waited(account, client, refused)

    def expiry(self, account: Account) -> datetime | None:
        """When the token that is kept now expires."""
        grant = self.grants.get(account.id)
        return grant.expires_at if grant and grant.access_token else None

    def renew_due(self) -> int:
        """Renew what expires soon, whether it is polled or not: a refusal is heard of within the hour. How many."""
        begun = self.clock()
        ids = self.grants.expiring(begun + timedelta(seconds=self.settings.refresh_margin))
        # In no order: of a provider that is slow, the same accounts must not come first each time.
        random.shuffle(ids)
        renewed = 0
        for account_id in ids:
            if self.clock() - begun > _LONGEST_ROUND:
                break
            renewed += self._tried(account_id)
        return renewed

    def _tried(self, account_id: int) -> bool:
        try:
            account = self.accounts.get(account_id)
        except NotFoundError:
            return False
        with bound_contextvars(account=account.name):
            try:
                self.token(account)
            except TokenRefusedError as error:
                status = self.accounts.status(account_id)
                self.accounts.set_status(account_id, health.failed(status, error, self.clock(), self.poll))
            except (ProviderDownError, SecretKeyError) as error:
                # A key that does not open this grant may open the others.
                log.warning("oauth.not_renewed", error=error)
            else:
                return True
        return False

    # What there is.

    def _client(self, account: Account) -> OAuthClient:
        if account.oauth_client is None:
            raise _not_signed_in(account, "no OAuth2 client is named for it")
        try:
            client = self.clients.get(account.oauth_client)
        except NotFoundError as error:
            raise TokenRefusedError("no_client", account=account.name, oauth_client=account.oauth_client) from error
        refuse_stranger(account, client)
        return client

    def _grant(self, account: Account, client: OAuthClient) -> OAuthGrant:
        flow, grant = _FLOWS[account.auth], self.grants.get(account.id)
        if grant and (grant.flow, grant.client_id) == (flow, client.id):
            return grant
        if flow is OAuthFlow.CODE or not account.id:
            raise _not_signed_in(account, "the sign-in was for another OAuth2 client" if grant else "")
        # The application's own secret is all that it takes.
        made = OAuthGrant(account_id=account.id, client_id=client.id, flow=flow, granted_at=self.clock())
        self.grants.keep(made)
        return made

    def _kept(self, account: Account, client: OAuthClient, grant: OAuthGrant, refused: str | None) -> str | None:
        if not grant.access_token or grant.expires_at is None or grant.expires_at <= self.clock() + _BARELY:
            return None
        token = self.vault.unseal(grant.access_token, of_access_token(account, client))
        return None if token == refused else token

    def _is_due(self, grant: OAuthGrant) -> bool:
        """Ahead of time; of a token that lives for minutes only, in its last quarter."""
        if grant.expires_at is None or grant.refreshed_at is None:
            return True
        margin = self.settings.refresh_margin + random.uniform(0, _JITTER)  # noqa: S311 - spreads load, guards nothing
        life = grant.expires_at - grant.refreshed_at
        return grant.expires_at - self.clock() < min(timedelta(seconds=margin), life / 4)

    # Renewing it.

    @property
    def _patience(self) -> float:
        return _CALLS * self.settings.timeout + _ROOM

    def _hold(self, account_id: int) -> bool:
        return self.grants.hold(account_id, until=self.clock() + timedelta(seconds=self._patience))

    def _renewed(self, account: Account, client: OAuthClient, refused: str | None) -> str:
        try:
            # Once more: whoever held it before may have renewed it.
            grant = self._grant(account, client)
            kept = self._kept(account, client, grant, refused)
            if kept and not self._is_due(grant):
                return kept
            return self._asked(account, client, grant, kept)
        finally:
            self.grants.release(account.id)

    def _asked(self, account: Account, client: OAuthClient, grant: OAuthGrant, kept: str | None) -> str:
        # Many providers take a refresh token once: a new one that could not be sealed would be lost.
        self.vault.seal("", of_refresh_token(account, client))
        try:
            tokens = self._ask(account, client, grant)
        except TokenRefusedError as error:
            error.add(account=account.name)
            if self.grants.refused(grant, code=error.code, error=dump(error)):
                self._alarm(account, error)
            raise
        except ProviderDownError as error:
            if kept is None:
                error.add(account=account.name)
                raise
            log.warning("oauth.not_renewed", error=error)
            return kept
        self.grants.renewed(self._with(account, client, grant, tokens))
        log.info("oauth.renewed", oauth_client=client.name, expires_at=tokens.expires_at.isoformat())
        return tokens.access_token

    def _ask(self, account: Account, client: OAuthClient, grant: OAuthGrant) -> Tokens:
        secret = self.vault.unseal(client.secret, of_client(client)) if client.secret else ""
        if grant.flow is OAuthFlow.APP_ONLY:
            return self.sign_ins().app_only(client, secret)
        if not grant.refresh_token:
            raise _not_signed_in(account, "")
        token = self.vault.unseal(grant.refresh_token, of_refresh_token(account, client))
        return self.sign_ins().refresh(client, secret, token)

    def _with(self, account: Account, client: OAuthClient, grant: OAuthGrant, tokens: Tokens) -> OAuthGrant:
        refresh = of_refresh_token(account, client)
        return replace(
            grant,
            refresh_token=self.vault.seal(tokens.refresh_token, refresh)
            if tokens.refresh_token
            else grant.refresh_token,
            access_token=self.vault.seal(tokens.access_token, of_access_token(account, client)),
            expires_at=tokens.expires_at,
            refreshed_at=self.clock(),
        )

    def _waited(self, account: Account, client: OAuthClient, refused: str | None) -> str:
        """For whoever renews it just now; if nobody does any more, do it."""
        for _ in range(round(self._patience / _LOOK_EVERY)):
            self.pause(_LOOK_EVERY)
            grant = self._grant(account, client)
            if kept := self._kept(account, client, grant, refused):
                return kept
            if grant.refused_at:
                raise TokenRefusedError("no_token", account=account.name, cause="see its last error")
            if self._hold(account.id):
                return self._renewed(account, client, refused)
        raise ProviderDownError("renewal_stuck", account=account.name)

    def _alarm(self, account: Account, error: ConcordError) -> None:
        """Once for each time that it stops working: nobody has to be told every quarter of an hour."""
        log.error("oauth.refused", error=error)
        with suppress(TokenRefusedError), audited(self.audit(), _NOBODY, "oauth.refused", account.name):
            raise error


def refuse_stranger(account: Account, client: OAuthClient) -> None:
    """Google's and Microsoft's tokens open more than one mailbox, and are for their own servers' eyes.

    Raises TokenRefusedError. A client with an issuer of its own is another cloud's, whose servers nobody lists here.
    """
    at_home = client.issuer or client.provider is OAuthProvider.OTHER
    if not at_home and provider_of(account.host).oauth != client.provider.value:
        raise TokenRefusedError("foreign_server", account=account.name, host=account.host, oauth_client=client.name)


def _not_signed_in(account: Account, cause: str) -> TokenRefusedError:
    return TokenRefusedError("not_signed_in", account=account.name, user=account.user, cause=cause or None)
