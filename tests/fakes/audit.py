"""The audit in memory."""

from __future__ import annotations

from dataclasses import replace

from concord.errors import DatabaseDownError
from concord.ports import AuditEntry


class MemoryAudit:
    """A list; `down = True` makes it raise as a stopped database does."""

    def __init__(self) -> None:
        self._entries: list[AuditEntry] = []
        self.down = False

    def add(self, entry: AuditEntry) -> None:
        self._refuse_when_down()
        self._entries.append(replace(entry, id=len(self._entries) + 1))

    def entries(self, *, limit: int = 100, before: int | None = None) -> list[AuditEntry]:
        self._refuse_when_down()
        newest_first = reversed(self._entries)
        return [entry for entry in newest_first if before is None or entry.id < before][:limit]

    def _refuse_when_down(self) -> None:
        if self.down:
            raise DatabaseDownError("The database did not do it")
