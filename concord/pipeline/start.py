"""Of the mails that are there when a folder is first read, those that the account's start point asks for (P13).

`start: new` asks for each mail whose INTERNALDATE is not earlier than the moment the account was added, whenever the
folder is first read and whenever it was made: mail that came behind a wrong password is new mail.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from concord.model.account import Account, FolderCursor, StartKind, StartPoint
from concord.pipeline.listing import Listing

# The mail server's clock may be behind ours by so much: mail from shortly before the account was added counts as new.
MARGIN: Final = timedelta(minutes=5)
# SEARCH SINCE knows days only, in the server's own time zone: it is asked for some more, and INTERNALDATE decides.
_SLACK: Final = timedelta(days=2)
# The newest are looked at in any case.
_NEWEST: Final = 500


def start_moment(account: Account, now: datetime) -> datetime | None:
    """From which INTERNALDATE on a folder's mail is new; None: the start point does not ask for a moment."""
    return (account.start_at or now) - MARGIN if account.start.kind is StartKind.NEW else None


def asked_for(account: Account, cursor: FolderCursor, listing: Listing, uids: Sequence[int]) -> list[int]:
    """Of these mails, which were there when reading began, those that are ours."""
    if cursor.start_at is not None:
        return since_moment(cursor.start_at, listing, uids)
    start = account.start
    if start.kind is StartKind.NEW:
        return since_moment(cursor.begun_at, listing, uids)
    return since_day(start, listing, uids)


def since_moment(moment: datetime, listing: Listing, uids: Sequence[int]) -> list[int]:
    """Those that are not older. A mail without a date is taken: nothing says that it is old."""
    if not uids:
        return []
    near = listing.since(moment.date() - _SLACK)
    newest = set(uids[-_NEWEST:])
    candidates = [uid for uid in uids if near is None or uid in near or uid in newest]
    dates = listing.dates(candidates)
    return [uid for uid in candidates if uid in dates and not is_older(dates[uid], moment)]


def since_day(start: StartPoint, listing: Listing, uids: Sequence[int]) -> list[int]:
    """Those from that day on, by the server's own calendar."""
    if start.since is None or not uids:
        return list(uids)
    near = listing.since(start.since)
    if near is not None:
        return [uid for uid in uids if uid in near]
    dates = listing.dates(list(uids))
    return [uid for uid in uids if uid in dates and ((at := dates[uid]) is None or at.date() >= start.since)]


def is_older(internal_date: datetime | None, moment: datetime) -> bool:
    """Whether a mail certainly came before that moment."""
    return internal_date is not None and internal_date < moment
