"""A real OpenID provider on loopback, with TLS: consents at once, and misbehaves on demand."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import secrets
import ssl
import tempfile
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from enum import StrEnum, auto
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.servers.certificates import Certificates

MAIL_SCOPES = (
    "https://mail.google.com/",
    "https://outlook.office.com/IMAP.AccessAsUser.All",
)
TENANT = "0f8a4c1e-6c55-4e0c-9d5a-2f1f3f5f7a11"
OTHER_TENANT = "9d1c2b3a-1111-4222-8333-444455556666"
_TRACE = "\r\nTrace ID: 6f1e\r\nCorrelation ID: 77aa\r\nTimestamp: 2026-11-25 10:00:00Z"


class Misdeed(StrEnum):
    """What can be wrong with a provider."""

    EXPIRED = auto()  # the refresh token was not used for too long
    REVOKED = auto()
    PASSWORD_CHANGED = auto()
    WRONG_TENANT = auto()  # the word on who signed in is of another directory
    FOREIGN_ACCOUNT = auto()  # the account is not in the client's directory: it says so itself
    CONSENT_MISSING = auto()  # nobody ticked the box for mail
    ADMIN_CONSENT_MISSING = auto()
    DECLINED = auto()
    NO_REFRESH_TOKEN = auto()
    NO_ID_TOKEN = auto()
    WRONG_STATE = auto()
    WRONG_NONCE = auto()
    WRONG_AUDIENCE = auto()
    WRONG_ISSUER = auto()
    BAD_SIGNATURE = auto()
    UNSIGNED = auto()
    CLOCK_AHEAD = auto()  # its whole clock, an hour
    CLOCK_TORN = auto()  # the times in its word do not fit its own clock
    BAD_SECRET = auto()
    SECRET_EXPIRED = auto()
    SLOW = auto()
    FAILS = auto()
    BUSY = auto()
    GARBAGE = auto()
    NOT_AN_OBJECT = auto()
    ENDLESS = auto()
    REDIRECTS = auto()
    ODD_TOKEN = auto()  # a line break in it
    BORN_EXPIRED = auto()  # an access token without any time left
    TOKENS_REFUSED = auto()  # the mail server does not take them
    ECHOES = auto()  # quotes what it was sent


# Code and description of a refusal at the token endpoint, as Google and Microsoft write them.
REFUSALS: Mapping[Misdeed, tuple[str, str]] = {
    Misdeed.EXPIRED: (
        "invalid_grant",
        f"AADSTS700082: The refresh token has expired due to inactivity.{_TRACE}",
    ),
    Misdeed.REVOKED: ("invalid_grant", "Token has been expired or revoked."),
    Misdeed.PASSWORD_CHANGED: ("invalid_grant", f"AADSTS50173: The provided grant has expired.{_TRACE}"),
    Misdeed.FOREIGN_ACCOUNT: ("invalid_grant", f"AADSTS50020: User account does not exist in tenant 'X'.{_TRACE}"),
    Misdeed.ADMIN_CONSENT_MISSING: (
        "invalid_grant",
        f"AADSTS65001: The user or administrator has not consented.{_TRACE}",
    ),
    Misdeed.BAD_SECRET: ("invalid_client", f"AADSTS7000215: Invalid client secret provided.{_TRACE}"),
    Misdeed.SECRET_EXPIRED: ("invalid_client", f"AADSTS7000222: The provided client secret keys are expired.{_TRACE}"),
    Misdeed.BUSY: ("temporarily_unavailable", "Try again later"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Consent:
    """What a code stands for."""

    user: str
    client_id: str
    redirect_uri: str
    challenge: str
    nonce: str
    scope: str


@dataclass
class OpenIdServer:
    """Clients and users are taken as they come; `clients` has the secrets."""

    clients: dict[str, str] = field(default_factory=lambda: {"concord": "top-secret"})
    misdeeds: set[Misdeed] = field(default_factory=set)
    asks: bool = False  # shows a page with buttons, for a browser, instead of consenting at once
    lifetime: int = 3600
    user: str | None = None  # who signs in; None: the one that is hinted at
    calls: list[str] = field(default_factory=list)  # paths, and the grant type of calls for tokens
    access: dict[str, tuple[str, float]] = field(default_factory=dict)  # user and end, by token
    refresh: dict[str, str] = field(default_factory=dict)  # user, by token; each is good once
    stopping: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.folder = tempfile.TemporaryDirectory(prefix="concord-openid-")
        # A mail server of another user reads the authority's file.
        Path(self.folder.name).chmod(0o755)
        self.certificates = Certificates(Path(self.folder.name))
        self.key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
        self.other_key = RSAKey.generate_key(2048, {"kid": "one", "use": "sig"})
        self.codes: dict[str, Consent] = {}
        self._server: _Server | None = None
        self.lock = threading.Lock()

    @property
    def ca_file(self) -> Path:
        return self.certificates.ca_file

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.server_address[1])

    @property
    def issuer(self) -> str:
        return f"https://localhost:{self.port}"

    def count(self, call: str) -> int:
        """How often it was asked."""
        return self.calls.count(call)

    def revoke(self, user: str) -> None:
        """Take everything back from a user, as a password reset does."""
        with self.lock:
            self.access = {token: known for token, known in self.access.items() if known[0] != user}
            self.refresh = {token: known for token, known in self.refresh.items() if known != user}

    def does(self, misdeed: Misdeed) -> bool:
        return misdeed in self.misdeeds

    def clock(self) -> float:
        return time.time() + (3600 if self.does(Misdeed.CLOCK_AHEAD) else 0)

    def __enter__(self) -> Self:
        self._server = _Server(self)
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_exception: object) -> None:
        assert self._server is not None
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self.folder.cleanup()

    # What it gives.

    def tokens(self, user: str, client_id: str, *, scope: str = "", nonce: str = "") -> dict[str, Any]:
        access, refresh = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        if self.does(Misdeed.ODD_TOKEN):
            access += "\r\n"
        lifetime = 0 if self.does(Misdeed.BORN_EXPIRED) else self.lifetime
        with self.lock:
            self.access[access] = (user, time.time() + lifetime)
            self.refresh[refresh] = user
        given = {"access_token": access, "token_type": "Bearer", "expires_in": lifetime}
        if scope:
            missing = MAIL_SCOPES if self.does(Misdeed.CONSENT_MISSING) else ()
            given["scope"] = " ".join(one for one in scope.split() if one not in missing)
        if user and not self.does(Misdeed.NO_REFRESH_TOKEN):
            given["refresh_token"] = refresh
        if nonce and not self.does(Misdeed.NO_ID_TOKEN):
            given["id_token"] = self._word(user, client_id, nonce)
        return given

    def _word(self, user: str, client_id: str, nonce: str) -> str:
        now = int(self.clock()) + (7200 if self.does(Misdeed.CLOCK_TORN) else 0)
        claims = {
            "iss": "https://elsewhere.example" if self.does(Misdeed.WRONG_ISSUER) else self.issuer,
            "aud": "another" if self.does(Misdeed.WRONG_AUDIENCE) else client_id,
            "sub": hashlib.sha256(user.encode()).hexdigest()[:16],
            "email": user,
            "tid": OTHER_TENANT if self.does(Misdeed.WRONG_TENANT) else TENANT,
            "iat": now,
            "exp": now + 600,
            "nonce": "not-yours" if self.does(Misdeed.WRONG_NONCE) else nonce,
        }
        if self.does(Misdeed.UNSIGNED):
            return ".".join([_b64(json.dumps({"alg": "none"})), _b64(json.dumps(claims)), ""])
        key = self.other_key if self.does(Misdeed.BAD_SIGNATURE) else self.key
        return jwt.encode({"alg": "RS256", "kid": "one"}, claims, key)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, provider: OpenIdServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.provider = provider
        self.tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.tls.load_cert_chain(provider.certificates.certificate, provider.certificates.key)

    def finish_request(self, request: Any, client_address: Any) -> None:
        """The handshake in the caller's own thread: one that is slow keeps nobody else waiting."""
        request.settimeout(10)
        with self.tls.wrap_socket(request, server_side=True) as secured:
            super().finish_request(secured, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Callers that hang up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        provider = self.server.provider
        provider.calls.append(place.path)
        asked = dict(parse_qsl(place.query))
        if place.path == "/.well-known/openid-configuration":
            self._json(self._document())
        elif place.path == "/keys":
            self._json({"keys": [provider.key.as_dict(private=False)]})
        elif place.path == "/authorize":
            self._authorize(asked)
        elif place.path == "/decide":
            self._redirect(asked)
        else:
            self._json({}, status=404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", "0"))).decode()
        asked = dict(parse_qsl(body, keep_blank_values=True))
        if self.path == "/token":
            self.server.provider.calls.append(asked.get("grant_type", ""))
            self._token(asked)
        elif self.path == "/introspect":
            self._introspect(asked)
        else:
            self._json({}, status=404)

    def _document(self) -> dict[str, Any]:
        issuer = self.server.provider.issuer
        return {
            "issuer": issuer,
            "authorization_endpoint": f"{issuer}/authorize",
            "token_endpoint": f"{issuer}/token",
            "jwks_uri": f"{issuer}/keys",
            "introspection_endpoint": f"{issuer}/introspect",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
            "code_challenge_methods_supported": ["S256"],
        }

    # The browser's part.

    def _authorize(self, asked: dict[str, str]) -> None:
        if asked.get("code_challenge_method") != "S256" or asked.get("client_id") not in self.server.provider.clients:
            self._json({"error": "invalid_request"}, status=400)
        elif self.server.provider.asks:
            self._page(asked)
        else:
            self._redirect(asked)

    def _page(self, asked: dict[str, str]) -> None:
        places = {verdict: html.escape(urlencode({**asked, "verdict": verdict})) for verdict in ("allow", "deny")}
        links = "".join(f'<p><a id="{word}" href="/decide?{place}">{word}</a></p>' for word, place in places.items())
        who = html.escape(asked.get("login_hint", ""))
        self._send(f"<!doctype html><title>Sign in</title><h1>{who}</h1>{links}".encode(), "text/html; charset=utf-8")

    def _redirect(self, asked: dict[str, str]) -> None:
        provider = self.server.provider
        state = "another-state" if provider.does(Misdeed.WRONG_STATE) else asked["state"]
        if provider.does(Misdeed.DECLINED) or asked.get("verdict") == "deny":
            back = {"error": "access_denied", "error_description": "AADSTS65004: User declined to consent."}
        else:
            code = secrets.token_urlsafe(16)
            provider.codes[code] = Consent(
                user=provider.user or asked.get("login_hint", ""),
                client_id=asked["client_id"],
                redirect_uri=asked["redirect_uri"],
                challenge=asked["code_challenge"],
                nonce=asked.get("nonce", ""),
                scope=asked["scope"],
            )
            back = {"code": code}
        location = f"{asked['redirect_uri']}?{urlencode({**back, 'state': state})}"
        self._send(b"", "text/plain", status=302, Location=location)

    # The programs' part.

    def _token(self, asked: dict[str, str]) -> None:
        if self._misbehaves(asked):
            return
        who, secret = self._client(asked)
        if self.server.provider.clients.get(who, "") != secret:
            self._refuse("invalid_client", "The client is not who it says")
            return
        match asked.get("grant_type"):
            case "authorization_code":
                self._for_code(asked, who)
            case "refresh_token":
                self._for_refresh(asked, who)
            case "client_credentials" if secret:
                self._json(self.server.provider.tokens("", who))
            case _:
                self._refuse("unsupported_grant_type", "")

    def _misbehaves(self, asked: dict[str, str]) -> bool:
        provider = self.server.provider
        for misdeed, (code, description) in REFUSALS.items():
            if provider.does(misdeed):
                self._refuse(code, description)
                return True
        if provider.does(Misdeed.ECHOES):
            self._refuse("invalid_grant", f"I know your {' '.join(asked.values())}")
        elif provider.does(Misdeed.SLOW):
            provider.stopping.wait(60)
        elif provider.does(Misdeed.FAILS):
            self._send(b"<h1>Sorry</h1>", "text/html", status=503)
        elif provider.does(Misdeed.GARBAGE):
            self._send(b"<html>{access_token: yes}", "application/json")
        elif provider.does(Misdeed.NOT_AN_OBJECT):
            self._send(b'["access_token"]', "application/json")
        elif provider.does(Misdeed.ENDLESS):
            self._send(b'{"access_token": "' + b"a" * 2_000_000 + b'"}', "application/json")
        elif provider.does(Misdeed.REDIRECTS):
            self._send(b"", "text/plain", status=307, Location="http://169.254.169.254/latest/meta-data")
        else:
            return False
        return True

    def _for_code(self, asked: dict[str, str], client_id: str) -> None:
        consent = self.server.provider.codes.pop(asked.get("code", ""), None)
        digest = hashlib.sha256(asked.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (
            consent is None
            or consent.client_id != client_id
            or consent.redirect_uri != asked.get("redirect_uri")
            or consent.challenge != challenge
        ):
            self._refuse("invalid_grant", "The code is not good")
            return
        given = self.server.provider.tokens(consent.user, client_id, scope=consent.scope, nonce=consent.nonce)
        self._json(given)

    def _for_refresh(self, asked: dict[str, str], client_id: str) -> None:
        """Each refresh token is good once: the answer has the next."""
        with self.server.provider.lock:
            user = self.server.provider.refresh.pop(asked.get("refresh_token", ""), None)
        if user is None:
            self._refuse("invalid_grant", "Token has been expired or revoked.")
            return
        self._json(self.server.provider.tokens(user, client_id))

    def _introspect(self, asked: dict[str, str]) -> None:
        """RFC 7662, as Dovecot asks."""
        provider = self.server.provider
        user, until = provider.access.get(asked.get("token", ""), ("", 0.0))
        active = until > time.time() and not provider.does(Misdeed.TOKENS_REFUSED)
        self._json(
            {"active": active, "email": user, "username": user, "scope": "mail"} if active else {"active": False}
        )

    def _client(self, asked: dict[str, str]) -> tuple[str, str]:
        scheme, _, basic = self.headers.get("Authorization", "").partition(" ")
        if scheme == "Basic":
            who, _, secret = base64.b64decode(basic).decode().partition(":")
            return who, secret
        return asked.get("client_id", ""), asked.get("client_secret", "")

    def _refuse(self, code: str, description: str) -> None:
        self._json({"error": code, "error_description": description}, status=401 if code == "invalid_client" else 400)

    def _json(self, document: Mapping[str, Any], *, status: int = 200) -> None:
        self._send(json.dumps(document).encode(), "application/json", status=status)

    def _send(self, body: bytes, kind: str, *, status: int = 200, **headers: str) -> None:
        self.send_response_only(status)
        provider = self.server.provider
        told = {
            "Date": formatdate(provider.clock(), usegmt=True),
            "Content-Type": kind,
            "Content-Length": str(len(body)),
        }
        for name, value in {**told, "Connection": "close", **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name for it
        """Say nothing: the calls are recorded."""


def _b64(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()
