"""OAuth2 apps, and the way of a browser to a provider and back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Path, Request
from starlette.responses import Response

from concord.bootstrap import Concord
from concord.errors import ConcordError, ConsentFailedError, ExistsError, MailboxError, Mistake, MistakesError
from concord.model.account import Account
from concord.model.oauth import PRESETS, OAuthClient, OAuthProvider
from concord.model.user import Permission
from concord.services import oauth, oauth_clients
from concord.web.account_form import told
from concord.web.error_text import facts_of
from concord.web.flash import see_other
from concord.web.forms import Form
from concord.web.i18n import N_
from concord.web.pages.settings import AccountId, place_of
from concord.web.problem import status_of
from concord.web.render import render
from concord.web.visitor import Parts, Visitor, page

router = APIRouter(prefix="/admin", include_in_schema=False)

Reader = Annotated[Visitor, Depends(page(Permission.READ))]
Configurer = Annotated[Visitor, Depends(page(Permission.CONFIGURE))]
Name = Annotated[str, Path(max_length=64)]
LIST: Final = "/admin/settings/oauth"
_LONGEST: Final = 4096
_FIELDS: Final = ("name", "provider", "client_id", "tenant", "issuer", "scopes")


@router.get("/settings/oauth")
def clients(request: Request, _me: Reader, parts: Parts) -> Response:
    """All of them, what to register with a provider, and a form for a new one."""
    return _list(request, parts, {"provider": OAuthProvider.GOOGLE.value})


@router.post("/settings/oauth")
def add(request: Request, me: Configurer, parts: Parts, form: Form) -> Response:
    """One more."""
    given = {name: form.text(name) for name in _FIELDS}
    wanted = _client_of(given)
    try:
        made = oauth_clients.save(parts, wanted, secret=form.raw("secret") or None, replacing=False, by=me.caller)
    except (MistakesError, ExistsError) as error:
        return _list(request, parts, given, error)
    return see_other(request, LIST, N_("'%(name)s' is added; mailboxes can sign in with it."), name=made.name)


@router.get("/settings/oauth/{name}")
def client(request: Request, _me: Reader, parts: Parts, name: Name) -> Response:
    """One."""
    found = parts.oauth_clients.get(name)
    return _one(request, found, _given(found))


@router.post("/settings/oauth/{name}")
def edit(request: Request, me: Configurer, parts: Parts, form: Form, name: Name) -> Response:
    """Another secret, say."""
    found = parts.oauth_clients.get(name)
    given = {field: form.text(field) for field in _FIELDS} | {"name": name}
    try:
        oauth_clients.save(parts, _client_of(given), secret=form.raw("secret") or None, replacing=True, by=me.caller)
    except MistakesError as error:
        return _one(request, found, given, error)
    return see_other(request, LIST, N_("'%(name)s' is changed."), name=name)


@router.post("/settings/oauth/{name}/remove")
def remove(request: Request, me: Configurer, parts: Parts, name: Name) -> Response:
    """Unless a mailbox uses it."""
    found = parts.oauth_clients.get(name)
    try:
        oauth_clients.remove(parts, name, by=me.caller)
    except ConcordError as error:
        return _one(request, found, _given(found), error)
    return see_other(request, LIST, N_("'%(name)s' is removed."), name=name)


@router.post("/settings/accounts/{account_id}/sign-in")
def leave(request: Request, me: Configurer, parts: Parts, form: Form, account_id: AccountId) -> Response:
    """To the provider; or, by the app's own right, at once."""
    account = parts.accounts.get(account_id)
    chosen = form.text("client") or None
    try:
        if form.text("flow") == "app_only":
            done = oauth.app_only(parts, account.name, chosen, by=me.caller)
            return _arrived(request, done)
        begun = oauth.begin(parts, account.name, chosen, by=me.caller)
    except (MailboxError, ConsentFailedError) as error:
        return _failed(request, error, account)
    host = urlsplit(begun.url).hostname
    return render(request, "oauth/leaving.html", account=account, begun=begun, host=host)


@router.get("/oauth/callback")
def come_back(request: Request, me: Configurer, parts: Parts) -> Response:
    """From the provider. What the address says is a stranger's word until the state proves it."""
    state, code, refusal, description = (
        request.query_params.get(name, "")[:_LONGEST] for name in ("state", "code", "error", "error_description")
    )
    try:
        if refusal or not code:
            refused = oauth.declined(parts, state, refusal or "invalid_request", description, by=me.caller)
            return _failed(request, refused, _named(parts, refused))
        return _arrived(request, oauth.finish(parts, state, code, by=me.caller))
    except (MailboxError, ConsentFailedError) as failure:
        return _failed(request, failure, _named(parts, failure))


def _arrived(request: Request, done: oauth.SignedIn) -> Response:
    place = place_of(done.account)
    if done.is_somebody_else:
        sentence = N_(
            "Signed in as %(who)s, while the mailbox logs in as %(user)s. "
            "That is right for a shared mailbox; otherwise sign in again."
        )
        return see_other(request, place, sentence, kind="warn", who=str(done.who), user=done.account.user)
    sentence = N_("'%(name)s' is signed in. 'Test' says whether the mailbox opens.")
    return see_other(request, place, sentence, name=done.account.name)


def _failed(request: Request, error: ConcordError, account: Account | None) -> Response:
    return render(
        request, "oauth/failed.html", status=status_of(error), error=error, facts=facts_of(error), account=account
    )


def _named(parts: Concord, error: ConcordError) -> Account | None:
    name = error.facts.get("account")
    return next((one for one in parts.accounts.all() if one.name == name), None) if name else None


def _list(request: Request, parts: Concord, given: Mapping[str, str], error: ConcordError | None = None) -> Response:
    used = Counter(one.oauth_client for one in parts.accounts.all() if one.oauth_client)
    return render(
        request,
        "oauth/clients.html",
        status=status_of(error) if error else 200,
        clients=parts.oauth_clients.all(),
        used=used,
        redirect_uri=oauth_clients.redirect_uri(parts),
        presets=[(kind.value, preset) for kind, preset in PRESETS.items() if preset.help],
        has_secret=False,
        **_form(given, error),
    )


def _one(request: Request, found: OAuthClient, given: Mapping[str, str], error: ConcordError | None = None) -> Response:
    return render(
        request,
        "oauth/client.html",
        status=status_of(error) if error else 200,
        client=found,
        has_secret=bool(found.secret),
        **_form(given, error),
    )


def _form(given: Mapping[str, str], error: ConcordError | None) -> dict[str, Any]:
    mistakes: tuple[Mistake, ...] = error.mistakes if isinstance(error, MistakesError) else ()
    return {
        "given": dict.fromkeys(_FIELDS, "") | dict(given),
        "errors": dict.fromkeys((*_FIELDS, "secret"), "") | told(mistakes),
        "error": None if error is None or mistakes else error,
        "facts": facts_of(error) if error else {},
    }


def _client_of(given: Mapping[str, str]) -> OAuthClient:
    word = given["provider"]
    return OAuthClient(
        name=given["name"],
        provider=OAuthProvider(word) if word in set(OAuthProvider) else OAuthProvider.OTHER,
        client_id=given["client_id"],
        tenant=given["tenant"] or None,
        issuer=given["issuer"] or None,
        scopes=tuple(given["scopes"].split()),
    )


def _given(client: OAuthClient) -> dict[str, str]:
    said = oauth_clients.document(client)
    return {name: str(said[name] or "") for name in _FIELDS} | {"scopes": " ".join(client.scopes)}
