"""The key ring in the database: the newest rotation, wrapped keys, and what each daemon reports."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Engine, Row, delete, insert, select, update

from concord.adapters.sql.engine import reading, transaction
from concord.adapters.sql.key_tables import key_reports, key_ring, key_rotations
from concord.adapters.sql.tables import meta
from concord.adapters.sql.upsert import insert_for
from concord.errors import SchemaError
from concord.model.key_ring import KNOWN, KeyReport, KeyRing, KeyRotation, Link, Phase, WrappedKey
from concord.ports import Clock

CHECK_KEY: Final = "vault_check"  # in the table meta
_ONLY: Final = 1  # the key of the one row of key_rotations


class SqlKeyRing:
    """Reads and writes it."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock

    def read(self) -> KeyRing:
        """As it is now; empty on a schema that has none yet."""
        try:
            with reading(self._engine) as connection:
                rotation = connection.execute(select(key_rotations)).one_or_none()
                keys = connection.execute(select(key_ring).order_by(key_ring.c.created_at)).all()
                check = connection.execute(select(meta.c.value).where(meta.c.key == CHECK_KEY)).scalar_one_or_none()
        except SchemaError:
            return KeyRing()
        return KeyRing(
            rotation=_rotation_of(rotation) if rotation else None,
            keys=tuple(map(_key_of, keys)),
            check=check.encode() if check else None,
        )

    def offer(self, *keys: WrappedKey) -> KeyRotation:
        """Begin a rotation to the `next` key among these, unless one is under way; the rotation that is under way."""
        new = next(key for key in keys if key.link is Link.NEXT)
        row = {"new": new.fingerprint, "old": new.wrapped_by, "phase": Phase.OFFERED.value, "begun_at": self._clock()}
        with transaction(self._engine) as connection:
            put = insert_for(connection, key_rotations).values(id=_ONLY, **row)
            put = put.on_conflict_do_update(
                index_elements=[key_rotations.c.id], set_=row, where=key_rotations.c.phase == Phase.DONE.value
            )
            if connection.execute(put.returning(key_rotations.c.id)).scalar_one_or_none():
                connection.execute(insert(key_ring), [_row_of(key) for key in keys])
            return _rotation_of(connection.execute(select(key_rotations)).one())

    def advance(self, rotation: KeyRotation, phase: Phase) -> None:
        """On to the next phase. Nothing changes where another run is further already."""
        before = {Phase.SEALING: Phase.OFFERED, Phase.DONE: Phase.SEALING}[phase]
        same = (key_rotations.c.new == rotation.new) & (key_rotations.c.phase == before.value)
        with transaction(self._engine) as connection:
            connection.execute(update(key_rotations).where(same).values(phase=phase.value))

    def drop(self, keys: Iterable[WrappedKey]) -> None:
        """Remove these, and no others that came meanwhile."""
        with transaction(self._engine) as connection:
            for key in keys:
                same = (key_ring.c.fingerprint == key.fingerprint) & (key_ring.c.wrapped_by == key.wrapped_by)
                connection.execute(delete(key_ring).where(same))

    def clear(self) -> None:
        """Forget every rotation: its keys are lost."""
        with transaction(self._engine) as connection:
            connection.execute(delete(key_ring))
            connection.execute(delete(key_rotations))

    # What daemons report.

    def report(self, report: KeyReport) -> None:
        """Keep it in place of the daemon's former one."""
        said = {
            "own": " ".join(sorted(report.own)),
            "opens": " ".join(sorted(report.opens)),
            "trouble": report.trouble,
            "seen_at": report.seen_at,
        }
        with transaction(self._engine) as connection:
            put = insert_for(connection, key_reports).values(daemon=report.daemon, **said)
            connection.execute(put.on_conflict_do_update(index_elements=[key_reports.c.daemon], set_=said))
            connection.execute(delete(key_reports).where(key_reports.c.seen_at < report.seen_at - KNOWN))

    def reports(self) -> list[KeyReport]:
        """Of all daemons that were heard of, by name."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(key_reports).order_by(key_reports.c.daemon)).all()
        return [
            KeyReport(
                daemon=row.daemon,
                own=frozenset(row.own.split()),
                opens=frozenset(row.opens.split()),
                trouble=row.trouble,
                seen_at=row.seen_at,
            )
            for row in rows
        ]


def _rotation_of(row: Row[Any]) -> KeyRotation:
    return KeyRotation(new=row.new, old=row.old, phase=Phase(row.phase), begun_at=row.begun_at)


def _key_of(row: Row[Any]) -> WrappedKey:
    return WrappedKey(
        fingerprint=row.fingerprint,
        wrapped_by=row.wrapped_by,
        link=Link(row.link),
        sealed=row.sealed,
        created_at=row.created_at,
    )


def _row_of(key: WrappedKey) -> dict[str, Any]:
    return {
        "fingerprint": key.fingerprint,
        "wrapped_by": key.wrapped_by,
        "link": key.link.value,
        "sealed": key.sealed,
        "created_at": key.created_at,
    }
