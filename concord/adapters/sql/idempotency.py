"""Idempotency keys: what a call answered, so that its repetition answers the same and does nothing.

After the IETF draft "The Idempotency-Key HTTP Header Field".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from sqlalchemy import Engine, delete, select, update

from concord.adapters.sql.engine import transaction
from concord.adapters.sql.identity_tables import idempotency_keys
from concord.adapters.sql.upsert import insert_for
from concord.ports import Clock

KEPT: Final = timedelta(hours=24)
# A call that began so long ago and never answered died with its process.
_ABANDONED: Final = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswer:
    """What the first call answered; `status` is None while it is under way."""

    fingerprint: str
    status: int | None
    headers: Mapping[str, str]
    body: bytes


class SqlIdempotencyKeys:
    """Keeps answers for a day."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def claim(self, owner: str, key: str, fingerprint: str) -> KeptAnswer | None:
        """None: it is ours to do. Else what is known of the first call with that key."""
        now = self._clock()
        table = idempotency_keys
        abandoned = table.c.status.is_(None) & (table.c.created_at < now - _ABANDONED)
        with transaction(self._engine) as connection:
            connection.execute(delete(table).where((table.c.created_at < now - KEPT) | abandoned))
            row = {"owner": owner, "key": key, "fingerprint": fingerprint, "headers": {}, "body": b""}
            put = insert_for(connection, table).values(**row, created_at=now)
            if connection.execute(put.on_conflict_do_nothing()).rowcount == 1:
                return None
            kept = connection.execute(select(table).where(table.c.owner == owner, table.c.key == key)).one()
        return KeptAnswer(fingerprint=kept.fingerprint, status=kept.status, headers=kept.headers, body=kept.body)

    def keep(self, owner: str, key: str, *, status: int, headers: Mapping[str, str], body: bytes) -> None:
        """Remember what it answered."""
        here = (idempotency_keys.c.owner == owner) & (idempotency_keys.c.key == key)
        with transaction(self._engine) as connection:
            connection.execute(
                update(idempotency_keys).where(here).values(status=status, headers=dict(headers), body=body)
            )

    def release(self, owner: str, key: str) -> None:
        """Nothing was done: the next call with this key may do it."""
        here = (idempotency_keys.c.owner == owner) & (idempotency_keys.c.key == key)
        with transaction(self._engine) as connection:
            connection.execute(delete(idempotency_keys).where(here))
