"""Rules: which mails go where, in which order; each can be tried on archived mails before it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Final

from fastapi import APIRouter, Depends, Path, Query, Request
from starlette.responses import Response

from concord.errors import ConcordError, ConflictError, ExistsError, Mistake, NotFoundError
from concord.model.account import Priority
from concord.model.rule import Rule
from concord.model.user import Permission
from concord.services import handlers, rules
from concord.services.rule_trial import MOST, Chosen, RuleTrial, try_rule
from concord.web.flash import see_other
from concord.web.forms import Form, Posted
from concord.web.i18n import N_
from concord.web.render import render
from concord.web.rule_form import (
    BLANK,
    FIELDS,
    RuleGiven,
    conditions,
    document_of,
    given_by,
    given_of,
    mark,
    told,
    why,
)
from concord.web.visitor import Parts, Visitor, page

LIST: Final = "/admin/settings/rules"
router = APIRouter(prefix=LIST, include_in_schema=False)

Reader = Annotated[Visitor, Depends(page(Permission.READ))]
Operator = Annotated[Visitor, Depends(page(Permission.OPERATE))]
Configurer = Annotated[Visitor, Depends(page(Permission.CONFIGURE))]
RuleId = Annotated[int, Path(ge=1, le=2**63 - 1)]
_WRONG: Final = 422
_CONFLICT: Final = 409
_OFTEN: Final = (10, 50, MOST)
_SUGGESTED: Final = 100  # mailboxes; a page is no place for ten thousand


@dataclass(frozen=True, slots=True, kw_only=True)
class _Sheet:
    """What stands in the form and beside it."""

    given: RuleGiven
    before: Rule | None = None  # None: a new one
    mistakes: Sequence[Mistake] = ()
    overtaken: bool = False  # somebody else changed it meanwhile
    trial: RuleTrial | None = None
    chosen: Chosen = field(default_factory=Chosen)
    trouble: ConcordError | None = None  # of the mails to try it on


@router.get("")
def list_rules(request: Request, _me: Reader, parts: Parts) -> Response:
    """In the order in which they are asked."""
    return render(
        request,
        "rules/list.html",
        rules=[(rule, conditions(rule)) for rule in parts.rulebook.rules()],
        lately=parts.lists.rule_hits(),
        defaults=parts.settings.dispatch.default_handlers,
        off=_off(parts),
    )


@router.get("/new")
def new(
    request: Request, _me: Configurer, parts: Parts, copy: Annotated[int, Query(ge=0, le=2**63 - 1)] = 0
) -> Response:
    """An empty form, or a copy of a rule under another name."""
    given = given_of(rules.of_id(parts, copy)) if copy else BLANK
    return _form(request, parts, _Sheet(given=replace(given, texts={**given.texts, "name": ""})))


@router.post("")
def add(request: Request, me: Configurer, parts: Parts, form: Form) -> Response:
    """Keep a new one; it is asked after all others."""
    given = given_by(form)
    document, mistakes = document_of(given, rules.last_position(parts))
    rule, further = rules.read_form(parts, document)
    mistakes += further
    if not mistakes:
        try:
            rules.save(parts, rule, by=me.caller)
        except ExistsError as error:
            mistakes.append(Mistake(("name",), error))
        else:
            return see_other(request, LIST, N_("Rule '%(name)s' is added: it is asked last."), name=rule.name)
    return _form(request, parts, _Sheet(given=given, mistakes=mistakes))


@router.post("/try")
def try_it(request: Request, _me: Configurer, parts: Parts, form: Form) -> Response:
    """What the form's rule would do to archived mails; keeps nothing."""
    written = form.text("rule_id")
    before = next((rule for rule in parts.rulebook.rules() if str(rule.id) == written), None)
    given = given_by(form)
    document, mistakes = document_of(given, before.position if before else rules.last_position(parts))
    rule, further = rules.read_draft(parts, document, before)
    sheet = _Sheet(given=given, before=before, mistakes=[*mistakes, *further], chosen=_chosen(form))
    if not sheet.mistakes:
        try:
            trial = try_rule(parts, rule, sheet.chosen, replacing=before.name if before else "")
            sheet = replace(sheet, trial=trial)
        except NotFoundError as error:
            sheet = replace(sheet, trouble=error)
    if "hx-request" in request.headers:
        return render(request, "rules/_trial.html", **_shown(sheet))
    return _form(request, parts, sheet)


@router.get("/{rule_id}")
def edit_form(request: Request, _me: Configurer, parts: Parts, rule_id: RuleId) -> Response:
    """As it is."""
    rule = rules.of_id(parts, rule_id)
    return _form(request, parts, _Sheet(given=given_of(rule), before=rule))


@router.post("/{rule_id}")
def edit(request: Request, me: Configurer, parts: Parts, rule_id: RuleId, form: Form) -> Response:
    """Change it; its place stays."""
    before = rules.of_id(parts, rule_id)
    given = given_by(form)
    document, mistakes = document_of(given, before.position)
    rule, further = rules.read_form(parts, document)
    mistakes += further
    overtaken = form.text("mark") != mark(before)
    if not mistakes and not overtaken:
        try:
            rules.change(parts, before, rule, by=me.caller)
        except ExistsError as error:
            mistakes.append(Mistake(("name",), error))
        else:
            return see_other(request, LIST, N_("Rule '%(name)s' is changed."), name=rule.name)
    return _form(request, parts, _Sheet(given=given, before=before, mistakes=mistakes, overtaken=overtaken))


@router.post("/{rule_id}/move")
def move(request: Request, me: Configurer, parts: Parts, rule_id: RuleId, form: Form) -> Response:
    """One place earlier or later."""
    rule = rules.of_id(parts, rule_id)
    try:
        rules.move(parts, rule.name, earlier=form.text("to") == "earlier", by=me.caller)
    except ConflictError:
        sentence = N_("Somebody else changed the rules just now. Look at them again, then move one.")
        return see_other(request, LIST, sentence, kind="warn")
    return see_other(request, f"{LIST}#rule-{rule.id}")


@router.post("/{rule_id}/enable")
def enable(request: Request, me: Operator, parts: Parts, rule_id: RuleId) -> Response:
    """Ask it from now on."""
    rule = rules.switch(parts, rules.of_id(parts, rule_id).name, enabled=True, by=me.caller)
    return see_other(request, LIST, N_("Rule '%(name)s' is on."), name=rule.name)


@router.post("/{rule_id}/disable")
def disable(request: Request, me: Operator, parts: Parts, rule_id: RuleId) -> Response:
    """Not any more."""
    rule = rules.switch(parts, rules.of_id(parts, rule_id).name, enabled=False, by=me.caller)
    return see_other(request, LIST, N_("Rule '%(name)s' is off."), name=rule.name)


@router.get("/{rule_id}/remove")
def confirm_removal(request: Request, _me: Configurer, parts: Parts, rule_id: RuleId) -> Response:
    """What goes, and what stays."""
    rule = rules.of_id(parts, rule_id)
    return render(request, "rules/remove.html", rule=rule, conditions=conditions(rule), off=_off(parts))


@router.post("/{rule_id}/remove")
def remove(request: Request, me: Configurer, parts: Parts, rule_id: RuleId) -> Response:
    """Forget it."""
    rule = rules.of_id(parts, rule_id)
    rules.remove(parts, rule.name, by=me.caller)
    return see_other(request, LIST, N_("Rule '%(name)s' is removed."), name=rule.name)


def _chosen(form: Posted) -> Chosen:
    last = form.text("last")
    return Chosen(
        message=form.text("message")[:1000],
        account=form.text("of_account")[:200],
        last=int(last) if last in {str(one) for one in _OFTEN} else Chosen().last,
    )


def _form(request: Request, parts: Parts, sheet: _Sheet) -> Response:
    known = {spec.name for spec in handlers.specs(parts)}
    return render(
        request,
        "rules/form.html",
        status=_WRONG if sheet.mistakes else _CONFLICT if sheet.overtaken else 200,
        given=sheet.given,
        mark=mark(sheet.before) if sheet.before else "",
        handlers=sorted(known | set(sheet.given.handlers)),
        workflows=sorted(rules.workflow_names(parts) | set(sheet.given.workflows)),
        off=_off(parts),
        accounts=parts.accounts.names()[:_SUGGESTED],
        priorities=list(Priority),
        defaults=parts.settings.dispatch.default_handlers,
        often=_OFTEN,
        **_shown(sheet),
    )


def _shown(sheet: _Sheet) -> dict[str, Any]:
    """What the page and the trial alone both need."""
    errors = told(sheet.mistakes)
    others = [words for name, words in errors.items() if name not in FIELDS]
    return {"sheet": sheet, "errors": dict.fromkeys(FIELDS, "") | errors, "others": others, "why": why}


def _off(parts: Parts) -> dict[str, set[str]]:
    """Handlers and workflows that are switched off: what a rule sends there waits or is lost, and should be seen."""
    return {
        "handlers": {spec.name for spec in handlers.specs(parts) if not spec.enabled},
        "workflows": {spec.name for spec in parts.rulebook.workflows() if not spec.enabled},
    }
