"""The audit: who asked for what, and what became of it. Each row is tied to the one before it by a hash.

A row's hash is SHA-256, in hexadecimal, of the former row's hash (none before the first row), a line end, and the row
as JSON in UTF-8: the keys of `canonical`, sorted, without spaces. So nobody can change a row, take one away or put one
in between without every later hash being wrong. The newest row's number and hash are kept apart: a cut end shows too.

What the chain alone cannot show: whoever may write to the database can make all of it anew. So the daemons also log
the number and hash of each row they write, and an export has them: a hash noted elsewhere must still be in the chain.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """Somebody asked for something."""

    id: int = 0  # given by the database
    at: datetime
    actor: str  # root, concord, alice
    via: str  # cli, admin, api
    address: str = ""  # where the browser or program was; empty at the command line
    action: str  # service.start
    subject: str  # worker@mail
    outcome: str  # done, refused, failed
    detail: str = ""
    hash: str | None = None  # given by the database: the chain's link


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """What a list of rows is narrowed to; None means any."""

    actor: str | None = None
    via: str | None = None
    action: str | None = None  # account.add, or account for all that is done to accounts
    subject: str | None = None
    outcome: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None  # an id: keyset pagination, newest first
    after: int | None = None  # an id: those next to it that are newer, newest first all the same
    limit: int = 100


EVERYTHING: Final = AuditFilter()


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditMark:
    """The newest row, as it is remembered apart from the rows."""

    id: int = 0
    hash: str = ""


class Breach(StrEnum):
    """How a chain can be broken."""

    UNTIED = "untied"  # this row, or one just before it, was changed, added or taken away
    CUT = "cut"  # the newest rows are gone
    ADDED = "added"  # rows were added behind the newest that Concord wrote
    UNMARKED = "unmarked"  # which row is the newest is not remembered any more
    FORGOTTEN = "forgotten"  # a hash that was noted elsewhere is not there any more: the chain was made anew


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditVerdict:
    """What looking at the whole chain found. Without a breach, `newest` is worth noting elsewhere."""

    rows: int  # that are as they were written
    newest: AuditMark
    breach: Breach | None = None
    at: int | None = None  # the first row that is wrong, or the first one missing


def canonical(entry: AuditEntry) -> dict[str, str | int]:
    """What the hash is made of."""
    return {
        "id": entry.id,
        "at": entry.at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        "actor": entry.actor,
        "via": entry.via,
        "address": entry.address,
        "action": entry.action,
        "subject": entry.subject,
        "outcome": entry.outcome,
        "detail": entry.detail,
    }


def link(former: str, entry: AuditEntry) -> str:
    """The hash of a row that follows the one with the hash `former`."""
    text = json.dumps(canonical(entry), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(f"{former}\n{text}".encode()).hexdigest()


def judge(rows: Iterable[AuditEntry], mark: AuditMark | None, *, noted: AuditMark | None = None) -> AuditVerdict:
    """Look at all rows, the oldest first, up to the first that is wrong. `noted` is what was written down elsewhere."""
    last, count, found = AuditMark(), 0, noted is None
    for entry in rows:
        if mark is not None and last.id >= mark.id:
            return AuditVerdict(rows=count, newest=last, breach=Breach.ADDED, at=entry.id)
        if entry.hash != link(last.hash, entry):
            return AuditVerdict(rows=count, newest=last, breach=Breach.UNTIED, at=entry.id)
        last, count = AuditMark(id=entry.id, hash=entry.hash), count + 1
        found = found or last == noted
    if mark is None:
        return AuditVerdict(rows=count, newest=last, breach=Breach.UNMARKED)
    if last != mark:
        return AuditVerdict(rows=count, newest=last, breach=Breach.CUT, at=last.id + 1)
    if not found:
        return AuditVerdict(rows=count, newest=last, breach=Breach.FORGOTTEN, at=noted.id if noted else None)
    return AuditVerdict(rows=count, newest=last)
