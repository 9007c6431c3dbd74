"""Whose archive it is: looking at what lies at the configured place, and using it on purpose (P4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from concord.auditing import audited
from concord.errors import WrongArchiveError
from concord.model.caller import Caller

if TYPE_CHECKING:
    from concord.bootstrap import Concord


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveFacts:
    """What lies at the configured place, and how much of a sample of the ledger's messages is there."""

    place: str
    marker: str | None  # the archive's id; None: no marker, empty: one that cannot be understood
    expected: str | None  # the id that the database knows
    found: int
    sampled: int
    ours: bool


def look(parts: Concord) -> ArchiveFacts:
    """Look, and change nothing. Raises ArchiveDownError where it cannot be read."""
    identity, name = parts.archive.identity, parts.archive_registry.load()
    marker, expected = identity.marker(), None if name is None else name.id
    found, sampled = identity.count_known()
    return ArchiveFacts(
        place=parts.archive.place,
        marker=marker,
        expected=expected,
        found=found,
        sampled=sampled,
        ours=marker is not None and marker == expected,
    )


def check(parts: Concord) -> ArchiveFacts:
    """Prove that it is the database's own and takes and gives. Raises WrongArchiveError, ArchiveDownError."""
    parts.archive.check()
    return look(parts)


def adopt(parts: Concord, *, even_lacking: bool = False, by: Caller) -> ArchiveFacts:
    """Use what lies there from now on, whatever was used before.

    Raises WrongArchiveError where it has nothing of what the ledger knows, unless `even_lacking`.
    """
    with audited(parts.audit, by, "archive.adopt", parts.archive.place) as note:
        facts = look(parts)
        if facts.sampled and not facts.found and not even_lacking:
            raise WrongArchiveError("nothing_known.adopting", place=facts.place, sampled=facts.sampled)
        note.detail = f"id {parts.archive.identity.adopt()}"
        parts.archive.check()
        return look(parts)
