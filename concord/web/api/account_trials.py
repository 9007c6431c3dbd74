"""Connection tests of mailboxes: step by step, with cause and remedy where one fails. They read no mail."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from fastapi import Depends
from pydantic import Field

from concord.bootstrap import Concord
from concord.model.account import Account
from concord.model.user import Permission
from concord.ports import CheckStep
from concord.services import accounts
from concord.web import trials
from concord.web.api.account_models import AccountIn, AccountPatch
from concord.web.api.accounts import Name, checked
from concord.web.rest import Model, api_router, needs, not_found
from concord.web.steps import shown
from concord.web.visitor import Parts, Visitor, api

router = api_router("accounts", tag="Mailboxes")

Operator = Annotated[Visitor, Depends(api(Permission.OPERATE))]
Configurer = Annotated[Visitor, Depends(api(Permission.CONFIGURE))]


class StepOut(Model):
    """What one step found."""

    name: str = Field(description="`dns`, `tcp`, `tls`, `token` (OAuth2 only), `login`, `capabilities`, `folders`.")
    title: str = Field(description="In the language of Accept-Language, as the other words here.")
    ok: bool
    lines: list[str]
    cause: str = Field(description="Why it failed; may hold the server's own words.")
    remedy: str = Field(description="What to do.")
    facts: dict[str, Any] = Field(description="The same in parts.")

    @classmethod
    def of(cls, step: CheckStep) -> StepOut:
        """In the reader's words."""
        told = shown(step, for_programs=True)
        return cls(
            name=told.name,
            title=told.title,
            ok=told.ok,
            lines=list(told.lines),
            cause=told.cause,
            remedy=told.remedy,
            facts=dict(step.facts),
        )


class TrialOut(Model):
    """A whole test: it ends with the first step that fails."""

    passed: bool
    steps: list[StepOut]


@router.post("/test", openapi_extra=needs(Permission.CONFIGURE))
def test_unsaved(wanted: AccountIn, me: Configurer, parts: Parts) -> TrialOut:
    """Test a mailbox that is not kept yet: the same body as for adding it. Nothing is kept."""
    account = checked(parts, wanted)
    accounts.check_client(parts, account)
    return _tried(parts, me, _opened(parts, account, wanted))


@router.post("/{name}/test", openapi_extra=needs(Permission.OPERATE), responses=not_found())
def test_account(name: Name, me: Operator, parts: Parts) -> TrialOut:
    """Test a mailbox as it is kept. It takes as long as its server does, a minute at most."""
    return _tried(parts, me, parts.accounts.get(name))


@router.post("/{name}/test-change", openapi_extra=needs(Permission.CONFIGURE), responses=not_found())
def test_changed(name: Name, wanted: AccountPatch, me: Configurer, parts: Parts) -> TrialOut:
    """Test a mailbox as it would be after this change. Nothing is kept."""
    before = parts.accounts.get(name)
    account = checked(parts, wanted, before)
    accounts.check_client(parts, account)
    return _tried(parts, me, replace(_opened(parts, account, wanted), id=before.id))


def _opened(parts: Concord, account: Account, wanted: AccountPatch) -> Account:
    return account if wanted.opened is None else accounts.with_password(parts, account, wanted.opened)


def _tried(parts: Concord, me: Visitor, account: Account) -> TrialOut:
    steps = trials.tried(parts, account, by=me.caller)
    return TrialOut(passed=all(step.ok for step in steps), steps=[StepOut.of(step) for step in steps])
