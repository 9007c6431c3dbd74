"""Running many messages again: which ones, what would be done, and then it is done, while one looks on (P18)."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from concord.bootstrap import Concord
from concord.errors import ConflictError, UsageError
from concord.model.account import Priority
from concord.model.progress import Told
from concord.model.user import Permission
from concord.services import messages, replaying
from concord.services.replaying import Replay, ReplayPreview
from concord.web import wanted
from concord.web.error_text import facts_of
from concord.web.flash import see_other
from concord.web.forms import Form
from concord.web.i18n import N_
from concord.web.jobs import jobs_of, soon
from concord.web.lists import LONGEST, given, numbers, whole_days
from concord.web.render import query, render
from concord.web.visitor import Parts, Visitor, page

router = APIRouter(prefix="/admin/replay", include_in_schema=False)

FORM: Final = "/admin/replay"
JOBS: Final = "/admin/jobs"
Operator = Annotated[Visitor, Depends(page(Permission.OPERATE))]
_FIELDS: Final = ("q", "account", "folder", "priority", "since", "until")
_LONGEST_IDS: Final = 20 * replaying.MOST_CHOSEN


@router.get("")
def form(request: Request, _me: Operator, parts: Parts) -> Response:
    """Which messages: those chosen on a list, or all that are like that."""
    ids = request.query_params.get("ids", "")[:_LONGEST_IDS]
    return _asked(request, parts, {**given(request, *_FIELDS), "ids": ids}, ())


@router.post("/choose")
def choose(request: Request, _me: Operator, form: Form) -> Response:
    """Those that were ticked on a list."""
    ids = numbers(form.all("id"))
    if not ids:
        return see_other(request, "/admin/messages", N_("Nothing was chosen."), kind="warn")
    return see_other(request, f"{FORM}?{query({'ids': ','.join(map(str, ids))})}")


@router.post("")
def preview(request: Request, me: Operator, parts: Parts, form: Form) -> Response:
    """The dry run begins."""
    fields = {name: form.text(name)[:LONGEST] for name in _FIELDS} | {"ids": form.text("ids")[:_LONGEST_IDS]}
    handlers = tuple(name for name in form.all("handler") if name)
    try:
        choice = _choice(fields, handlers)
        replaying.refuse_everything(choice)
        messages.refuse_unknown(parts, handlers)
    except UsageError as error:
        return _asked(request, parts, fields, handlers, error)

    def work(told: Told) -> ReplayPreview:
        return replaying.preview(parts, choice, told=told)

    job = soon(request, "message.preview", choice.subject, work, by=me.caller)
    return see_other(request, f"{JOBS}/{job.id}")


@router.post("/go")
def go(request: Request, me: Operator, parts: Parts, form: Form) -> Response:
    """What a dry run showed is done, to exactly those messages."""
    shown = jobs_of(request).get(form.text("job")[:40]).result
    if not isinstance(shown, ReplayPreview):
        raise ConflictError("no_dry_run")

    def work(told: Told) -> messages.ReplayTotals:
        return messages.replay_many(parts, shown.ids, shown.handlers, subject=shown.subject, by=me.caller, told=told)

    job = soon(request, "message.replay", shown.subject, work, by=me.caller)
    return see_other(request, f"{JOBS}/{job.id}")


def _choice(fields: Mapping[str, str], handlers: tuple[str, ...]) -> Replay:
    ids = tuple(numbers([text for text in fields["ids"].replace(" ", "").split(",") if text]))
    if ids:
        return Replay(ids=ids, handlers=handlers)
    return Replay(wanted=wanted.messages(whole_days(fields)), handlers=handlers)


def _asked(
    request: Request,
    parts: Concord,
    fields: Mapping[str, str],
    handlers: tuple[str, ...],
    error: UsageError | None = None,
) -> Response:
    return render(
        request,
        "mail/replay.html",
        status=HTTPStatus.UNPROCESSABLE_ENTITY if error else HTTPStatus.OK,
        fields=fields,
        ids=[text for text in fields["ids"].split(",") if text],
        accounts=parts.accounts.names(),
        folders=parts.lists.folders(),
        priorities=list(Priority),
        handlers=messages.handler_names(parts),
        chosen=handlers,
        error=error,
        facts=facts_of(error) if error else {},
    )
