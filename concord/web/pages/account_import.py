"""Many mailboxes from one list: what each row would change is shown first; between the two the list is kept sealed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fastapi import APIRouter, Request
from starlette.responses import Response

from concord.errors import ConcordError, UsageError
from concord.model.binding import of_list
from concord.pipeline.account_plan import PlannedRow, RowVerb
from concord.services import importing
from concord.services.importing import Imported, ImportedRow
from concord.web.error_text import facts_of, in_words
from concord.web.flash import see_other
from concord.web.forms import Form, Posted
from concord.web.i18n import N_
from concord.web.pages.settings import LIST, Configurer
from concord.web.problem import status_of
from concord.web.render import render
from concord.web.shelf import Shelf
from concord.web.visitor import Parts

router = APIRouter(prefix="/admin/settings/import", include_in_schema=False)

# Rows of one kind on the page; a list of a thousand would be a page of megabytes.
SHOWN: Final = 100
_KEPT: Final = 3
_GROUPS: Final = (
    (RowVerb.WRONG, N_("Wrong")),
    (RowVerb.CHANGE, N_("To change")),
    (RowVerb.ADD, N_("To add")),
    (RowVerb.SAME, N_("As they are")),
)
_GONE: Final = N_("That list is not kept any more. Please send it again.")


@router.get("")
def choose(request: Request, _me: Configurer) -> Response:
    """A file, or text."""
    return _form(request)


@router.post("")
def send(request: Request, me: Configurer, parts: Parts, form: Form) -> Response:
    """Look at the list, keep it sealed, and show what it would change."""
    try:
        text = _text(form)
        importing.plan(parts, text)
    except UsageError as error:
        return _form(request, error)
    name = lists_of(request).put(me.user.id, parts.sealing().seal(text, of_list(me.user.id)))
    return see_other(request, f"{LIST}/import/{name}")


@router.get("/{name}")
def preview(request: Request, me: Configurer, parts: Parts, name: str) -> Response:
    """What each row would change, as things are now."""
    sealed = lists_of(request).get(me.user.id, name)
    if sealed is None:
        return see_other(request, f"{LIST}/import", _GONE, kind="warn")
    rows = importing.plan(parts, parts.vault.unseal(sealed, of_list(me.user.id)))
    counts = Counter(row.verb.value for row in rows)
    groups = [(verb, words, [_shown(row) for row in rows if row.verb is verb][:SHOWN]) for verb, words in _GROUPS]
    return render(
        request,
        "settings/import_preview.html",
        name=name,
        groups=[group for group in groups if group[2]],
        counts={verb.value: counts[verb.value] for verb in RowVerb},
        shown=SHOWN,
    )


@router.post("/{name}")
def carry_out(request: Request, me: Configurer, parts: Parts, form: Form, name: str) -> Response:
    """Do it. Where rows are wrong, only if the right ones are wanted all the same."""
    sealed = lists_of(request).get(me.user.id, name)
    if sealed is None:
        return see_other(request, f"{LIST}/import", _GONE, kind="warn")
    rows = importing.plan(parts, parts.vault.unseal(sealed, of_list(me.user.id)))
    if _any_wrong(rows) and not form.has("keep_going"):
        sentence = N_("Nothing is imported: some rows are wrong. Tick the box to import the others.")
        return see_other(request, f"{LIST}/import/{name}", sentence, kind="warn")
    done = importing.carry_out(parts, rows, by=me.caller)
    lists_of(request).drop(me.user.id, name)
    return _done(request, done)


def lists_of(request: Request) -> Shelf[bytes]:
    """The lists that were sent and not carried out yet, each sealed."""
    state = request.app.state
    if not hasattr(state, "account_lists"):
        state.account_lists = Shelf[bytes](most=_KEPT)
    shelf: Shelf[bytes] = state.account_lists
    return shelf


def _text(form: Posted) -> str:
    return importing.decoded(form.file("file") or form.raw("list").encode())


def _form(request: Request, error: ConcordError | None = None) -> Response:
    return render(
        request,
        "settings/import.html",
        status=status_of(error) if error else 200,
        error=error,
        facts=facts_of(error) if error else {},
        most_rows=importing.MOST_ROWS,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Row:
    """A row as the page shows it; of a password only that it is another one."""

    place: int
    name: str
    mailbox: str = ""
    wrong: str = ""
    changes: tuple[tuple[str, str, str], ...] = ()


def _shown(row: PlannedRow | ImportedRow) -> _Row:
    wrong = in_words(row.error) if row.error else ""
    if isinstance(row, ImportedRow):
        return _Row(place=row.place, name=row.name, wrong=wrong)
    return _Row(
        place=row.place,
        name=row.name,
        mailbox=f"{row.account.user} · {row.account.host}" if row.account else "",
        wrong=wrong,
        changes=tuple((one.field, _written(one.before), _written(one.after)) for one in row.differences),
    )


def _written(value: object) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(str(one) for one in value)
    return "–" if value is None else str(value)


def _any_wrong(rows: Sequence[PlannedRow]) -> bool:
    return any(row.verb is RowVerb.WRONG for row in rows)


def _done(request: Request, done: Imported) -> Response:
    counts = Counter(row.verb for row in done.rows if row.error is None)
    wrong = [row for row in done.rows if row.error]
    late = done.schedule is not None and done.schedule.trouble is not None
    return render(
        request,
        "settings/import_done.html",
        added=counts[RowVerb.ADD],
        changed=counts[RowVerb.CHANGE],
        same=counts[RowVerb.SAME],
        wrong=[_shown(row) for row in wrong[:SHOWN]],
        wrong_count=len(wrong),
        late=late,
    )
