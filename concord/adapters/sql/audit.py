"""The audit on SQL: rows are added, never changed."""

from __future__ import annotations

from sqlalchemy import Engine, insert, select

from concord.adapters.sql.engine import reading, transaction
from concord.adapters.sql.lists import narrow
from concord.adapters.sql.tables import audit
from concord.ports import AuditEntry


class SqlAudit:
    """Keeps `ports.Audit`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, entry: AuditEntry) -> None:
        row = {
            "at": entry.at,
            "actor": entry.actor,
            "via": entry.via,
            "address": entry.address,
            "action": entry.action,
            "subject": entry.subject,
            "outcome": entry.outcome,
            "detail": entry.detail,
        }
        with transaction(self._engine) as connection:
            connection.execute(insert(audit).values(row))

    def entries(self, *, limit: int = 100, before: int | None = None) -> list[AuditEntry]:
        wanted = narrow(select(audit), (lambda value: audit.c.id < value, before))
        with reading(self._engine) as connection:
            rows = connection.execute(wanted.order_by(audit.c.id.desc()).limit(limit)).mappings().all()
        return [AuditEntry(**row) for row in rows]
