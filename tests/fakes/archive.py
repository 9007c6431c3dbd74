"""An archive in memory that keeps the promises of `ports.Archive`, with knobs for what can go wrong."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import BinaryIO

from concord.adapters.archive_content import (
    check_read,
    checked_batch,
    checked_key,
    checked_prefix,
    damaged_key,
    names_content,
    other_content,
    verified,
)
from concord.errors import ArchiveDownError, ArchiveMissingError
from concord.ports import ArchiveName, Blob, Stored


class MemoryArchive:
    """`down` makes every call fail; `puts` counts the objects really written; `damage` spoils what is stored."""

    place = "memory"

    def __init__(self) -> None:
        self.down = False
        self.required = 0  # how often somebody asked whether it is there
        self.puts = 0
        self.objects: dict[str, bytes] = {}
        self._written: dict[str, datetime] = {}

    def put(self, blobs: Sequence[Blob]) -> None:
        self._answer()
        contents = {blob.key: b"".join(verified(blob)) for blob in checked_batch(blobs)}
        digests = {blob.key: blob.sha256 for blob in blobs}
        damaged = {key for key, content in contents.items() if self.objects.get(key, content) != content}
        for key in damaged:
            if not names_content(key, digests[key]):
                raise other_content(key)
        for key in damaged:
            was = self.objects.pop(key)
            self.objects[damaged_key(key, hashlib.sha256(was).hexdigest())] = was
        fresh = {key: content for key, content in contents.items() if key not in self.objects}
        self.objects.update(fresh)
        self._written.update(dict.fromkeys(fresh, datetime.now(UTC)))
        self.puts += len(fresh)

    def repair(self, blob: Blob) -> None:
        self.put([blob])

    def read(self, key: str, *, sha256: str | None = None) -> bytes:
        self._answer()
        if checked_key(key) not in self.objects:
            raise ArchiveMissingError("object", key=key)
        return check_read(key, self.objects[key], sha256)

    def open(self, key: str) -> BinaryIO:
        return io.BytesIO(self.read(key))

    def stat(self, key: str) -> Stored | None:
        self._answer()
        if checked_key(key) not in self.objects:
            return None
        return Stored(key=key, size=len(self.objects[key]), modified_at=self._written[key])

    def delete(self, key: str) -> None:
        self._answer()
        self.objects.pop(checked_key(key), None)

    def keys(self, prefix: str = "") -> Iterator[str]:
        self._answer()
        yield from [key for key in self.objects if key.startswith(checked_prefix(prefix))]

    def check(self, octets: int = 0) -> None:
        del octets
        self._answer()

    def require(self) -> None:
        self.required += 1
        self._answer()

    def damage(self, key: str) -> None:
        """Change a stored object behind the archive's back."""
        self.objects[key] += b"?"

    def lose(self, key: str) -> None:
        """Remove a stored object behind the archive's back."""
        del self.objects[key]

    def _answer(self) -> None:
        if self.down:
            raise ArchiveDownError("io")


class MemoryRegistry:
    """Keeps `ports.ArchiveRegistry`; `keys` are what the ledger knows."""

    def __init__(self, *keys: str) -> None:
        self.name: ArchiveName | None = None
        self.keys = keys

    def load(self) -> ArchiveName | None:
        return self.name

    def propose(self, archive_id: str) -> ArchiveName:
        self.name = self.name or ArchiveName(id=archive_id, pending=True)
        return self.name

    def confirm(self, archive_id: str) -> None:
        if self.name and self.name.id == archive_id:
            self.name = ArchiveName(id=archive_id)

    def adopt(self, archive_id: str) -> None:
        self.name = ArchiveName(id=archive_id)

    def sample_keys(self) -> list[str]:
        return list(self.keys)
