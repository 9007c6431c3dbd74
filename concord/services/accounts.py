"""Mailboxes: adding, changing, switching, removing, trying and polling them.

A form is read with `written` before anything is asked for: its mistakes are nobody's action. Every change is followed
by a sync of the schedule; where Redis is away, the change holds all the same, and the answer says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from concord.auditing import audited
from concord.errors import ExistsError, Mistake, SecretKeyError, UsageError
from concord.model.account import Account, Mailbox
from concord.model.binding import of_password
from concord.model.caller import Caller
from concord.model.fault import Fault, dump
from concord.pipeline.account_check import (
    account_mistakes,
    begins_another,
    check_account,
    check_keeps_secret,
    check_password,
    check_secret,
)
from concord.pipeline.account_document import account_from_document, account_to_document, read_account
from concord.pipeline.account_import import ImportRow
from concord.pipeline.poll import PollOutcome, PollReport
from concord.ports import CheckStep
from concord.services import authorities
from concord.services.differences import differing
from concord.services.schedule import Followed, follow

if TYPE_CHECKING:
    from concord.bootstrap import Concord


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountChange:
    """An account as it now is, and whether the schedule follows already."""

    account: Account
    schedule: Followed


def written(said: Mapping[str, Any], base: Account | None = None) -> Account:
    """An account as a form or the command line says it; what is left out is as in `base`. Raises UsageError."""
    account = account_from_document(said, base=base)
    check_account(account, today=datetime.now(UTC).date())
    return account


def read_form(parts: Concord, said: Mapping[str, Any], base: Account | None = None) -> tuple[Account, list[Mistake]]:
    """An account as a page's form or a program says it, and every mistake with its field."""
    rest, refused = authorities.resolve(parts, said, base)
    account, mistakes = read_account(rest, base=base)
    mistakes = [*refused, *mistakes]
    told = {mistake.path for mistake in mistakes}
    further = account_mistakes(account, today=datetime.now(UTC).date())
    return account, [*mistakes, *(mistake for mistake in further if mistake.path not in told)]


def _from_afar(parts: Concord, said: Mapping[str, Any], base: Account) -> Mapping[str, Any]:
    """What a page or a program says: at a shell of this machine alone, a file may be named by its path."""
    rest, refused = authorities.resolve(parts, said, base)
    for mistake in refused:
        raise mistake.error
    return rest


def secret_mistakes(account: Account, password: str | None, base: Account | None = None) -> list[Mistake]:
    """What is wrong with a form's password: none where one is needed, one of no use, or the kept one told elsewhere."""
    needed = base is None or (base.auth.is_oauth and not account.auth.is_oauth)
    try:
        if password is not None or needed:
            check_secret(account, password)
        elif base is not None:
            check_keeps_secret(base, account)
    except UsageError as error:
        return [Mistake(("password",), error)]
    return []


def mailbox_mistakes(before: Account, after: Account, answer: Mailbox | None) -> list[Mistake]:
    """The question whether a changed host or user leads to another mailbox, where it is not answered."""
    try:
        begins_another(before, after, answer)
    except UsageError as error:
        return [Mistake(("mailbox",), error)]
    return []


def refuse_taken(parts: Concord, name: str) -> None:
    """Raises ExistsError. Good to know before a password is asked for; `add` looks again."""
    if any(account.name == name for account in parts.accounts.all()):
        raise ExistsError("account", account=name)


def check_client(parts: Concord, account: Account) -> None:
    """Raises NotFoundError where it names an OAuth2 client that is not there."""
    if account.oauth_client:
        parts.oauth_clients.get(account.oauth_client)


def add(parts: Concord, account: Account, password: str | None = None, *, by: Caller) -> AccountChange:
    """Keep a new one, its password sealed. Raises UsageError, ExistsError, SecretKeyError."""
    check_account(account, today=datetime.now(UTC).date())
    check_secret(account, password)
    check_client(parts, account)
    with audited(parts.audit, by, "account.add", account.name, detail=f"{account.user} on {account.host}"):
        refuse_taken(parts, account.name)
        made = parts.accounts.add(_sealed(parts, account, password))
    return AccountChange(account=made, schedule=follow(parts))


def add_many(parts: Concord, rows: Sequence[ImportRow], *, by: Caller) -> Followed | None:
    """All rows that have an account, as `add` does; the schedule follows once. None where there is no such row."""
    right = [(row.account, row.password or None) for row in rows if row.account]
    for account, _ in right:
        check_client(parts, account)
    for account, password in right:
        with audited(parts.audit, by, "account.add", account.name, detail=f"{account.user} on {account.host}; import"):
            parts.accounts.add(_sealed(parts, account, password))
    return follow(parts) if right else None


def edit(
    parts: Concord,
    name: str,
    said: Mapping[str, Any],
    *,
    password: str | None = None,
    mailbox: Mailbox | None = None,
    by: Caller,
) -> AccountChange:
    """Change what is said; the rest stays, and so does the password without another one.

    `mailbox` says what a changed host or user means: the same mailbox keeps its cursors and its identity, another one
    begins now under a new one. Raises NotFoundError, UsageError, SecretKeyError.
    """
    before = parts.accounts.get(name)
    after = written(said if by.via == "cli" else _from_afar(parts, said, before), before)
    if before.auth.is_oauth and not after.auth.is_oauth:
        check_password(name, password or "")
    if password is not None:
        check_secret(after, password)
    else:
        check_keeps_secret(before, after)
    check_client(parts, after)
    begins = begins_another(before, after, mailbox)
    secret = () if password is None else ("password",)
    detail = differing(account_to_document(before), account_to_document(after), *secret)
    with audited(
        parts.audit,
        by,
        "account.edit",
        name,
        detail=f"{detail or 'nothing changed'}{'; another mailbox' if begins else ''}",
    ):
        keep = parts.accounts.replace if begins else parts.accounts.save
        kept = keep(_sealed(parts, after, password))
    return AccountChange(account=kept, schedule=follow(parts))


def switch(parts: Concord, name: str, *, enabled: bool, by: Caller) -> AccountChange:
    """Poll it from now on, or not any more. Twice is once. Raises NotFoundError."""
    with audited(parts.audit, by, "account.enable" if enabled else "account.disable", name):
        account = parts.accounts.get(name)
        if account.enabled is not enabled:
            account = parts.accounts.save(replace(account, enabled=enabled))
    return AccountChange(account=account, schedule=follow(parts))


def remove(parts: Concord, name: str, *, by: Caller) -> Followed:
    """Forget it and its password; its messages and events stay. Raises NotFoundError."""
    with audited(parts.audit, by, "account.remove", name):
        parts.accounts.remove(name)
    return follow(parts)


def test(parts: Concord, account: Account, *, by: Caller) -> Iterator[CheckStep]:
    """Try to connect, step by step; reads no mail. Also for one that is not kept yet, if its secret is sealed."""
    with audited(parts.audit, by, "account.test", account.name) as note:
        for step in parts.sources.test(account):
            if not step.ok:
                note.failed(_why(step))
            yield step


def _why(step: CheckStep) -> str:
    """What an audit row keeps of the step that failed."""
    fault = Fault.of(step.error) if step.error else Fault("unexpected")
    return Fault(fault.situation, {"step": step.name, **fault.facts}).dump()


def poll(parts: Concord, name: str, *, by: Caller) -> PollReport:
    """Poll it now, in this process, whatever its schedule or back-off says. Mailbox troubles are told in the report.

    Raises NotFoundError, InfrastructureError.
    """
    with audited(parts.audit, by, "account.poll", name) as note:
        account_id = parts.accounts.get(name).id
        report = parts.poller.poll(account_id, forced=True)
        if report.backfill:
            report = report.followed_by(parts.backfiller.backfill(account_id))
        note.detail = f"{report.outcome}: {report.archived} archived"
        if report.outcome in (PollOutcome.FAILED, PollOutcome.BUSY):
            note.failed(dump(report.error) if report.error else note.detail)
        return report


def poll_soon(parts: Concord, name: str, *, by: Caller) -> None:
    """Have a worker poll it at once, whatever its back-off says. Raises NotFoundError, QueueDownError."""
    with audited(parts.audit, by, "account.poll", name, detail="queued"):
        parts.queue.poll(parts.accounts.get(name).id, forced=True)


def with_password(parts: Concord, account: Account, password: str) -> Account:
    """The account with this password sealed in it, as `test` needs it. Raises UsageError, SecretKeyError."""
    check_password(account.name, password)
    return _sealed(parts, account, password)


def _sealed(parts: Concord, account: Account, password: str | None) -> Account:
    """With the password; without one, what is kept is bound to its place where an older version sealed it."""
    if password is not None:
        return replace(account, secret=parts.sealing().seal(password, of_password(account)))
    if not account.secret:
        return account
    with suppress(SecretKeyError):
        return replace(account, secret=parts.vault.reseal(account.secret, of_password(account)))
    return account
