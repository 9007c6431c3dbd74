"""Signing in to mailboxes at their providers: a browser is sent away and comes back, or the application's secret does.

A sign-in under way is known by its state, which is used once, within ten minutes, by whoever began it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from concord.auditing import audited
from concord.errors import ConsentFailedError, UsageError
from concord.model.account import Account, AuthKind
from concord.model.binding import of_access_token, of_client, of_refresh_token, of_verifier
from concord.model.caller import Caller
from concord.model.fault import dump
from concord.model.oauth import OAuthClient, OAuthFlow, OAuthGrant, OAuthRequest, Tokens
from concord.model.oauth_refusal import refusal_of, words
from concord.pipeline.tokens import refuse_stranger
from concord.services.oauth_clients import redirect_uri
from concord.services.schedule import Followed, follow

if TYPE_CHECKING:
    from concord.bootstrap import Concord

LIFETIME: Final = timedelta(minutes=10)
_LONGEST: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Begun:
    """Where the browser must go, and until when it must be back."""

    account: str
    client: OAuthClient
    url: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedIn:
    """The account as it now is. `who` is the provider's word; where it is not the account's user, look twice."""

    account: Account
    schedule: Followed
    who: str | None = None

    @property
    def is_somebody_else(self) -> bool:
        """Right for a shared mailbox, which is opened by a person's sign-in; a slip otherwise."""
        return bool(self.who) and "@" in str(self.who) and str(self.who).lower() != self.account.user.lower()


def begin(parts: Concord, name: str, client: str | None = None, *, by: Caller) -> Begun:
    """Send a browser away; `client` is the account's own where it is not said.

    Raises NotFoundError, UsageError, TokenRefusedError, ProviderDownError, MailboxForbiddenError.
    """
    account = parts.accounts.get(name)
    chosen = _client(parts, account, client)
    with audited(parts.audit, by, "oauth.begin", name, detail=f"with {chosen.name}"):
        refuse_stranger(account, chosen)
        # The key comes first: nobody shall consent to what then cannot be kept.
        vault = parts.sealing()
        place = redirect_uri(parts)
        departure = parts.sign_ins.depart(chosen, redirect_uri=place, hint=account.user)
        now, state = _now(), _digest(departure.state)
        request = OAuthRequest(
            state=state,
            verifier=vault.seal(departure.verifier, of_verifier(state, chosen)),
            nonce=departure.nonce,
            client_id=chosen.id,
            account_id=account.id,
            user_id=_user_id(parts, by),
            redirect_uri=place,
            created_at=now,
            expires_at=now + LIFETIME,
        )
        parts.oauth_grants.ask(request)
    return Begun(account=name, client=chosen, url=departure.url, expires_at=request.expires_at)


def finish(parts: Concord, state: str, code: str, *, by: Caller) -> SignedIn:
    """The browser is back with a code. From now on the account logs in with what it is good for.

    Raises ConsentFailedError, TokenRefusedError, ProviderDownError, MailboxForbiddenError, NotFoundError.
    """
    with audited(parts.audit, by, "oauth.sign_in") as note:
        request = _answered(parts, state, by)
        account, client = parts.accounts.get(request.account_id), parts.oauth_clients.get(request.client_id)
        note.subject = account.name
        secret = parts.vault.unseal(client.secret, of_client(client)) if client.secret else ""
        verifier = parts.vault.unseal(request.verifier, of_verifier(request.state, client))
        tokens = parts.sign_ins.arrive(client, secret, request, code=code[:_LONGEST], verifier=verifier)
        note.detail = f"with {client.name}, as {tokens.signed_in or 'somebody'}"
        done = _keep(parts, account, client, OAuthFlow.CODE, tokens)
    return SignedIn(account=done, schedule=follow(parts), who=tokens.signed_in)


def declined(parts: Concord, state: str, error: str, description: str, *, by: Caller) -> ConsentFailedError:
    """The browser is back without a code; what that means. The sign-in is over. Raises where it is nobody's."""
    found, told = refusal_of(error, description), words(error, description)
    with audited(parts.audit, by, "oauth.sign_in") as note:
        request = _answered(parts, state, by)
        account = parts.accounts.get(request.account_id)
        note.subject = account.name
        failure = ConsentFailedError(f"refused.{found.word}", account=account.name, cause=found.cause, answer=told)
        note.failed(dump(failure))
    return failure


def app_only(parts: Concord, name: str, client: str | None = None, *, by: Caller) -> SignedIn:
    """From now on the application's own secret opens the mailbox. A token is fetched at once, to see that it does.

    Raises NotFoundError, UsageError, TokenRefusedError, ProviderDownError, MailboxForbiddenError.
    """
    account = parts.accounts.get(name)
    chosen = _client(parts, account, client)
    with audited(parts.audit, by, "oauth.app_only", name, detail=f"with {chosen.name}"):
        if not chosen.offers_app_only:
            raise UsageError("oauth_app_only", oauth_client=chosen.name)
        refuse_stranger(account, chosen)
        tokens = parts.sign_ins.app_only(chosen, parts.sealing().unseal(chosen.secret, of_client(chosen)))
        done = _keep(parts, account, chosen, OAuthFlow.APP_ONLY, tokens)
    return SignedIn(account=done, schedule=follow(parts))


def _client(parts: Concord, account: Account, named: str | None) -> OAuthClient:
    name = named or account.oauth_client
    if name is None:
        raise UsageError("oauth_client_missing", account=account.name)
    return parts.oauth_clients.get(name)


def _answered(parts: Concord, state: str, by: Caller) -> OAuthRequest:
    found = parts.oauth_grants.answered(_digest(state), user_id=_user_id(parts, by))
    if found is None:
        raise ConsentFailedError(
            "not_under_way", cause="it was used already, is older than ten minutes, or was begun by somebody else"
        )
    return found


def _keep(parts: Concord, account: Account, client: OAuthClient, flow: OAuthFlow, tokens: Tokens) -> Account:
    """A password that was there is of no use any more."""
    vault, now = parts.sealing(), _now()
    auth = AuthKind.OAUTH2 if flow is OAuthFlow.CODE else AuthKind.OAUTH2_APP
    kept = parts.accounts.save(replace(account, auth=auth, oauth_client=client.name, secret=b""))
    refresh = of_refresh_token(kept, client)
    parts.oauth_grants.keep(
        OAuthGrant(
            account_id=account.id,
            client_id=client.id,
            flow=flow,
            refresh_token=vault.seal(tokens.refresh_token, refresh) if tokens.refresh_token else b"",
            access_token=vault.seal(tokens.access_token, of_access_token(kept, client)),
            expires_at=tokens.expires_at,
            granted_at=now,
            refreshed_at=now,
        )
    )
    return kept


def _user_id(parts: Concord, by: Caller) -> int | None:
    """Nobody's, at the command line."""
    if by.via == "cli":
        return None
    return parts.users.get(by.actor).id


def _digest(state: str) -> bytes:
    return hashlib.sha256(state.encode("utf-8", "surrogatepass")).digest()


def _now() -> datetime:
    return datetime.now(UTC)
