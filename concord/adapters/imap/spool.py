"""Big mails on their way to the archive: one file each, kept over a poll's end so that the next one goes on there.

A part is found again by what names its mail: account, folder, UIDVALIDITY and UID. Before it is continued its octets
are verified (SHA-256, the size that the server announces, and both ends read again from the server).
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, Final

from concord.errors import SpoolDownError

# A mail that is not asked for again within this time has vanished from the server, or its account has.
EXPIRY_SECONDS: Final = 3 * 24 * 3600
# How much of what is kept already is read again from the server before the rest.
OVERLAP_OCTETS: Final = 4096
_TIDY_SECONDS: Final = 600
_READ: Final = 1024 * 1024


class Spool:
    """A directory of parts, used by all threads and processes of a host."""

    def __init__(self, directory: Path, *, most: int) -> None:
        self._directory = directory
        self._most = most  # octets kept between polls
        self._tidied = float("-inf")
        self._lock = threading.Lock()

    @contextmanager
    def part(self, key: str) -> Iterator[Part]:
        """The file of one mail; removed at the end unless `keep` was called. Raises SpoolDownError."""
        with _translated(self._directory):
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._tidy()
            part = Part(self._directory, hashlib.sha256(key.encode()).hexdigest()[:40], most=self._most)
        try:
            yield part
        finally:
            part.close()

    def _tidy(self) -> None:
        """Remove what nobody came back for, and the oldest where more is kept than allowed."""
        with self._lock:
            if time.monotonic() - self._tidied < _TIDY_SECONDS:
                return
            self._tidied = time.monotonic()
        kept = 0
        for path, found in sorted(_parts(self._directory), key=lambda item: item[1].st_mtime, reverse=True):
            kept += found.st_size
            if kept > self._most or time.time() - found.st_mtime > EXPIRY_SECONDS:
                _remove_idle(path)


class Part:
    """One mail's octets so far, in a file that only this holder writes."""

    def __init__(self, directory: Path, name: str, *, most: int) -> None:
        self.path = directory / f"{name}.part"
        self.length = 0
        self.overlap = b""  # what must come again from the server before the rest
        self._note = directory / f"{name}.json"
        self._most = most
        self._digest = hashlib.sha256()
        self._is_kept = False
        self._file = _opened(self.path)
        self._is_shared = not (_locked(self._file) and _is_at(self._file, self.path))
        if self._is_shared:
            # Another process has this mail in hand (its lease has lapsed): this one works beside it, and keeps nothing.
            self._file.close()
            self.path = directory / f"{name}-{os.getpid()}-{threading.get_ident()}.part"
            self._file = _opened(self.path)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def resume(self, size: int | None, head: bytes) -> bool:
        """Go on where an earlier poll stopped, if what it left is of a mail of this size that begins so."""
        with _translated(self.path):
            known = {} if self._is_shared else _read_note(self._note)
            length = known.get("length")
            if size is None or known.get("size") != size:
                return False
            if not isinstance(length, int) or not len(head) <= length <= size:
                return False
            digest, tail = self._measured(length, head)
            if digest is None or digest.hexdigest() != known.get("sha256"):
                return False
            self._file.truncate(length)
            self._file.seek(length)
            self._digest, self.length, self.overlap = digest, length, tail
            return True

    def restart(self) -> None:
        """Forget all that is there."""
        with _translated(self.path):
            self._file.seek(0)
            self._file.truncate()
            self._digest, self.length, self.overlap = hashlib.sha256(), 0, b""

    def write(self, octets: bytes) -> None:
        """Append, and flush, so that a reader of the path sees it."""
        with _translated(self.path):
            self._file.write(octets)
            self._file.flush()
        self._digest.update(octets)
        self.length += len(octets)

    def keep(self, size: int | None) -> int:
        """Leave this for the next poll; how many octets that saves. Nothing is kept of a mail of unknown size."""
        if self._is_shared or size is None or self.length > self._most:
            return 0
        note = {"length": self.length, "size": size, "sha256": self.sha256}
        with _translated(self.path):
            os.fsync(self._file.fileno())
            fresh = self._note.with_suffix(".new")
            fresh.write_text(json.dumps(note))
            fresh.replace(self._note)
        self._is_kept = True
        return self.length

    def close(self) -> None:
        """End; the file goes unless it is kept."""
        with suppress(OSError):
            if not self._is_kept:
                self.path.unlink(missing_ok=True)
                if not self._is_shared:
                    self._note.unlink(missing_ok=True)
        with suppress(OSError):
            self._file.close()

    def _measured(self, length: int, head: bytes) -> tuple[Any, bytes]:
        """The digest of so many octets and the last of them; no digest where they begin otherwise or are not there."""
        digest, left = hashlib.sha256(), length
        self._file.seek(0)
        if self._file.read(len(head)) != head:
            return None, b""
        self._file.seek(0)
        while left:
            octets = self._file.read(min(left, _READ))
            if not octets:
                return None, b""
            digest.update(octets)
            left -= len(octets)
        overlap = min(OVERLAP_OCTETS, length)
        self._file.seek(length - overlap)
        return digest, self._file.read(overlap)


def _opened(path: Path) -> IO[bytes]:
    return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600), "r+b")


def _locked(file: IO[bytes]) -> bool:
    try:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(file: IO[bytes], path: Path) -> bool:
    """Whether the path still leads to this file: its last holder may have removed it before the lock was free."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _parts(directory: Path) -> Iterator[tuple[Path, os.stat_result]]:
    for path in directory.glob("*.part"):
        with suppress(FileNotFoundError):
            yield path, path.stat()


def _remove_idle(path: Path) -> None:
    with suppress(FileNotFoundError), _opened(path) as file:
        if _locked(file):
            path.unlink()
            path.with_suffix(".json").unlink(missing_ok=True)


def _read_note(path: Path) -> dict[str, Any]:
    try:
        note = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return note if isinstance(note, dict) else {}


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SpoolDownError(path=path, cause=error.strerror) from error
