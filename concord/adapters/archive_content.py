"""What every archive asks of what it is given: keys that are safe as paths, octets that are what they claim to be."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Protocol
from uuid import uuid4

import structlog

from concord.errors import ArchiveDamagedError, ArchiveDownError, ArchiveMissingError
from concord.ports import Blob, Stored

log = structlog.get_logger(__name__)

PIECE = 1024 * 1024
# What lay under a key and was not what the key names. Kept: a person may still read something in it.
DAMAGED = "damaged"
# So much of a digest at the end of a name is enough to say what the content must be (events' documents have 16).
_NAMED = 16
_MOST_PROBED = 32 * 1024 * 1024
_KEY = re.compile(r"[A-Za-z0-9._-]+(?:/[A-Za-z0-9._-]+)*")


class Store(Protocol):
    """A place for bytes: an archive, but for the question whose it is. `place` is for an operator."""

    @property
    def place(self) -> str: ...

    def put(self, blobs: Sequence[Blob]) -> None: ...

    def repair(self, blob: Blob) -> None: ...

    def read(self, key: str, *, sha256: str | None = None) -> bytes: ...

    def open(self, key: str) -> BinaryIO: ...

    def stat(self, key: str) -> Stored | None: ...

    def delete(self, key: str) -> None: ...

    def keys(self, prefix: str = "") -> Iterator[str]: ...

    def check(self, octets: int = 0) -> None: ...


def checked_key(key: str) -> str:
    """The key itself. A key that could leave the archive is a mistake of ours, hence ValueError."""
    if not _KEY.fullmatch(key) or not {".", ".."}.isdisjoint(key.split("/")):
        raise ValueError(f"not an archive key: {key!r}")
    return key


def names_content(key: str, sha256: str) -> bool:
    """Whether the key itself says that this is the content: another content under it is damage."""
    return sha256[:_NAMED] in key.rpartition("/")[2]


def damaged_key(key: str, sha256: str) -> str:
    """Where to set aside what lay under `key` with this digest."""
    return f"{DAMAGED}/{key}.{sha256[:_NAMED]}"


def checked_prefix(prefix: str) -> str:
    """The beginning of a key, itself. Raises ValueError where no key begins so."""
    # Whatever part of a key stands here, one more letter makes it a whole one; "a/.." is none even so.
    if prefix:
        checked_key(f"{prefix}x" if prefix.endswith("/") else prefix)
    return prefix


def report_repair(key: str, aside: str | None) -> None:
    """Say it once, where an operator reads: one damaged object seldom comes alone."""
    log.error("archive.repaired", key=key, set_aside=aside)


def checked_batch(blobs: Sequence[Blob]) -> list[Blob]:
    """Each key once. Raises ArchiveDamagedError where one key is given two contents."""
    batch: dict[str, Blob] = {}
    for blob in blobs:
        if batch.setdefault(checked_key(blob.key), blob).sha256 != blob.sha256:
            raise ArchiveDamagedError("two_contents", key=blob.key)
    return list(batch.values())


def pieces(content: bytes | Path) -> Iterator[bytes]:
    """The octets, at most PIECE at a time."""
    if isinstance(content, bytes):
        yield from (content[start : start + PIECE] for start in range(0, len(content), PIECE))
        return
    with content.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


def verified(blob: Blob) -> Iterator[bytes]:
    """The octets of a blob; after the last, ArchiveDamagedError where length or SHA-256 are not as the blob says."""
    digest, size = hashlib.sha256(), 0
    for piece in pieces(blob.content):
        digest.update(piece)
        size += len(piece)
        yield piece
    if size != blob.size or digest.hexdigest() != blob.sha256:
        raise ArchiveDamagedError(
            "not_announced",
            key=blob.key,
            size=size,
            announced_size=blob.size,
            sha256=digest.hexdigest(),
            announced_sha256=blob.sha256,
        )


def check_read(key: str, content: bytes, sha256: str | None) -> bytes:
    """The content itself. Raises ArchiveDamagedError where it is not what was stored."""
    if sha256 is not None and (found := hashlib.sha256(content).hexdigest()) != sha256:
        raise ArchiveDamagedError("object", key=key, sha256=found, expected_sha256=sha256)
    return content


def other_content(key: str) -> ArchiveDamagedError:
    """What to raise where a key that does not name its content is taken: the archive is written once."""
    return ArchiveDamagedError("other_bytes", key=key)


def probe(archive: Store, octets: int = 0) -> None:
    """Write, read back and remove an object. Raises ArchiveDownError where that does not work.

    After a write that failed it is as big as what was written then: a disk that is nearly full takes a few octets.
    """
    content = uuid4().hex.encode().ljust(min(octets, _MOST_PROBED), b"\0")
    digest = hashlib.sha256(content).hexdigest()
    key = f"probe/{digest}"
    try:
        archive.put([Blob(key=key, sha256=digest, size=len(content), content=content)])
        archive.read(key, sha256=digest)
        archive.delete(key)
        left = archive.stat(key)
    except (ArchiveDamagedError, ArchiveMissingError) as error:
        raise ArchiveDownError("not_given_back", key=key) from error
    if left is not None:
        raise ArchiveDownError("not_removed", key=key)
