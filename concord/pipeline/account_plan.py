"""What a list of accounts would change, row by row, before anything is changed (A8)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from concord.errors import Mistake, UsageError
from concord.model.account import Account
from concord.model.binding import of_password
from concord.pipeline.account_check import begins_another, check_account, check_keeps_secret, check_secret, is_kept
from concord.pipeline.account_document import account_to_document
from concord.pipeline.account_rows import Entry
from concord.pipeline.apply import Difference, differences
from concord.pipeline.secret_source import SecretSource
from concord.pipeline.wanted import wanted_account
from concord.ports import Vault

# It came from another machine: what it names is nothing of this one.
_SOURCE: Final = SecretSource(
    word="password", folder=Path("/"), environ={}, allows_literal=True, allows_reference=False
)


class RowVerb(StrEnum):
    """What a row comes to."""

    ADD = "add"
    CHANGE = "change"
    SAME = "same"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedRow:
    """One row: the account as it would be, or why it cannot be. Of a password only that there is another one."""

    place: int  # the line of a CSV file, the number of a TOML entry
    name: str
    verb: RowVerb
    account: Account | None = None
    password: str | None = field(default=None, repr=False)  # None: as it is
    differences: tuple[Difference, ...] = ()
    begins_another: bool = False  # with another mailbox, under the name of this one
    error: UsageError | None = None


Resolve = Callable[[Mapping[str, Any], Account | None], tuple[Mapping[str, Any], Sequence[Mistake]]]
"""Puts a file in the place of an authority's name, and says what must not be said from afar."""


def plan_rows(
    entries: Iterable[Entry], *, known: Iterable[Account], vault: Vault, today: date, resolve: Resolve
) -> list[PlannedRow]:
    """Every row, right or wrong. Of an account that is there, what a row does not say stays as it is."""
    present = {account.name: account for account in known}
    seen: dict[str, int] = {}
    rows = []
    for place, entry in entries:
        name = str(entry.get("name", "")).strip()
        try:
            _refuse_twice(name, seen)
            before = present.get(name)
            rest, refused = resolve(entry, before)
            for mistake in refused:
                raise mistake.error
            rows.append(_row(place, rest, before, vault, today))
        except UsageError as error:
            rows.append(PlannedRow(place=place, name=name, verb=RowVerb.WRONG, error=error))
        seen.setdefault(name, place)
    return rows


def _refuse_twice(name: str, seen: Mapping[str, int]) -> None:
    if name and name in seen:
        raise UsageError("name_twice", account=name, cause=f"it stands at {seen[name]} already")


def _row(place: int, entry: Mapping[str, Any], before: Account | None, vault: Vault, today: date) -> PlannedRow:
    wanted = wanted_account(entry, _SOURCE, base=before)
    account, password = wanted.account, wanted.password
    check_account(account, today=today)
    if password is not None or before is None:
        check_secret(account, password)
    if before is None:
        return PlannedRow(place=place, name=account.name, verb=RowVerb.ADD, account=account, password=password)
    if password is None:
        check_keeps_secret(before, account)
    begins = begins_another(before, account, wanted.mailbox)
    other = password is not None and not is_kept(vault, before, password)
    told = differences(account_to_document(before), account_to_document(account), hidden="password" if other else None)
    return PlannedRow(
        place=place,
        name=account.name,
        verb=RowVerb.CHANGE if told else RowVerb.SAME,
        account=replace(account, id=before.id, key=before.key),
        # Also the same one: for another server it is sealed again.
        password=password if other or of_password(before) != of_password(account) else None,
        differences=told,
        begins_another=begins,
    )
