"""Many mailboxes at once, from a list in CSV or TOML: first what each row would change, then doing it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Depends
from pydantic import Field, SecretStr

from concord.errors import Mistake, MistakesError
from concord.model.user import Permission
from concord.pipeline.account_plan import PlannedRow, RowVerb
from concord.services import importing
from concord.services.importing import Imported, ImportedRow
from concord.web.error_text import in_words
from concord.web.rest import Model, api_router, needs
from concord.web.visitor import Parts, Visitor, api

router = api_router("accounts", tag="Mailboxes")

Configurer = Annotated[Visitor, Depends(api(Permission.CONFIGURE))]


class ImportIn(Model):
    """A list of mailboxes, as `concord account import` takes it. It may hold passwords."""

    list: Annotated[SecretStr, Field(max_length=importing.MOST_OCTETS)] = Field(
        description="CSV with a header of columns, or TOML with `[[accounts]]`."
    )
    dry_run: bool = Field(default=False, description="Only say what each row would change.")
    keep_going: bool = Field(default=False, description="Import the right rows though others are wrong.")


class DifferenceOut(Model):
    """What a row changes; of a password only that there is another one."""

    field: str
    before: Any
    after: Any


class ImportRowOut(Model):
    """What a row comes to, or came to."""

    place: int = Field(description="The line of a CSV file, the number of a TOML entry.")
    name: str
    verb: RowVerb
    changes: list[DifferenceOut] = Field(description="In a dry run.")
    error: str | None = Field(description="Why it comes to nothing, and what to do.")


class ImportOut(Model):
    """Every row, in the list's order."""

    dry_run: bool
    rows: list[ImportRowOut]
    counts: dict[RowVerb, int]
    schedule_follows: bool | None = Field(description="False: Redis was away. Null: nothing changed.")


@router.post("/import", openapi_extra=needs(Permission.CONFIGURE))
def import_accounts(wanted: ImportIn, me: Configurer, parts: Parts) -> ImportOut:
    """Add and change the mailboxes of a list. Where a row is wrong, nothing is done unless `keep_going` is said.

    A mailbox that is there keeps what its row does not say. Sent again, the same list changes nothing.
    """
    rows = importing.plan(parts, importing.decoded(wanted.list.get_secret_value().encode()))
    if wanted.dry_run:
        return _out([_planned(row) for row in rows], None, dry_run=True)
    wrong = tuple(Mistake(("rows", row.place), row.error) for row in rows if row.error)
    if wrong and not wanted.keep_going:
        raise MistakesError("import", mistakes=wrong)
    done = importing.carry_out(parts, rows, by=me.caller)
    return _out([_done(row) for row in done.rows], done, dry_run=False)


def _out(rows: Sequence[ImportRowOut], done: Imported | None, *, dry_run: bool) -> ImportOut:
    followed = done.schedule if done else None
    return ImportOut(
        dry_run=dry_run,
        rows=list(rows),
        counts={verb: sum(row.verb is verb for row in rows) for verb in RowVerb},
        schedule_follows=None if followed is None else followed.trouble is None,
    )


def _planned(row: PlannedRow) -> ImportRowOut:
    changes = [DifferenceOut(field=one.field, before=one.before, after=one.after) for one in row.differences]
    error = in_words(row.error) if row.error else None
    return ImportRowOut(place=row.place, name=row.name, verb=row.verb, changes=changes, error=error)


def _done(row: ImportedRow) -> ImportRowOut:
    """A row that failed only while it was done is wrong as well."""
    verb = RowVerb.WRONG if row.error else row.verb
    error = in_words(row.error) if row.error else None
    return ImportRowOut(place=row.place, name=row.name, verb=verb, changes=[], error=error)
