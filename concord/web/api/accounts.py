"""Mailboxes: which there are and how they do; adding, changing, switching, polling and removing them."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated
from urllib.parse import quote

from fastapi import Depends, Path, Query, Response

from concord.bootstrap import Concord
from concord.errors import Mistake, MistakesError
from concord.model.account import Account, AccountFilter, AccountState, Tls
from concord.model.message import MessageState
from concord.model.user import Permission
from concord.services import accounts
from concord.web import rest
from concord.web.account_form import plain_mistake
from concord.web.api.account_models import (
    AccountChanged,
    AccountDetail,
    AccountIn,
    AccountOut,
    AccountPatch,
    AccountRemoved,
    FolderOut,
    TurnOut,
)
from concord.web.pages.settings import COUNTED
from concord.web.rest import ROOT, Cursor, Limit, Page, api_router, needs, not_found
from concord.web.visitor import Parts, Visitor, api

router = api_router("accounts", tag="Mailboxes")

Reader = Annotated[Visitor, Depends(api(Permission.READ))]
Operator = Annotated[Visitor, Depends(api(Permission.OPERATE))]
Configurer = Annotated[Visitor, Depends(api(Permission.CONFIGURE))]
Name = Annotated[str, Path(max_length=100, description="The mailbox's name.")]
Search = Annotated[str | None, Query(max_length=200, description="In name, host and user.")]
Failing = Annotated[bool, Query(description="Only those whose last poll failed.")]


@router.get("", openapi_extra=needs(Permission.READ))
def list_accounts(  # noqa: PLR0913, PLR0917 - a filter of many fields, filled in by the framework
    _me: Reader,
    parts: Parts,
    search: Search = None,
    state: AccountState | None = None,
    enabled: bool | None = None,  # noqa: FBT001 - the framework gives it by its name
    failing: Failing = False,  # noqa: FBT002 - as above
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Page[AccountOut]:
    """By name, each with how it does."""
    mark = rest.place_of(cursor, 1)
    narrowed = AccountFilter(
        search=search or None,
        state=state,
        enabled=enabled,
        failing=failing,
        after=mark[0] if mark else None,
        limit=limit + 1,
    )
    found = parts.accounts.search(narrowed)
    shown = [AccountOut.of(account, status) for account, status in found[:limit]]
    return Page(items=shown, next=rest.cursor(shown[-1].name) if len(found) > limit else None)


@router.post("", status_code=HTTPStatus.CREATED, openapi_extra=needs(Permission.CONFIGURE))
def add_account(wanted: AccountIn, me: Configurer, parts: Parts, answer: Response) -> AccountChanged:
    """Add a mailbox, its password sealed. With OAuth2, a sign-in opens it (`/sign-ins`)."""
    account = checked(parts, wanted)
    done = accounts.add(parts, account, wanted.opened, by=me.caller)
    answer.headers["Location"] = f"{ROOT}/accounts/{quote(account.name, safe='')}"
    return AccountChanged.of(done, parts.accounts.status(done.account.id))


@router.get("/{name}", openapi_extra=needs(Permission.READ), responses=not_found())
def get_account(name: Name, _me: Reader, parts: Parts) -> AccountDetail:
    """One mailbox."""
    account = parts.accounts.get(name)
    return AccountDetail(
        **dict(_out(parts, account)),
        messages=parts.ledger.amount(account.id, most=COUNTED),
        quarantined=parts.ledger.amount(account.id, MessageState.QUARANTINED, most=COUNTED),
        counted_to=COUNTED,
    )


@router.patch("/{name}", openapi_extra=needs(Permission.CONFIGURE), responses=not_found())
def change_account(name: Name, wanted: AccountPatch, me: Configurer, parts: Parts) -> AccountChanged:
    """Change what is said. Another server wants the password again: the kept one is for the server it was given for.

    A changed host or user wants `mailbox`, too.
    """
    before = parts.accounts.get(name)
    account = checked(parts, wanted, before)
    if asked := accounts.mailbox_mistakes(before, account, wanted.mailbox):
        raise MistakesError("account", mistakes=tuple(asked))
    done = accounts.edit(parts, name, wanted.said, password=wanted.opened, mailbox=wanted.mailbox, by=me.caller)
    return AccountChanged.of(done, parts.accounts.status(done.account.id))


@router.delete("/{name}", openapi_extra=needs(Permission.CONFIGURE), responses=not_found())
def remove_account(name: Name, me: Configurer, parts: Parts) -> AccountRemoved:
    """Forget a mailbox and its password. Its messages and events stay."""
    followed = accounts.remove(parts, name, by=me.caller)
    return AccountRemoved(name=name, schedule_follows=followed.trouble is None)


@router.post("/{name}/enable", openapi_extra=needs(Permission.OPERATE), responses=not_found())
def enable_account(name: Name, me: Operator, parts: Parts) -> AccountChanged:
    """Poll it from now on. Twice is once."""
    return _switched(parts, me, name, enabled=True)


@router.post("/{name}/disable", openapi_extra=needs(Permission.OPERATE), responses=not_found())
def disable_account(name: Name, me: Operator, parts: Parts) -> AccountChanged:
    """Do not poll it any more; its messages stay. Twice is once."""
    return _switched(parts, me, name, enabled=False)


@router.post(
    "/{name}/poll",
    status_code=HTTPStatus.ACCEPTED,
    openapi_extra=needs(Permission.OPERATE),
    responses=not_found(),
)
def poll_account(name: Name, me: Operator, parts: Parts) -> AccountOut:
    """Have a worker poll it as soon as one is free, whatever its back-off says. `last_poll` shows when it was."""
    accounts.poll_soon(parts, name, by=me.caller)
    return _out(parts, parts.accounts.get(name))


@router.get("/{name}/folders", openapi_extra=needs(Permission.READ), responses=not_found())
def list_folders(name: Name, _me: Reader, parts: Parts) -> Page[FolderOut]:
    """Folders that have been read, and how far. Which folders the server has, a test says."""
    account = parts.accounts.get(name)
    cursors = parts.accounts.cursors(account.id)
    fields = FolderOut.model_fields
    return Page(items=[FolderOut(**{field: getattr(one, field) for field in fields}) for one in cursors.values()])


@router.get("/{name}/turns", openapi_extra=needs(Permission.READ), responses=not_found())
def list_turns(name: Name, _me: Reader, parts: Parts) -> Page[TurnOut]:
    """When its state became another one, and why: the last twenty times, the newest first."""
    account = parts.accounts.get(name)
    return Page(
        items=[TurnOut(at=one.at, state=one.state, error=one.error) for one in parts.accounts.turns(account.id)]
    )


def checked(parts: Concord, wanted: AccountPatch, before: Account | None = None) -> Account:
    """The account as it would be. Raises MistakesError with every mistake at its field."""
    account, mistakes = accounts.read_form(parts, wanted.said, before)
    mistakes += accounts.secret_mistakes(account, wanted.opened, before)
    mistakes += _clear_mistakes(account, wanted, before)
    if mistakes:
        raise MistakesError("account", mistakes=tuple(mistakes))
    return account


def _clear_mistakes(account: Account, wanted: AccountPatch, before: Account | None) -> list[Mistake]:
    """What is in clear already need not be said again."""
    was = before is not None and before.tls is Tls.NONE
    found = plain_mistake(account, confirmed=wanted.in_clear or was)
    return [found] if found else []


def _switched(parts: Concord, me: Visitor, name: str, *, enabled: bool) -> AccountChanged:
    done = accounts.switch(parts, name, enabled=enabled, by=me.caller)
    return AccountChanged.of(done, parts.accounts.status(done.account.id))


def _out(parts: Concord, account: Account) -> AccountOut:
    return AccountOut.of(account, parts.accounts.status(account.id))
