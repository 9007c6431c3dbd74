"""Mailboxes: all of them with how they do, and one with all there is to know and to do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import RedirectResponse, Response

from concord.model.account import Account, AccountFilter
from concord.model.message import MessageState
from concord.model.provider import provider_of
from concord.model.user import Permission
from concord.services import accounts
from concord.services.schedule import Followed
from concord.web.advice import advice_on, notes_on
from concord.web.flash import see_other
from concord.web.i18n import N_
from concord.web.live import stream
from concord.web.oauth_panel import panel
from concord.web.render import render, text_of
from concord.web.visitor import Parts, Visitor, page

router = APIRouter(prefix="/admin/settings", include_in_schema=False)

Reader = Annotated[Visitor, Depends(page(Permission.READ))]
Operator = Annotated[Visitor, Depends(page(Permission.OPERATE))]
Configurer = Annotated[Visitor, Depends(page(Permission.CONFIGURE))]
AccountId = Annotated[int, Path(ge=1, le=2**63 - 1)]
Text = Annotated[str, Query(max_length=200)]

LIST: Final = "/admin/settings"
ON_A_PAGE: Final = 50
# A page says "10,000+" rather than wait for the exact number.
COUNTED: Final = 10_000
_EVERY_SECONDS: Final = 4.0
_SHOWS: Final = ("", "failing", "off")


@router.get("")
def mailboxes(
    request: Request, _me: Reader, parts: Parts, search: Text = "", show: Text = "", after: Text = ""
) -> Response:
    """The list, a page at a time."""
    return render(request, "settings/accounts.html", **_list(parts, search, show, after))


@router.get("/live")
def live_list(request: Request, _me: Reader, search: Text = "", show: Text = "", after: Text = "") -> Response:
    """The same rows, as they change."""
    concord = request.app.state.concord

    def rows() -> Mapping[str, str]:
        return {"mailboxes": text_of(request, "settings/_rows.html", **_list(concord, search, show, after))}

    async def fresh() -> Mapping[str, str]:
        return await run_in_threadpool(rows)

    return stream(request, fresh, every=_EVERY_SECONDS)


@router.get("/accounts")
def by_name(parts: Parts, _me: Reader, name: Text = "") -> Response:
    """Other pages know mailboxes by name."""
    return RedirectResponse(place_of(parts.accounts.get(name)) if name else LIST, 303)


@router.get("/accounts/{account_id}")
def mailbox(request: Request, _me: Reader, parts: Parts, account_id: AccountId) -> Response:
    """One: how it does, what it is told, what it has."""
    account = parts.accounts.get(account_id)
    return render(request, "settings/account.html", **_one(parts, account))


@router.get("/accounts/{account_id}/live")
def live_mailbox(request: Request, _me: Reader, parts: Parts, account_id: AccountId) -> Response:
    """How it does, as it changes."""
    parts.accounts.get(account_id)

    def state() -> Mapping[str, str]:
        found = _one(parts, parts.accounts.get(account_id))
        return {name: text_of(request, f"settings/_{name}.html", **found) for name in ("state", "folders", "turns")}

    async def fresh() -> Mapping[str, str]:
        return await run_in_threadpool(state)

    return stream(request, fresh, every=_EVERY_SECONDS)


@router.post("/accounts/{account_id}/poll")
def poll(request: Request, me: Operator, parts: Parts, account_id: AccountId) -> Response:
    """Have a worker poll it now."""
    account = parts.accounts.get(account_id)
    accounts.poll_soon(parts, account.name, by=me.caller)
    sentence = N_("'%(name)s' is polled as soon as a worker is free; this page shows what comes of it.")
    return see_other(request, place_of(account), sentence, name=account.name)


@router.post("/accounts/{account_id}/enable")
def enable(request: Request, me: Operator, parts: Parts, account_id: AccountId) -> Response:
    """Poll it from now on."""
    return _switched(request, me, parts, account_id, enabled=True)


@router.post("/accounts/{account_id}/disable")
def disable(request: Request, me: Operator, parts: Parts, account_id: AccountId) -> Response:
    """Not any more; its messages stay."""
    return _switched(request, me, parts, account_id, enabled=False)


@router.get("/accounts/{account_id}/remove")
def ask_to_remove(request: Request, _me: Configurer, parts: Parts, account_id: AccountId) -> Response:
    """What goes and what stays, before it is done."""
    account = parts.accounts.get(account_id)
    messages = parts.ledger.amount(account.id, most=COUNTED)
    return render(request, "settings/remove.html", account=account, messages=messages, counted=COUNTED)


@router.post("/accounts/{account_id}/remove")
def remove(request: Request, me: Configurer, parts: Parts, account_id: AccountId) -> Response:
    """Forget it and its password."""
    name = parts.accounts.get(account_id).name
    followed = accounts.remove(parts, name, by=me.caller)
    return told(request, LIST, followed, N_("'%(name)s' is removed; its messages stay."), name=name)


def place_of(account: Account) -> str:
    """Its page."""
    return f"{LIST}/accounts/{account.id}"


def told(request: Request, place: str, followed: Followed | None, sentence: str, *, name: str) -> Response:
    """Go there next and say what was done; and where the schedule could not follow, that too."""
    if followed is None or followed.trouble is None:
        return see_other(request, place, sentence, name=name)
    late = N_(
        "'%(name)s' is stored so. Redis does not answer just now; the schedule follows automatically when it does."
    )
    return see_other(request, place, late, kind="warn", name=name)


def _switched(request: Request, me: Visitor, parts: Parts, account_id: int, *, enabled: bool) -> Response:
    account = parts.accounts.get(account_id)
    done = accounts.switch(parts, account.name, enabled=enabled, by=me.caller)
    sentence = N_("'%(name)s' is polled from now on.") if enabled else N_("'%(name)s' is not polled any more.")
    return told(request, place_of(account), done.schedule, sentence, name=account.name)


def _list(parts: Parts, search: str, show: str, after: str) -> dict[str, Any]:
    show = show if show in _SHOWS else ""
    narrowed = AccountFilter(
        search=search or None,
        failing=show == "failing",
        enabled=False if show == "off" else None,
        after=after or None,
        limit=ON_A_PAGE + 1,
    )
    found = parts.accounts.search(narrowed)
    counts = parts.accounts.counts()
    off = counts.get("disabled", 0)
    failing = sum(number for state, number in counts.items() if state not in ("new", "ok", "disabled"))
    more = len(found) > ON_A_PAGE
    return {
        "rows": [(account, status, advice_on(account, status)) for account, status in found[:ON_A_PAGE]],
        "search": search,
        "show": show,
        "after": after,
        "next": found[ON_A_PAGE - 1][0].name if more else "",
        "tallies": {"": sum(counts.values()), "failing": failing, "off": off},
    }


def _one(parts: Parts, account: Account) -> dict[str, Any]:
    status = parts.accounts.status(account.id)
    return {
        "account": account,
        "doing": status,
        "advice": advice_on(account, status),
        "notes": notes_on(status),
        "provider": provider_of(account.host),
        "oauth": panel(parts, account),
        "cursors": list(parts.accounts.cursors(account.id).values()),
        "turns": parts.accounts.turns(account.id),
        "poll_interval": parts.poll_interval,
        "messages": parts.ledger.amount(account.id, most=COUNTED),
        "quarantined": parts.ledger.amount(account.id, MessageState.QUARANTINED, most=COUNTED),
        "counted": COUNTED,
    }
