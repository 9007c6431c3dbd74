"""The archive as the pipeline meets it: proven to be the right one, and left alone for a while when it is away."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import BinaryIO, Final

import structlog

from concord.adapters.archive_content import Store, checked_prefix
from concord.adapters.archive_identity import MARKER, ArchiveIdentity
from concord.errors import ArchiveDownError, ArchiveMissingError
from concord.ports import ArchiveRegistry, Blob, Stored

log = structlog.get_logger(__name__)

# How often an archive that is away is probed. Polls in between are refused with what the last probe met.
PAUSE: Final = 10.0
# For how long a bucket's marker counts as seen: nobody unmounts a bucket, and every look costs a request.
BUCKET_SECONDS: Final = 60.0


class GuardedArchive:
    """Keeps `ports.Archive` on top of a store.

    A disk may be unmounted at any moment, so a directory's marker is read for every batch (`fresh` 0: some 30 µs). A
    bucket's is read once in `fresh` seconds.
    """

    def __init__(
        self,
        store: Store,
        registry: ArchiveRegistry,
        *,
        fresh: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.identity = ArchiveIdentity(store, registry, fresh=fresh, clock=clock)
        self._store = store
        self._breaker = _Breaker(self.check, clock)

    @property
    def place(self) -> str:
        """Where it is: a directory, or bucket and prefix."""
        return self._store.place

    def put(self, blobs: Sequence[Blob]) -> None:
        with self._breaker.watching(octets=sum(blob.size for blob in blobs)):
            self.identity.verify()
            self._store.put(blobs)
            # What was written while the disk went away lies under its mount point, and is not archived.
            self.identity.verify()

    def repair(self, blob: Blob) -> None:
        with self._breaker.watching(octets=blob.size):
            self.identity.verify()
            self._store.repair(blob)
            self.identity.verify()

    def read(self, key: str, *, sha256: str | None = None) -> bytes:
        with self._reading():
            return self._store.read(key, sha256=sha256)

    def open(self, key: str) -> BinaryIO:
        with self._reading():
            return self._store.open(key)

    def stat(self, key: str) -> Stored | None:
        with self._breaker.watching():
            self.identity.verify()
            found = self._store.stat(key)
            if found is None:
                self.identity.verify(now=True)
            return found

    def delete(self, key: str) -> None:
        with self._breaker.watching():
            self.identity.verify()
            self._store.delete(key)

    def keys(self, prefix: str = "") -> Iterator[str]:
        checked_prefix(prefix)
        with self._breaker.watching():
            self.identity.verify()
            yield from (key for key in self._store.keys(prefix) if key != MARKER)

    def check(self, octets: int = 0) -> None:
        self.identity.verify(now=True)
        self._store.check(octets)

    def require(self) -> None:
        self._breaker.require()
        with self._breaker.watching():
            self.identity.verify()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """An object is only missing where the archive is the right one."""
        with self._breaker.watching():
            self.identity.verify()
            try:
                yield
            except ArchiveMissingError:
                self.identity.verify(now=True)
                raise


class _Breaker:
    """Opened by a call that found the archive away, closed by a probe. One thread probes; the others are refused."""

    def __init__(self, probe: Callable[[int], None], clock: Callable[[], float]) -> None:
        self._probe = probe
        self._clock = clock
        self._probing = Lock()
        self._error: ArchiveDownError | None = None
        self._octets = 0  # of the write that failed: the probe is as big
        self._next = 0.0  # when to probe

    @contextmanager
    def watching(self, octets: int = 0) -> Iterator[None]:
        """A call on the archive; where it finds the archive away, the next poll probes first."""
        try:
            yield
        except ArchiveDownError as error:
            if self._error is None:
                log.warning("archive.down", error=error)
                self._next = self._clock()
            self._error, self._octets = error, max(octets, self._octets)
            raise

    def require(self) -> None:
        """Raise what was met last, or probe where it is time."""
        met = self._error
        if met is None:
            return
        if self._clock() < self._next or not self._probing.acquire(blocking=False):
            raise _again(met)
        try:
            self._probe(self._octets)
        except ArchiveDownError as error:
            self._error = error
            raise
        else:
            self._error, self._octets = None, 0
            log.info("archive.up")
        finally:
            self._next = self._clock() + PAUSE
            self._probing.release()


def _again(error: ArchiveDownError) -> ArchiveDownError:
    """A fresh one: an exception that threads raise together grows a traceback without end."""
    return error.recast(type(error))
