"""The archive in an S3-compatible object store: Amazon, Alibaba OSS, MinIO, Ceph, OpenStack Swift and their kind."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from typing import TYPE_CHECKING, BinaryIO
from uuid import uuid4

from botocore.exceptions import ClientError

from concord.adapters.archive_content import (
    check_read,
    checked_batch,
    checked_key,
    checked_prefix,
    damaged_key,
    names_content,
    other_content,
    probe,
    report_repair,
)
from concord.adapters.archive_s3_client import THREADS, S3Connection, status_of
from concord.adapters.archive_s3_upload import S3Upload
from concord.errors import ArchiveDownError, ArchiveMissingError
from concord.ports import Blob, Stored
from concord.settings import S3Settings

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer
    from botocore.response import StreamingBody
    from types_boto3_s3.type_defs import CopySourceTypeDef, HeadObjectOutputTypeDef

# Swift and others answer so to `If-None-Match: *`.
_NOT_UNDERSTOOD = {400, 405, 501}


class S3Archive:
    """Objects below `prefix` in one bucket. `sha256` in their metadata says what they are without reading them."""

    def __init__(self, settings: S3Settings) -> None:
        self._bucket = settings.bucket
        self._prefix = f"{settings.prefix.strip('/')}/".removeprefix("/")
        self._part_bytes = settings.multipart_threshold
        self._connection = S3Connection(settings)
        self._guards: bool | None = None

    @property
    def place(self) -> str:
        """Bucket and prefix, as a URL."""
        return f"s3://{self._bucket}/{self._prefix}"

    def put(self, blobs: Sequence[Blob]) -> None:
        batch = checked_batch(blobs)
        if not batch:
            return
        if self._guards is None:
            self._guards = self._guards_objects()
        if len(batch) == 1:
            self._put(batch[0])
            return
        with ThreadPoolExecutor(min(THREADS, len(batch))) as pool:
            running = [pool.submit(self._put, blob) for blob in batch]
            try:
                for each in running:
                    each.result()
            finally:
                pool.shutdown(cancel_futures=True)

    def repair(self, blob: Blob) -> None:
        found = self._head(blob.key)
        digest = self._digest(blob.key) if found else None
        if digest is not None and digest != blob.sha256:
            self._set_aside(blob.key, digest)
        if digest != blob.sha256:
            self._write(blob, guarded=False)

    def read(self, key: str, *, sha256: str | None = None) -> bytes:
        with self.open(key) as stream:
            return check_read(key, stream.read(), sha256)

    def open(self, key: str) -> BinaryIO:
        return self._stream(key)

    def stat(self, key: str) -> Stored | None:
        answer = self._head(key)
        if answer is None:
            return None
        return Stored(key=key, size=answer["ContentLength"], modified_at=answer["LastModified"].astimezone(UTC))

    def delete(self, key: str) -> None:
        name = self._name(key)
        with self._connection.told(key):
            try:
                self._connection.client.delete_object(Bucket=self._bucket, Key=name)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") != "NoSuchKey":
                    raise

    def keys(self, prefix: str = "") -> Iterator[str]:
        beginning = self._prefix + checked_prefix(prefix)
        with self._connection.told():
            pages = self._connection.client.get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=self._bucket, Prefix=beginning):
                yield from (found["Key"].removeprefix(self._prefix) for found in page.get("Contents", []))

    def check(self, octets: int = 0) -> None:
        probe(self, octets)

    def _stream(self, key: str) -> io.BufferedReader:
        name = self._name(key)
        with self._connection.told(key):
            try:
                answer = self._connection.client.get_object(Bucket=self._bucket, Key=name)
            except ClientError as error:
                if error.response.get("Error", {}).get("Code") != "NoSuchKey":
                    raise
                raise ArchiveMissingError("object", key=key, bucket=self._bucket) from None
        return io.BufferedReader(_Stream(self._connection, key, answer["Body"]))

    def _name(self, key: str) -> str:
        return self._prefix + checked_key(key)

    def _head(self, key: str) -> HeadObjectOutputTypeDef | None:
        name = self._name(key)
        client = self._connection.client
        with self._connection.told(key):
            try:
                return client.head_object(Bucket=self._bucket, Key=name)
            except ClientError as error:
                if status_of(error) != 404:  # noqa: PLR2004 - HTTP's best known number
                    raise
            # HEAD has no body to say which is missing, and a missing bucket must not look like a missing mail.
            client.head_bucket(Bucket=self._bucket)
        return None

    def _put(self, blob: Blob) -> None:
        """Write first, ask later: one round trip where the store guards objects against overwriting, else two.

        A store that guards refuses the second write of a key, and only then is asked what it has. One that does not
        is asked before every write (a millisecond of processor time and a round trip more; the threads hide the
        latter), and so is every store before a long upload.
        """
        large = blob.size > self._part_bytes
        if (large or not self._guards) and self._holds(blob):
            return
        if self._write(blob, guarded=bool(self._guards) and not large) or self._holds(blob):
            return
        if not names_content(blob.key, blob.sha256):
            raise ArchiveDownError("contradiction", key=blob.key)
        self._write(blob, guarded=False)

    def _write(self, blob: Blob, *, guarded: bool) -> bool:
        """Bring it into the store; False where the key is taken, if `guarded`."""
        upload = S3Upload(self._connection.client, self._bucket, self._name(blob.key), blob)
        with self._connection.told(blob.key):
            large = blob.size > self._part_bytes
            proven = upload.in_parts(self._part_bytes) if large else upload.at_once(guarded=guarded)
        if proven is False:
            self._read_back(blob)
        return proven is not None

    def _read_back(self, blob: Blob) -> None:
        if self._digest(blob.key) == blob.sha256:
            return
        # Left there, it would be taken for the real one the next time.
        self.delete(blob.key)
        raise ArchiveDownError("not_kept", key=blob.key, bucket=self._bucket)

    def _holds(self, blob: Blob) -> bool:
        """Whether exactly this is stored; damage is set aside, to be overwritten.

        Raises ArchiveDamagedError where something else is stored that may be right.
        """
        found = self._head(blob.key)
        if found is None:
            return False
        # An object brought back by hand may have lost its metadata; then its octets decide.
        digest = found["Metadata"].get("sha256") or self._digest(blob.key)
        if (digest, found["ContentLength"]) == (blob.sha256, blob.size):
            return True
        if not names_content(blob.key, blob.sha256):
            raise other_content(blob.key)
        self._set_aside(blob.key, self._digest(blob.key))
        return False

    def _set_aside(self, key: str, digest: str) -> None:
        aside = damaged_key(key, digest)
        source: CopySourceTypeDef = {"Bucket": self._bucket, "Key": self._name(key)}
        with self._connection.told(key):
            self._connection.client.copy_object(Bucket=self._bucket, Key=self._name(aside), CopySource=source)
        report_repair(key, aside)

    def _digest(self, key: str) -> str:
        with self._stream(key) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()

    def _guards_objects(self) -> bool:
        """Whether the store keeps what it has when asked to (`If-None-Match: *`); tried once in each process.

        Amazon and MinIO do, some ignore the question, Swift refuses to understand it.
        """
        key = f"probe/{uuid4().hex}"
        octets = key.encode()
        blob = Blob(key=key, sha256=hashlib.sha256(octets).hexdigest(), size=len(octets), content=octets)
        upload = S3Upload(self._connection.client, self._bucket, self._name(key), blob)
        with self._connection.told(key):
            try:
                upload.at_once(guarded=True)
                guards = upload.at_once(guarded=True) is None
            except ClientError as error:
                if status_of(error) not in _NOT_UNDERSTOOD:
                    raise
                return False
        self.delete(key)
        return guards


class _Stream(io.RawIOBase):
    """The octets as they come; a connection that breaks halfway speaks Concord's language."""

    def __init__(self, connection: S3Connection, key: str, body: StreamingBody) -> None:
        super().__init__()
        self._connection = connection
        self._key = key
        self._body = body

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        room = memoryview(buffer).cast("B")
        with self._connection.told(self._key):
            octets = self._body.read(len(room))
        room[: len(octets)] = octets
        return len(octets)

    def readall(self) -> bytes:
        with self._connection.told(self._key):
            return self._body.read()

    def close(self) -> None:
        self._body.close()
        super().close()
