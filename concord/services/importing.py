"""Many mailboxes at once from a list that a browser or program sent: first what each row would change, then doing it.

At the command line, `concord account import` and `concord apply` read files instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final

from concord.auditing import audited
from concord.errors import ConcordError, InfrastructureError, UsageError
from concord.model.binding import of_password
from concord.model.caller import Caller
from concord.pipeline.account_plan import PlannedRow, RowVerb, plan_rows
from concord.pipeline.account_rows import entries
from concord.ports import Vault
from concord.services import authorities
from concord.services.differences import differing
from concord.services.schedule import Followed, follow

if TYPE_CHECKING:
    from concord.bootstrap import Concord

MOST_OCTETS: Final = 1024 * 1024
MOST_ROWS: Final = 1000
# What the errors call the list: its own name on the sender's machine is no business of ours.
_LIST: Final = "the list"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportedRow:
    """What became of one row; `error` where it came to nothing."""

    place: int
    name: str
    verb: RowVerb
    error: ConcordError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What became of all of them, and whether the schedule follows already."""

    rows: tuple[ImportedRow, ...]
    schedule: Followed | None


def decoded(octets: bytes) -> str:
    """The list's text. Raises UsageError where it is too long, empty or no text."""
    if len(octets) > MOST_OCTETS:
        raise UsageError("list_too_long", octets=len(octets), limit=MOST_OCTETS)
    try:
        text = octets.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError("list_no_utf8") from None
    if not text.strip():
        raise UsageError("list_empty")
    return text


def is_toml(text: str) -> bool:
    """Whether it is TOML rather than CSV: a header of columns has no brackets."""
    return any(line.strip() == "[[accounts]]" for line in text.splitlines())


def plan(parts: Concord, text: str) -> list[PlannedRow]:
    """What each row would change; changes nothing. Raises UsageError where the list cannot be read, SecretKeyError."""
    found = list(islice(entries(text, is_toml=is_toml(text), file=_LIST), MOST_ROWS + 1))
    if len(found) > MOST_ROWS:
        raise UsageError("list_too_many", limit=MOST_ROWS)
    if not found:
        raise UsageError("list_no_accounts")
    return plan_rows(
        found,
        known=parts.accounts.all(),
        vault=parts.sealing(),
        today=datetime.now(UTC).date(),
        resolve=partial(authorities.resolve, parts),
    )


def carry_out(
    parts: Concord,
    rows: Iterable[PlannedRow],
    *,
    by: Caller,
    told: Callable[[ImportedRow], None] = lambda _row: None,
) -> Imported:
    """Add and change what the plan says; what is wrong is left out. A row that fails does not stop the others.

    Raises InfrastructureError where the database is away; sent again, the list does the rest.
    """
    vault, done = parts.sealing(), []
    for row in rows:
        done.append(_done(parts, row, vault, by))
        told(done[-1])
    changed = any(row.error is None and row.verb in (RowVerb.ADD, RowVerb.CHANGE) for row in done)
    return Imported(rows=tuple(done), schedule=follow(parts) if changed else None)


def _done(parts: Concord, row: PlannedRow, vault: Vault, by: Caller) -> ImportedRow:
    error: ConcordError | None = row.error
    try:
        if row.verb is RowVerb.ADD:
            _add(parts, row, vault, by)
        elif row.verb is RowVerb.CHANGE:
            _change(parts, row, vault, by)
    except InfrastructureError:
        raise
    except ConcordError as trouble:
        error = trouble
    return ImportedRow(place=row.place, name=row.name, verb=row.verb, error=error)


def _add(parts: Concord, row: PlannedRow, vault: Vault, by: Caller) -> None:
    assert row.account is not None  # noqa: S101 - a row to be added has one
    secret = vault.seal(row.password or "", of_password(row.account))
    with audited(parts.audit, by, "account.add", row.name, detail=f"{row.account.user} on {row.account.host}; import"):
        parts.accounts.add(replace(row.account, secret=secret))


def _change(parts: Concord, row: PlannedRow, vault: Vault, by: Caller) -> None:
    assert row.account is not None  # noqa: S101 - as above
    account = row.account
    if row.password is not None:
        account = replace(account, secret=vault.seal(row.password, of_password(account)))
    shown = [one for one in row.differences if one.field != "password"]
    before, after = ({one.field: getattr(one, side) for one in shown} for side in ("before", "after"))
    told = differing(before, after, *(() if row.password is None else ("password",)))
    with audited(parts.audit, by, "account.edit", row.name, detail=f"{told}; import"):
        keep = parts.accounts.replace if row.begins_another else parts.accounts.save
        keep(account)
