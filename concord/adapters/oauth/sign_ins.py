"""The two flows: authorisation code with PKCE (RFC 7636), and client credentials; and refreshing."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Final

import structlog
from authlib.oauth2.client import OAuth2Client

from concord.adapters.oauth.endpoints import EndpointBook, Endpoints
from concord.adapters.oauth.http import ProviderAnswer, ProviderHttp
from concord.adapters.oauth.id_token import signed_in
from concord.egress.guard import Resolver, system_addresses
from concord.errors import ConcordError, ConsentFailedError, ProviderDownError, TokenRefusedError
from concord.model.oauth import Departure, OAuthClient, OAuthFlow, OAuthRequest, Tokens
from concord.model.oauth_refusal import refusal_of, words
from concord.ports import Clock
from concord.settings import OAuthSettings

log = structlog.get_logger(__name__)

# Where a provider does not say how long a token lives (RFC 6749, section 5.1, only recommends it).
_USUAL_LIFE: Final = 3600
_LONGEST_LIFE: Final = 30 * 86_400
_SKEW: Final = timedelta(minutes=5)


class ProviderSignIns:
    """Keeps `ports.SignIns`."""

    def __init__(self, settings: OAuthSettings, clock: Clock, resolve: Resolver = system_addresses) -> None:
        self._clock = clock
        self._http: Callable[[], ProviderHttp] = lambda: ProviderHttp(settings, resolve)
        self._book = EndpointBook(self._http())

    def depart(self, client: OAuthClient, *, redirect_uri: str, hint: str) -> Departure:
        """State, nonce and verifier have 256 random bits each."""
        endpoints = self._book.of(client)
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        with_pkce = OAuth2Client(None, client_id=client.client_id, code_challenge_method="S256")
        url, _ = with_pkce.create_authorization_url(
            endpoints.authorize,
            state=state,
            code_verifier=verifier,
            redirect_uri=redirect_uri,
            scope=" ".join(client.scopes_of(OAuthFlow.CODE)),
            nonce=nonce,
            login_hint=hint,
            **client.preset.parameters,
        )
        return Departure(url=url, state=state, verifier=verifier, nonce=nonce)

    def arrive(self, client: OAuthClient, secret: str, request: OAuthRequest, *, code: str, verifier: str) -> Tokens:
        """What the code is good for: a refresh token, access to mail, and the provider's word on who signed in."""
        talk = self._talk(client, secret)
        said = talk.ask(
            "authorization_code",
            hide=(code, verifier),
            code=code,
            code_verifier=verifier,
            redirect_uri=request.redirect_uri,
        )
        tokens = self._tokens(said, talk)
        _refuse_useless(tokens, client)
        return replace(tokens, signed_in=self._signed_in(said, talk, request.nonce))

    def refresh(self, client: OAuthClient, secret: str, refresh_token: str) -> Tokens:
        """The provider may answer with another refresh token, which then is the only good one."""
        talk = self._talk(client, secret)
        # Scopes are left out: those that were granted are meant (RFC 6749, section 6).
        return self._tokens(talk.ask("refresh_token", hide=(refresh_token,), refresh_token=refresh_token), talk)

    def app_only(self, client: OAuthClient, secret: str) -> Tokens:
        """By the application's own right."""
        talk = self._talk(client, secret)
        scope = " ".join(client.scopes_of(OAuthFlow.APP_ONLY))
        return self._tokens(talk.ask("client_credentials", scope=scope), talk)

    def _talk(self, client: OAuthClient, secret: str) -> _Talk:
        return _Talk(client=client, secret=secret, endpoints=self._book.of(client), http=self._http())

    def _tokens(self, said: Mapping[str, Any], talk: _Talk) -> Tokens:
        access, refresh, scope = said.get("access_token"), said.get("refresh_token"), said.get("scope")
        if not isinstance(access, str) or not access or not access.isascii() or not access.isprintable():
            raise talk.answer.nonsense()
        self._mind_the_clock(talk.answer)
        return Tokens(
            access_token=access,
            refresh_token=refresh if isinstance(refresh, str) and refresh else None,
            # By our own clock, whatever the provider's says: only how long it lives counts.
            expires_at=self._clock() + timedelta(seconds=_life(said.get("expires_in"))),
            scopes=frozenset(scope.lower().split()) if isinstance(scope, str) else None,
        )

    def _mind_the_clock(self, answer: ProviderAnswer) -> None:
        if answer.at and abs(answer.at - self._clock()) > _SKEW:
            apart = round((answer.at - self._clock()).total_seconds())
            log.warning("oauth.clock", provider=answer.host, seconds=apart, remedy="Check this machine's clock (NTP)")

    def _signed_in(self, said: Mapping[str, Any], talk: _Talk, nonce: str) -> str | None:
        """By the provider's clock, which made the times in it."""
        if "openid" not in talk.client.scopes_of(OAuthFlow.CODE):
            return None
        word = said.get("id_token")
        if not isinstance(word, str):
            raise ConsentFailedError("nobody_named", oauth_client=talk.client.name, cause="there is no id_token")
        now = talk.answer.at or self._clock()
        return signed_in(word, talk.client, talk.endpoints, talk.http, nonce=nonce, now=now)


class _SaidNoError(Exception):
    """The provider's own refusal, as it came."""

    def __init__(self, code: str, description: str) -> None:
        super().__init__(code)
        self.code = code
        self.description = description


class _Client(OAuth2Client):  # type: ignore[misc]  # authlib ships no types
    """authlib's, which itself takes no refusal of more than one line, as Microsoft's are."""

    def parse_response_token(self, answer: ProviderAnswer) -> Mapping[str, Any]:
        """Raises _SaidNoError, ProviderDownError."""
        said = answer.json()
        if not isinstance(said, dict):
            raise answer.nonsense()
        if "error" in said:
            raise _SaidNoError(str(said["error"]), str(said.get("error_description") or ""))
        return said


@dataclass(frozen=True, slots=True, kw_only=True)
class _Talk:
    """One call to a token endpoint, and all it needs."""

    client: OAuthClient
    secret: str
    endpoints: Endpoints
    http: ProviderHttp

    @property
    def answer(self) -> ProviderAnswer:
        """The last one."""
        assert self.http.last is not None  # noqa: S101 - asked for after the call
        return self.http.last

    def ask(self, grant: str, *, hide: tuple[str, ...] = (), **said: str) -> Mapping[str, Any]:
        """Raises TokenRefusedError, ProviderDownError, MailboxForbiddenError."""
        speaker = _Client(
            self.http,
            client_id=self.client.client_id,
            client_secret=self.secret or None,
            token_endpoint_auth_method=self.endpoints.auth_method if self.secret else "none",
        )
        try:
            answered: Mapping[str, Any] = speaker.fetch_token(self.endpoints.token, grant_type=grant, **said)
        except _SaidNoError as error:
            raise _refused(self.client, error, (self.secret, *hide)) from None
        return answered


def _refused(client: OAuthClient, error: _SaidNoError, hide: tuple[str, ...]) -> ConcordError:
    found, told = refusal_of(error.code, error.description), words(error.code, error.description, hide=hide)
    if found.passing:
        return ProviderDownError("trouble", oauth_client=client.name, cause=found.cause, answer=told)
    return TokenRefusedError(f"no_token.{found.word}", oauth_client=client.name, cause=found.cause, answer=told)


def _refuse_useless(tokens: Tokens, client: OAuthClient) -> None:
    """Without access to mail, or without a refresh token, it would end within the hour."""
    needed = client.preset.mail_scope
    asked = needed in client.scopes_of(OAuthFlow.CODE)
    if asked and tokens.scopes is not None and needed.lower() not in tokens.scopes:
        raise ConsentFailedError("no_mail_access", oauth_client=client.name, scope=needed)
    if tokens.refresh_token is None:
        raise ConsentFailedError("no_lasting_access", oauth_client=client.name, cause="there is no refresh token")


def _life(expires_in: object) -> int:
    """Seconds; some providers write the number as text."""
    try:
        seconds = int(str(expires_in))
    except ValueError:
        seconds = _USUAL_LIFE
    return max(0, min(seconds, _LONGEST_LIFE))
