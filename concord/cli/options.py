"""Options that many commands share, and what people may write in them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import typer

from concord.errors import ConcordError, UsageError

_AGO: Final = re.compile(r"(\d{1,6})\s*([smhdw])")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def account_names(incomplete: str) -> list[str]:
    """For shell completion; without a usable configuration there is nothing to offer."""
    from concord.adapters.sql.accounts import SqlAccounts
    from concord.adapters.sql.engine import make_engine
    from concord.settings import load

    try:
        accounts = SqlAccounts(make_engine(load().database), lambda: datetime.now(UTC)).all()
    except ConcordError:
        return []
    return [account.name for account in accounts if account.name.startswith(incomplete)]


Json = Annotated[bool, typer.Option("--json", help="Answer with one JSON document; times are in UTC.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=10_000, help="At most so many, the newest.")]
Before = Annotated[
    int | None, typer.Option("--before", min=1, help="Only older ones than this id: the last of the page before.")
]
AccountName = Annotated[str, typer.Argument(metavar="NAME", help="The account.", autocompletion=account_names)]
OfAccount = Annotated[
    str | None, typer.Option("--account", metavar="NAME", help="Only this account's.", autocompletion=account_names)
]
Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="From then on: 2026-01-31, 2026-01-31T09:30, or 2h (ago).")
]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Before then, written as --since.")]


def moment(text: str | None, option: str) -> datetime | None:
    """A time as people write it: ISO 8601 (on this machine's clock unless it names a zone), or so long ago."""
    if text is None:
        return None
    if ago := _AGO.fullmatch(text.strip().lower()):
        return datetime.now(UTC) - timedelta(seconds=int(ago[1]) * _UNITS[ago[2]])
    try:
        # A time without a zone is meant on this machine's clock.
        return datetime.fromisoformat(text.strip()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise UsageError("time", option=option, value=text) from None


def window(since: str | None, until: str | None) -> tuple[datetime | None, datetime | None]:
    """Both ends; the second must come after the first."""
    begin, end = moment(since, "--since"), moment(until, "--until")
    if begin and end and begin >= end:
        raise UsageError("time_span", since=since, until=until)
    return begin, end
