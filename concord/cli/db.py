"""`concord db`: the schema of the database."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Annotated, Final, TypeVar

import typer

from concord.auditing import audited
from concord.cli.identity import caller
from concord.cli.options import Json
from concord.cli.output import emit, say, warn
from concord.cli.session import here
from concord.errors import ConcordError, DatabaseDownError
from concord.wording import english

T = TypeVar("T")
_BETWEEN_TRIES: Final = 2.0

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The database's schema.")


@app.command()
def upgrade(
    json: Json = False,
    wait: Annotated[int, typer.Option("--wait", min=0, help="Seconds to wait for a database that is not up.")] = 0,
) -> None:
    """Bring the schema up to this version of Concord. Doing it twice changes nothing."""
    from concord.adapters import notify
    from concord.adapters.sql import schema

    try:
        before = _patiently(lambda: schema.version(here().engine), wait)
        version = _patiently(lambda: schema.upgrade(here().engine), wait)
    except ConcordError as error:
        notify.status(english.explain(error))
        raise
    notify.status(f"the database is at version {version}")
    if version != before:
        with audited(here().audit, caller(), "db.upgrade", version, detail=f"from {before or 'nothing'}"):
            pass
    if json:
        emit({"version": version})
    else:
        say(f"The database is at version {version}.")


@app.command()
def check(json: Json = False) -> None:
    """Say whether the schema is the one this version of Concord needs."""
    from concord.adapters.sql import schema

    schema.check(here().engine)
    if json:
        emit({"version": schema.newest()})
    else:
        say(f"The database is at version {schema.newest()}, as this Concord needs it.")


def _patiently(work: Callable[[], T], seconds: int) -> T:
    """Do it as soon as the database answers. Raises DatabaseDownError where it does not in time."""
    from concord.adapters import notify

    end = time.monotonic() + seconds
    told = False
    while True:
        try:
            return work()
        except DatabaseDownError as error:
            if time.monotonic() >= end:
                raise
            notify.status(f"waiting for the database: {english.explain(error)}")
            if not told:
                warn(f"{english.explain(error)}. Waiting up to {seconds} s for it.")
            told = True
        time.sleep(_BETWEEN_TRIES)
