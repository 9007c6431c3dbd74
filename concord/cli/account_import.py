"""`concord account import`: many mailboxes from one file."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from concord.cli.border import problem
from concord.cli.files import as_caller
from concord.cli.identity import become, caller
from concord.cli.options import Json
from concord.cli.output import amount, emit, say, shown
from concord.cli.session import here, session
from concord.cli.sync import tell_trouble
from concord.errors import ConcordError, UsageError
from concord.services import accounts
from concord.wording import english

if TYPE_CHECKING:
    from collections.abc import Sequence

    from concord.pipeline.account_import import ImportRow


def import_accounts(
    file: Annotated[Path, typer.Argument(help="CSV with a header line, or TOML with [[accounts]].")],
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Import the right rows even if others are wrong.")
    ] = False,
    json: Json = False,
) -> None:
    """Add many mailboxes. Every row is checked first; one wrong row, and none is added.

    Columns: name, host, user, and as wanted port, tls, password or password_file or password_env, ca_file,
    folders (several with ; between), start, after, interval, priority, enabled.
    """
    from concord.pipeline.account_import import read_rows

    session().keeps_root = True
    taken = [account.name for account in here().accounts.all()]
    with as_caller():
        rows = read_rows(file, environ=os.environ, taken=taken, today=datetime.now(UTC).date())
    become()
    wrong = [row for row in rows if row.error]
    right = [row for row in rows if row.account] if keep_going or not wrong else []
    tell_trouble(accounts.add_many(here(), right, by=caller()))
    if json:
        emit({"imported": [row.name for row in right], "refused": [_refused(row) for row in wrong]})
    else:
        _tell(right, wrong, file)
    if wrong:
        raise typer.Exit(2)


def _refused(row: ImportRow) -> dict[str, object]:
    return {"line": row.place, "name": row.name, "error": problem(row.error) if row.error else None}


def _tell(right: Sequence[ImportRow], wrong: Sequence[ImportRow], file: Path) -> None:
    for row in wrong:
        error: ConcordError = row.error or UsageError("row_unusable")
        typer.echo(shown(f"{file}, line {row.place}: {english.explain(error)}"), err=True)
    if right:
        say(f"{amount(len(right), 'account')} imported.")
    if wrong and not right:
        typer.echo("What to do: Correct these lines and run it again; nothing was imported.", err=True)
    elif wrong:
        typer.echo("What to do: Correct these lines, leave the others out, and run it again.", err=True)
