"""Bringing one object's octets into the store, in one request or in parts, with the store's word that they arrived."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from concord.adapters.archive_content import verified
from concord.adapters.archive_s3_client import status_of
from concord.ports import Blob

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client
    from types_boto3_s3.type_defs import CompletedPartTypeDef, PutObjectRequestTypeDef

_PRECONDITION_FAILED = 412


class S3Upload:
    """One object on its way. Each request carries Content-MD5, so that the store itself refuses damaged octets."""

    def __init__(self, client: S3Client, bucket: str, name: str, blob: Blob) -> None:
        self._client = client
        self._bucket = bucket
        self._name = name
        self._blob = blob

    def at_once(self, *, guarded: bool) -> bool | None:
        """In one request. True where the store's ETag proves what it has; None where the key is taken, if `guarded`."""
        content = b"".join(verified(self._blob))
        digest = _md5(content)
        request: PutObjectRequestTypeDef = {
            "Bucket": self._bucket,
            "Key": self._name,
            "Body": content,
            "ContentMD5": _base64(digest),
            "ContentType": self._blob.content_type,
            "Metadata": {"sha256": self._blob.sha256},
        }
        if guarded:
            request["IfNoneMatch"] = "*"
        try:
            answer = self._client.put_object(**request)
        except ClientError as error:
            if guarded and status_of(error) == _PRECONDITION_FAILED:
                return None
            raise
        return _proves(answer.get("ETag"), answer.get("ServerSideEncryption"), digest.hex())

    def in_parts(self, part_bytes: int) -> bool:
        """In several requests, one part in memory at a time. True where the store's ETag proves what it has."""
        begun = self._client.create_multipart_upload(
            Bucket=self._bucket,
            Key=self._name,
            ContentType=self._blob.content_type,
            Metadata={"sha256": self._blob.sha256},
        )
        upload = begun["UploadId"]
        try:
            digests, parts = self._send(upload, part_bytes)
            answer = self._client.complete_multipart_upload(
                Bucket=self._bucket, Key=self._name, UploadId=upload, MultipartUpload={"Parts": parts}
            )
        except BaseException:
            # What is left of a broken upload is invisible, and billed.
            with suppress(ClientError, BotoCoreError):
                self._client.abort_multipart_upload(Bucket=self._bucket, Key=self._name, UploadId=upload)
            raise
        expected = f"{_md5(b''.join(digests)).hex()}-{len(digests)}"
        return _proves(answer.get("ETag"), answer.get("ServerSideEncryption"), expected)

    def _send(self, upload: str, part_bytes: int) -> tuple[list[bytes], list[CompletedPartTypeDef]]:
        digests: list[bytes] = []
        parts: list[CompletedPartTypeDef] = []
        for number, part in enumerate(_parts(self._blob, part_bytes), start=1):
            digests.append(_md5(part))
            answer = self._client.upload_part(
                Bucket=self._bucket,
                Key=self._name,
                UploadId=upload,
                PartNumber=number,
                Body=part,
                ContentMD5=_base64(digests[-1]),
            )
            parts.append({"ETag": answer["ETag"], "PartNumber": number})
        return digests, parts


def _parts(blob: Blob, part_bytes: int) -> Iterator[bytes]:
    """Parts of one size, the last one shorter, as Cloudflare R2 insists."""
    part = bytearray()
    for piece in verified(blob):
        part += piece
        if len(part) >= part_bytes:
            yield bytes(part)
            part.clear()
    if part:
        yield bytes(part)


def _proves(etag: str | None, encryption: str | None, expected: str) -> bool:
    # Encrypted by a key service the ETag is no MD5 of the octets; the store compared Content-MD5 before encrypting.
    return (etag or "").strip('"') == expected or (encryption or "").startswith("aws:kms")


def _md5(content: bytes) -> bytes:
    return hashlib.md5(content, usedforsecurity=False).digest()


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode("ascii")
