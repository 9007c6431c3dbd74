"""Adding and changing mailboxes: the address leads to the server, presets fill the form, and a test needs no saving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from concord.errors import ConcordError, ExistsError, Mistake, NotFoundError, UsageError
from concord.model.account import Account, AuthKind, Mailbox
from concord.model.binding import of_password
from concord.model.discovery import Discovery, FoundServer
from concord.model.provider import GENERIC, PROVIDERS, Provider, provider_named, provider_of
from concord.services import accounts, authorities
from concord.services.discovery import discover
from concord.web.account_form import BLANK, NAMED, Given, given_by, given_of, plain_mistake, said_by, told
from concord.web.error_text import in_words
from concord.web.flash import see_other
from concord.web.forms import Form, Posted
from concord.web.i18n import N_
from concord.web.pages.settings import LIST, AccountId, Configurer, place_of
from concord.web.pages.settings import told as told_next
from concord.web.render import render
from concord.web.trials import Trial, trials_of
from concord.web.visitor import Parts, Visitor

router = APIRouter(prefix="/admin/settings", include_in_schema=False)

Word = Annotated[str, Query(max_length=300)]
_WRONG: Final = 422


@router.get("/new")
def begin(request: Request, _me: Configurer) -> Response:
    """The address, or the provider."""
    return _begin(request)


@router.post("/find")
def find(request: Request, _me: Configurer, parts: Parts, form: Form) -> Response:
    """From the address to the server; the form is filled with the likeliest."""
    address = form.text("address")[:320]
    try:
        found = discover(parts, address)
    except UsageError as error:
        return _begin(request, address=address, error=in_words(error))
    return _form(request, parts, _Sheet(given=_given_for(found.best, found.address), discovery=found))


@router.get("/form")
def form_for(request: Request, _me: Configurer, parts: Parts) -> Response:
    """The form for a preset, for a server that discovery found, or empty."""
    asked = {name: value[:300] for name, value in request.query_params.items()}
    provider = provider_named(asked.get("preset", "")) or GENERIC
    address = asked.get("address", "")
    server = (
        {"host": provider.hosts[0], "port": str(provider.port), "tls": provider.tls.value} if provider.hosts else {}
    )
    chosen = {name: asked[name] for name in ("host", "port", "tls", "user") if asked.get(name)}
    given = {**BLANK, "name": address, "user": address, **server, **chosen}
    return _form(request, parts, _Sheet(given=_with_sign_in(given, provider)))


@router.post("/accounts")
def add(request: Request, me: Configurer, parts: Parts, form: Form) -> Response:
    """Keep a new one."""
    reading = _Reading(request, me, parts, form)
    if not reading.mistakes:
        try:
            done = accounts.add(parts, reading.account, reading.password, by=me.caller)
        except (ExistsError, NotFoundError, UsageError) as error:
            reading.refuse(error)
        else:
            reading.forget_trial()
            sentence = N_("'%(name)s' is added.")
            return told_next(request, place_of(done.account), done.schedule, sentence, name=done.account.name)
    return reading.shown_again()


@router.get("/accounts/{account_id}/edit")
def edit_form(request: Request, _me: Configurer, parts: Parts, account_id: AccountId) -> Response:
    """As it is."""
    account = parts.accounts.get(account_id)
    given = given_of(account)
    if name := authorities.name_of(parts, account):
        given["authority"] = f"{NAMED}{name}"
    return _form(request, parts, _Sheet(given=given, before=account))


@router.post("/accounts/{account_id}/edit")
def edit(request: Request, me: Configurer, parts: Parts, account_id: AccountId, form: Form) -> Response:
    """Change it."""
    before = parts.accounts.get(account_id)
    reading = _Reading(request, me, parts, form, before)
    reading.ask_for_mailbox(before)
    if not reading.mistakes:
        try:
            done = accounts.edit(
                parts, before.name, reading.said, password=reading.password, mailbox=reading.mailbox, by=me.caller
            )
        except UsageError as error:
            reading.refuse(error)
        else:
            reading.forget_trial()
            place = place_of(done.account)
            return told_next(request, place, done.schedule, N_("'%(name)s' is changed."), name=before.name)
    return reading.shown_again()


@router.post("/try")
def try_new(request: Request, me: Configurer, parts: Parts, form: Form) -> Response:
    """Test what the form says, without keeping it."""
    return _tried(request, _Reading(request, me, parts, form))


@router.post("/accounts/{account_id}/try")
def try_changed(request: Request, me: Configurer, parts: Parts, account_id: AccountId, form: Form) -> Response:
    """The same for changes that are not kept yet."""
    return _tried(request, _Reading(request, me, parts, form, parts.accounts.get(account_id)))


@router.get("/trials/{trial}/form")
def back_to_form(request: Request, me: Configurer, parts: Parts, trial: str) -> Response:
    """The form as it was when the test began; the password is remembered, not shown."""
    found = trials_of(request).get(me.user.id, trial)
    if found is None:
        return see_other(request, LIST, N_("That form is not kept any more. Please fill it in again."), kind="warn")
    before = parts.accounts.get(found.account_id) if found.account_id else None
    given = {**found.given, "trial": trial}
    return _form(request, parts, _Sheet(given=given, before=before, kept_password=found.has_password))


class _Reading:
    """A form that was sent: the account it says, and what is wrong with it."""

    def __init__(
        self, request: Request, me: Visitor, parts: Parts, form: Posted, before: Account | None = None
    ) -> None:
        self.request, self.me, self.parts, self.before = request, me, parts, before
        self.given = given_by(form)
        self.said = said_by(self.given, is_new=before is None)
        self.account, self.mistakes = accounts.read_form(parts, self.said, before)
        answer = self.given.get("mailbox")
        self.mailbox = Mailbox(answer) if answer in list(Mailbox) else None
        self.typed = form.raw("password")
        self.password = self.typed or self._of_trial()
        self._look()

    def ask_for_mailbox(self, before: Account) -> None:
        """A changed host or user may lead to another mailbox: that is asked, never guessed."""
        self.mistakes += accounts.mailbox_mistakes(before, self.account, self.mailbox)

    def refuse(self, error: ConcordError) -> None:
        """Something that only keeping it has shown."""
        field = "name" if isinstance(error, ExistsError) else "oauth_client" if isinstance(error, NotFoundError) else ""
        wrong = error if isinstance(error, UsageError) else error.recast(UsageError)
        self.mistakes.append(Mistake((field,), wrong))

    def shown_again(self) -> Response:
        """With what is wrong at each field."""
        kept = bool(self.password and not self.typed)
        sheet = _Sheet(given=self.given, before=self.before, mistakes=self.mistakes, kept_password=kept)
        return _form(self.request, self.parts, sheet)

    def forget_trial(self) -> None:
        """The mailbox is kept: what the test needed is not."""
        trials_of(self.request).drop(self.me.user.id, self.given.get("trial", ""))

    def sealed(self) -> Account:
        """The account with what opens it, for a test. Raises UsageError, SecretKeyError."""
        if self.password is not None:
            return accounts.with_password(self.parts, self.account, self.password)
        return self.account

    def _look(self) -> None:
        confirmed = bool(self.given.get("plain"))
        if wrong := plain_mistake(self.account, confirmed=confirmed):
            self.mistakes.append(wrong)
        self.mistakes += accounts.secret_mistakes(self.account, self.password, self.before)

    def _of_trial(self) -> str | None:
        """The password that was typed for a test of the same form."""
        if self.account.auth.is_oauth:
            return None
        trial = trials_of(self.request).get(self.me.user.id, self.given.get("trial", ""))
        if trial is None or not trial.has_password:
            return None
        return self.parts.vault.unseal(trial.account.secret, of_password(trial.account))


def _tried(request: Request, reading: _Reading) -> Response:
    if reading.mistakes:
        if "hx-request" in request.headers:
            return render(
                request, "settings/_mistakes.html", mistakes=[in_words(one.error) for one in reading.mistakes]
            )
        return reading.shown_again()
    before = reading.before
    account = replace(reading.sealed(), id=before.id if before else 0)
    trial = Trial(
        account=account,
        account_id=before.id if before else 0,
        given={field: text for field, text in reading.given.items() if field != "trial"},
        has_password=reading.password is not None,
    )
    return begun(request, reading.parts, reading.me, trial)


def begun(request: Request, parts: Parts, me: Visitor, trial: Trial) -> Response:
    """Begin a test and show it: beside the form where there is JavaScript, else on a page of its own."""
    trial.run(parts, me.caller)
    name = trials_of(request).put(me.user.id, trial)
    if "hx-request" in request.headers:
        return render(request, "settings/_trial.html", trial=trial, name=name, inline=True)
    return see_other(request, f"{LIST}/trials/{name}")


def _begin(request: Request, *, address: str = "", error: str = "") -> Response:
    return render(
        request,
        "settings/new.html",
        status=_WRONG if error else 200,
        providers=PROVIDERS,
        address=address,
        error=error,
    )


_FIELDS: Final = (
    *("name", "host", "port", "tls", "plain", "user", "auth", "oauth_client", "authority", "every_folder", "folders"),
    *("start", "since", "after", "after_folder", "interval", "priority", "enabled", "trial", "mailbox", "ca_pem"),
)


@dataclass(frozen=True, kw_only=True)
class _Sheet:
    """What is to stand in the form and beside it."""

    given: Mapping[str, str]
    before: Account | None = None  # None: a new mailbox
    mistakes: Sequence[Mistake] = ()
    discovery: Discovery | None = None
    kept_password: bool = False  # one was typed for a test, and holds until another is typed


def _form(request: Request, parts: Parts, sheet: _Sheet) -> Response:
    provider = provider_of(sheet.given.get("host", ""))
    errors = told(sheet.mistakes)
    return render(
        request,
        "settings/form.html",
        status=_WRONG if errors else 200,
        given={name: sheet.given.get(name, "") for name in _FIELDS},
        errors={name: errors.get(name, "") for name in (*_FIELDS, "password", "ca_file", "")},
        authorities=authorities.names(parts),
        authorities_folder=parts.settings.poll.authorities,
        wrong=bool(errors),
        before=sheet.before,
        provider=provider,
        clients=_clients(parts, provider),
        discovery=sheet.discovery,
        kept_password=sheet.kept_password,
        poll_interval=parts.poll_interval,
    )


def _given_for(server: FoundServer | None, address: str) -> Given:
    given = {**BLANK, "name": address, "user": address}
    if server is None:
        return given
    given |= {"host": server.host, "port": str(server.port), "tls": server.tls.value, "user": server.user}
    return _with_sign_in(given, provider_of(server.host))


def _with_sign_in(given: Given, provider: Provider) -> Given:
    """A provider that takes no passwords is opened by OAuth2."""
    return {**given, "auth": AuthKind.OAUTH2.value} if provider.wants_oauth else given


def _clients(parts: Parts, provider: Provider) -> list[Any]:
    """The OAuth2 apps, those of the provider first."""
    return sorted(parts.oauth_clients.all(), key=lambda client: (client.provider.value != provider.oauth, client.name))
