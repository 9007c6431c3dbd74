"""Rules: which mails go where, in which order; and what one would do to archived mails before it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import Depends, Path, Response

from concord.errors import Mistake, MistakesError
from concord.model.rule import Rule
from concord.model.user import Permission
from concord.services import rules
from concord.services.rule_trial import try_rule
from concord.web.rest import Page, api_router, needs, not_found
from concord.web.rule_models import DryRunIn, DryRunOut, OrderIn, RuleIn, RuleOut
from concord.web.visitor import Parts, Visitor, api

router = api_router("rules", tag="Rules")

Reader = Annotated[Visitor, Depends(api(Permission.READ))]
Operator = Annotated[Visitor, Depends(api(Permission.OPERATE))]
Configurer = Annotated[Visitor, Depends(api(Permission.CONFIGURE))]
RuleId = Annotated[int, Path(ge=1, le=2**63 - 1)]
_TAKEN: Final[dict[int | str, dict[str, Any]]] = {409: {"description": "There is a rule of that name already."}}
_OTHERS: Final[dict[int | str, dict[str, Any]]] = {409: {"description": "These are not all the rules, each once."}}


@router.get("", openapi_extra=needs(Permission.READ))
def list_rules(_me: Reader, parts: Parts) -> Page[RuleOut]:
    """All, in the order in which they are asked."""
    return Page(items=[RuleOut.of(rule) for rule in parts.rulebook.rules()])


@router.post("", status_code=HTTPStatus.CREATED, openapi_extra=needs(Permission.CONFIGURE), responses=_TAKEN)
def add_rule(wanted: RuleIn, me: Configurer, parts: Parts) -> RuleOut:
    """Keep a new one. Every mistake is told with its place."""
    rule = _accepted(*rules.read_form(parts, wanted.document(None, rules.last_position(parts))))
    return RuleOut.of(rules.save(parts, rule, by=me.caller))


@router.post("/order", openapi_extra=needs(Permission.CONFIGURE), responses=_OTHERS)
def order_rules(wanted: OrderIn, me: Configurer, parts: Parts) -> Page[RuleOut]:
    """Ask the rules in this order from now on. Nothing changes where rules came or went meanwhile."""
    names = {rule.id: rule.name for rule in parts.rulebook.rules()}
    # No rule's name has a slash: an id that is none stays one that is none.
    placed = rules.place(parts, [names.get(one, f"/{one}") for one in wanted.rules], by=me.caller)
    return Page(items=[RuleOut.of(rule) for rule in placed])


@router.post("/dry-run", openapi_extra=needs(Permission.CONFIGURE), responses=not_found("No such rule or mail."))
def dry_run(wanted: DryRunIn, _me: Configurer, parts: Parts) -> DryRunOut:
    """Show what a rule that is not kept would do to archived mails. Nothing is kept, sent or changed."""
    before = rules.of_id(parts, wanted.replaces) if wanted.replaces else None
    document = wanted.rule.document(before, rules.last_position(parts))
    rule = _accepted(*rules.read_draft(parts, document, before))
    return DryRunOut.of(try_rule(parts, rule, wanted.chosen, replacing=before.name if before else ""))


@router.get("/{rule_id}", openapi_extra=needs(Permission.READ), responses=not_found())
def show_rule(rule_id: RuleId, _me: Reader, parts: Parts) -> RuleOut:
    """One rule."""
    return RuleOut.of(rules.of_id(parts, rule_id))


@router.put("/{rule_id}", openapi_extra=needs(Permission.CONFIGURE), responses={**not_found(), **_TAKEN})
def change_rule(rule_id: RuleId, wanted: RuleIn, me: Configurer, parts: Parts) -> RuleOut:
    """Put this in its place, under another name too."""
    before = rules.of_id(parts, rule_id)
    rule = _accepted(*rules.read_form(parts, wanted.document(before, before.position)))
    return RuleOut.of(rules.change(parts, before, rule, by=me.caller))


@router.delete(
    "/{rule_id}",
    status_code=HTTPStatus.NO_CONTENT,
    openapi_extra=needs(Permission.CONFIGURE),
    responses=not_found(),
)
def remove_rule(rule_id: RuleId, me: Configurer, parts: Parts) -> Response:
    """Forget it. What it did so far stays."""
    rules.remove(parts, rules.of_id(parts, rule_id).name, by=me.caller)
    return Response(status_code=HTTPStatus.NO_CONTENT)


@router.post("/{rule_id}/enable", openapi_extra=needs(Permission.OPERATE), responses=not_found())
def enable_rule(rule_id: RuleId, me: Operator, parts: Parts) -> RuleOut:
    """Ask it from now on."""
    return RuleOut.of(rules.switch(parts, rules.of_id(parts, rule_id).name, enabled=True, by=me.caller))


@router.post("/{rule_id}/disable", openapi_extra=needs(Permission.OPERATE), responses=not_found())
def disable_rule(rule_id: RuleId, me: Operator, parts: Parts) -> RuleOut:
    """Do not ask it any more."""
    return RuleOut.of(rules.switch(parts, rules.of_id(parts, rule_id).name, enabled=False, by=me.caller))


def _accepted(rule: Rule, mistakes: Sequence[Mistake]) -> Rule:
    """Raises MistakesError."""
    if mistakes:
        raise MistakesError("rule", mistakes=tuple(mistakes), rule=rule.name)
    return rule
