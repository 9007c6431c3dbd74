"""The audit in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from concord.adapters.sql.clean import clean
from concord.errors import DatabaseDownError
from concord.model.audit import EVERYTHING, AuditEntry, AuditFilter, AuditMark, AuditVerdict, judge, link


class MemoryAudit:
    """A list; `down = True` makes it raise as a stopped database does."""

    def __init__(self) -> None:
        self.rows: list[AuditEntry] = []
        self.mark: AuditMark | None = AuditMark()
        self.down = False
        self._given = 0

    def add(self, entry: AuditEntry) -> AuditEntry:
        self._refuse_when_down()
        self._given += 1
        made = replace(entry, id=self._given, actor=clean(entry.actor), address=clean(entry.address))
        made = replace(made, subject=clean(entry.subject), detail=clean(entry.detail))
        made = replace(made, hash=link((self.mark or AuditMark()).hash, made))
        self.rows.append(made)
        self.mark = AuditMark(id=made.id, hash=made.hash or "")
        return made

    def entries(self, narrowed: AuditFilter = EVERYTHING) -> list[AuditEntry]:
        found = list(self.stream(narrowed))
        forward = narrowed.after is not None and narrowed.before is None
        return (found[: narrowed.limit] if forward else found[-narrowed.limit :])[::-1]

    def stream(self, narrowed: AuditFilter = EVERYTHING) -> Iterator[AuditEntry]:
        self._refuse_when_down()
        yield from [one for one in self.rows if _fits(one, narrowed)]

    def verify(self, *, noted: AuditMark | None = None) -> AuditVerdict:
        self._refuse_when_down()
        return judge(self.rows, self.mark, noted=noted)

    def _refuse_when_down(self) -> None:
        if self.down:
            raise DatabaseDownError("refused")


def _fits(entry: AuditEntry, narrowed: AuditFilter) -> bool:
    exact = all(
        getattr(narrowed, name) in (None, getattr(entry, name)) for name in ("actor", "via", "subject", "outcome")
    )
    action = narrowed.action is None or f"{entry.action}.".startswith(f"{narrowed.action.removesuffix('.')}.")
    at = (narrowed.since is None or entry.at >= narrowed.since) and (
        narrowed.until is None or entry.at < narrowed.until
    )
    newer = narrowed.after is None or entry.id > narrowed.after
    older = narrowed.before is None or entry.id < narrowed.before
    return exact and action and at and newer and older
