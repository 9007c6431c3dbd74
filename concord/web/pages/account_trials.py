"""Connection tests: each step is shown as it ends; without JavaScript the page loads itself anew until all have."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response, StreamingResponse

from concord.model.binding import of_password
from concord.services import accounts
from concord.web.flash import see_other
from concord.web.i18n import N_
from concord.web.live import event
from concord.web.pages.account_forms import begun
from concord.web.pages.settings import LIST, AccountId, Configurer, Operator, place_of
from concord.web.pages.settings import told as told_next
from concord.web.render import render, text_of
from concord.web.trials import Trial, trials_of
from concord.web.visitor import Parts

router = APIRouter(prefix="/admin/settings", include_in_schema=False)

_EVERY_SECONDS: Final = 0.2
_GONE: Final = N_("That test is not kept any more. Please begin it again.")


@router.post("/accounts/{account_id}/test")
def test(request: Request, me: Operator, parts: Parts, account_id: AccountId) -> Response:
    """Test a mailbox as it is kept."""
    account = parts.accounts.get(account_id)
    return begun(request, parts, me, Trial(account=account, account_id=account.id))


@router.get("/trials/{trial}")
def show(request: Request, me: Operator, trial: str) -> Response:
    """The steps so far."""
    found = trials_of(request).get(me.user.id, trial)
    if found is None:
        return see_other(request, LIST, _GONE, kind="warn")
    return render(request, "settings/trial.html", trial=found, name=trial, inline=False)


@router.get("/trials/{trial}/live")
def live(request: Request, me: Operator, trial: str, inline: str = "") -> Response:
    """The steps as they end; then the stream ends too."""
    found = trials_of(request).get(me.user.id, trial)
    if found is None:
        return Response(status_code=204)
    return StreamingResponse(
        _steps(request, found, trial, inline=bool(inline)),
        media_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )


@router.post("/trials/{trial}/save")
def save(request: Request, me: Configurer, parts: Parts, trial: str) -> Response:
    """Keep what was tested."""
    found = trials_of(request).get(me.user.id, trial)
    if found is None or found.account_id:
        return see_other(request, LIST, _GONE, kind="warn")
    password = parts.vault.unseal(found.account.secret, of_password(found.account)) if found.has_password else None
    done = accounts.add(parts, found.account, password, by=me.caller)
    trials_of(request).drop(me.user.id, trial)
    return told_next(request, place_of(done.account), done.schedule, N_("'%(name)s' is added."), name=done.account.name)


async def _steps(request: Request, trial: Trial, name: str, *, inline: bool) -> AsyncIterator[str]:
    seen = (-1, False)
    while not await request.is_disconnected():
        now = (len(trial.steps), trial.ended)
        if now != seen:
            seen = now
            yield event(text_of(request, "settings/_trial.html", trial=trial, name=name, inline=inline))
        if now[1]:
            yield "event: end\ndata:\n\n"
            return
        await asyncio.sleep(_EVERY_SECONDS)
