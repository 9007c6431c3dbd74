"""The archive proves that it is the one this database uses: by a marker in it whose id the database knows too.

An unmounted disk looks like an empty archive, and a wrong bucket like somebody else's. Without the right marker nothing
is read or written, not even a directory made.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final
from uuid import uuid4

import structlog

from concord.adapters.archive_content import Store
from concord.errors import ArchiveDamagedError, ArchiveMissingError, WrongArchiveError
from concord.ports import ArchiveName, ArchiveRegistry, Blob

log = structlog.get_logger(__name__)

MARKER: Final = "concord-archive"
_MARKED: Final = re.compile(r"Concord archive ([0-9a-f]{32})\n.*", re.DOTALL)
_TEXT: Final = "Concord archive {id}\nThis file says whose archive this is. Keep it with the rest.\n"
# What an archive holds; whatever else lies beside it is not Concord's.
_OURS: Final = ("raw/", "parts/", "events/")
# The id in the database changes only by 'concord archive adopt'.
_FRESH_ID: Final = 60.0


class ArchiveIdentity:
    """Compares marker and database. `fresh` is for how many seconds a marker that was seen counts as seen."""

    def __init__(
        self,
        store: Store,
        registry: ArchiveRegistry,
        *,
        fresh: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._registry = registry
        self._fresh = fresh
        self._clock = clock
        self._id: str | None = None
        self._id_read = 0.0
        self._seen: float | None = None  # when the right marker was last seen

    def verify(self, *, now: bool = False) -> None:
        """Raise WrongArchiveError where the marker is not the right one. `now`: whatever was seen lately.

        The first use of a new archive, and of one that is older than markers, gives it its marker.
        """
        if not now and self._seen is not None and self._clock() - self._seen < self._fresh:
            return
        found = self.marker()
        if found is None or found != self._known():
            self._verify_slowly()
        self._seen = self._clock()

    def marker(self) -> str | None:
        """The id in the archive; None where there is none, empty where it cannot be understood."""
        try:
            text = self._store.read(MARKER).decode("utf-8", "replace")
        except ArchiveMissingError:
            return None
        marked = _MARKED.fullmatch(text)
        return marked[1] if marked else ""

    def adopt(self) -> str:
        """Use what lies there from now on; the archive's id. One without a marker gets an id of its own."""
        found = self.marker()
        if not found:
            if found is not None:
                self._store.delete(MARKER)
            found = uuid4().hex
            self._mark(found)
        self._registry.adopt(found)
        self._id = None
        return found

    def count_known(self) -> tuple[int, int]:
        """Of some objects that the ledger knows: how many are there, and how many were looked for."""
        keys = self._registry.sample_keys()
        return sum(self._store.stat(key) is not None for key in keys), len(keys)

    def _known(self) -> str | None:
        """The id of the database, read again now and then."""
        if self._id is None or self._clock() - self._id_read >= _FRESH_ID:
            name = self._registry.load()
            self._id = None if name is None or name.pending else name.id
            self._id_read = self._clock()
        return self._id

    def _verify_slowly(self) -> None:
        """For a first use and for trouble: ask the database again, and then the archive.

        In that order: another process may be writing the marker, and confirms the id only afterwards.
        """
        self._seen = self._id = None
        name = self._registry.load()
        found = self.marker()
        if name is not None and not name.pending:
            if found != name.id:
                raise self._wrong(found, name.id)
            return
        try:
            self._establish(found, name)
        except WrongArchiveError:
            # Another process may have established it meanwhile, and written mail already.
            name = self._registry.load()
            if name is None or name.pending or self.marker() != name.id:
                raise

    def _establish(self, found: str | None, name: ArchiveName | None) -> None:
        """Give the database its archive. Two processes may do so at once: the first one's id counts for both."""
        if name is None or found != name.id:
            self._refuse_strange(found)
        name = self._registry.propose(found or uuid4().hex)
        if found is None:
            with suppress(ArchiveDamagedError):  # another database was faster
                self._mark(name.id)
            found = self.marker()
        if found != name.id:
            raise self._wrong(found, name.id)
        if name.pending:
            self._registry.confirm(name.id)
            log.info("archive.marked", place=self._store.place, archive=name.id)

    def _refuse_strange(self, found: str | None) -> None:
        """A new database and an empty archive fit; so do two that know the same objects. Anything else may be wrong."""
        keys = self._registry.sample_keys()
        if any(self._store.stat(key) is not None for key in keys):
            return
        if keys:
            raise WrongArchiveError("nothing_known", place=self._store.place)
        if found is not None:
            raise self._wrong(found, None)
        if any(next(iter(self._store.keys(prefix)), None) for prefix in _OURS):
            raise WrongArchiveError("unknown_mail", place=self._store.place)

    def _wrong(self, found: str | None, expected: str | None) -> WrongArchiveError:
        facts = {"place": self._store.place, "found": found, "expected": expected}
        if found:
            return WrongArchiveError("other_database", **facts)
        if found is None:
            return WrongArchiveError("no_marker", **facts)
        return WrongArchiveError("marker_unreadable", **facts)

    def _mark(self, archive_id: str) -> None:
        content = _TEXT.format(id=archive_id).encode()
        digest = hashlib.sha256(content).hexdigest()
        self._store.put(
            [Blob(key=MARKER, sha256=digest, size=len(content), content=content, content_type="text/plain")]
        )
