"""Which archive is this database's: an id in `meta`, beside the marker in the archive itself."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Engine, select, update

from concord.adapters.sql.engine import reading, transaction
from concord.adapters.sql.tables import messages, meta
from concord.adapters.sql.upsert import insert_for
from concord.ports import ArchiveName

_KEY: Final = "archive_id"
_PENDING: Final = "pending "
# Half of them the newest, half the oldest: an archive that holds one of these is no empty mount point.
_SAMPLE: Final = 20


class SqlArchiveRegistry:
    """Keeps `ports.ArchiveRegistry`."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def load(self) -> ArchiveName | None:
        with reading(self._engine) as connection:
            value = connection.execute(select(meta.c.value).where(meta.c.key == _KEY)).scalar_one_or_none()
        if value is None:
            return None
        return ArchiveName(id=value.removeprefix(_PENDING), pending=value.startswith(_PENDING))

    def propose(self, archive_id: str) -> ArchiveName:
        with transaction(self._engine) as connection:
            put = insert_for(connection, meta).values(key=_KEY, value=f"{_PENDING}{archive_id}")
            connection.execute(put.on_conflict_do_nothing())
        return self.load() or ArchiveName(id=archive_id, pending=True)

    def confirm(self, archive_id: str) -> None:
        proposed = (meta.c.key == _KEY) & (meta.c.value == f"{_PENDING}{archive_id}")
        with transaction(self._engine) as connection:
            connection.execute(update(meta).where(proposed).values(value=archive_id))

    def adopt(self, archive_id: str) -> None:
        with transaction(self._engine) as connection:
            put = insert_for(connection, meta).values(key=_KEY, value=archive_id)
            connection.execute(put.on_conflict_do_update(index_elements=[meta.c.key], set_={"value": archive_id}))

    def sample_keys(self) -> list[str]:
        known = select(messages.c.archive_key).where(messages.c.archive_key.is_not(None)).limit(_SAMPLE // 2)
        with reading(self._engine) as connection:
            newest = connection.execute(known.order_by(messages.c.id.desc())).scalars().all()
            oldest = connection.execute(known.order_by(messages.c.id)).scalars().all()
        return list(dict.fromkeys(key for key in (*newest, *oldest) if key is not None))
