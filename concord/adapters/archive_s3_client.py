"""One connection pool to the object store for each process, and its refusals in words an operator can act on."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError, SSLError
from botocore.handlers import add_expect_header

from concord.errors import ArchiveDownError
from concord.settings import S3Settings

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

THREADS = 8
_KEYS = "Check archive.s3.access_key_id and archive.s3.secret_access_key"
_REGION = "Set archive.s3.region and archive.s3.endpoint_url to those of the bucket"
# Swift and others say AccessDenied of a wrong key too.
_RIGHTS = (
    f"{_KEYS}; allow that key to get, put, delete and list in the bucket "
    "(s3:GetObject, s3:PutObject, s3:DeleteObject, s3:ListBucket, s3:AbortMultipartUpload)"
)
_BUCKET = "Create the bucket, or correct archive.s3.bucket (and archive.s3.path_style, where the store knows one style)"
_ENDPOINT = "Check archive.s3.endpoint_url, the network, and that the object store runs; work goes on by itself"
_REMEDIES = {
    "InvalidAccessKeyId": _KEYS,
    "SignatureDoesNotMatch": f"{_KEYS}; then archive.s3.region, and whether a proxy changes the host name",
    "InvalidToken": _KEYS,
    "ExpiredToken": _KEYS,
    "AccessDenied": _RIGHTS,
    "403": _RIGHTS,
    "NoSuchBucket": _BUCKET,
    "InvalidBucketName": _BUCKET,
    "404": _BUCKET,
    "RequestTimeTooSkewed": "Set this machine's clock (timedatectl set-ntp true)",
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "301": _REGION,
    "SecondLevelDomainForbidden": "Set archive.s3.path_style = false: this store wants the bucket in the host name",
    "QuotaExceeded": "Raise the bucket's quota or remove what is no longer needed",
}


def status_of(error: ClientError) -> int:
    """The HTTP status of a refusal."""
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


class S3Connection:
    """The client of this process, made when first asked for, and anew after a fork: sockets must not be shared."""

    def __init__(self, settings: S3Settings) -> None:
        self._settings = settings
        self._client: S3Client | None = None
        self._pid = 0

    @property
    def client(self) -> S3Client:
        """Ready to be called, from several threads too. Raises ArchiveDownError where the settings make none."""
        if self._client is None or self._pid != os.getpid():
            with self.told():
                self._client, self._pid = self._made(), os.getpid()
        return self._client

    @contextmanager
    def told(self, key: str | None = None) -> Iterator[None]:
        """Turn whatever botocore raises into ArchiveDownError. Its texts never hold the secret key."""
        try:
            yield
        except ClientError as error:
            raise self._refused(error, key) from error
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise self._down("The object store has no credentials to be asked with", error, key, _KEYS) from error
        except SSLError as error:
            remedy = "If the store has its own certificate authority, name its file in archive.s3.ca_file"
            raise self._down("There is no trusted TLS connection to the object store", error, key, remedy) from error
        except BotoCoreError as error:
            raise self._down("The object store does not answer", error, key, _ENDPOINT) from error

    def _refused(self, error: ClientError, key: str | None) -> ArchiveDownError:
        details = error.response.get("Error", {})
        code = details.get("Code", "")
        cause = " ".join(part for part in (code, details.get("Message", "")) if part)
        remedy = _REMEDIES.get(code, _ENDPOINT)
        return self._down("The object store refuses", cause or f"HTTP {status_of(error)}", key, remedy)

    def _down(self, sentence: str, cause: object, key: str | None, remedy: str) -> ArchiveDownError:
        settings = self._settings
        return ArchiveDownError(
            sentence, bucket=settings.bucket, endpoint=settings.endpoint_url, key=key, cause=cause, remedy=remedy
        )

    def _made(self) -> S3Client:
        # Imported late: it costs 80 ms, and a file archive needs none of it.
        from boto3.session import Session  # noqa: PLC0415 - see above

        settings = self._settings
        if settings.ca_file and not settings.ca_file.is_file():
            remedy = "Put the certificate authority's file there, or correct archive.s3.ca_file"
            raise self._down("The object store's certificate file is missing", settings.ca_file, None, remedy)
        secret = settings.secret_access_key
        session = Session(
            aws_access_key_id=settings.access_key_id,
            aws_secret_access_key=secret.get_secret_value() if secret else None,
            region_name=settings.region,
        )
        try:
            client = session.client(
                "s3",
                endpoint_url=settings.endpoint_url,
                verify=str(settings.ca_file) if settings.ca_file else None,
                config=self._config(),
            )
        except ValueError as error:
            remedy = "Write archive.s3.endpoint_url as https://host or http://host:port"
            raise self._down("The object store's address is no URL", error, None, remedy) from error
        # `Expect: 100-continue` would cost every write a round trip before its first octet.
        client.meta.events.unregister("before-call.s3", add_expect_header)
        return client

    def _config(self) -> Config:
        settings = self._settings
        return Config(
            connect_timeout=settings.connect_timeout,
            read_timeout=settings.read_timeout,
            retries={"mode": "standard", "total_max_attempts": settings.max_attempts},
            max_pool_connections=THREADS,
            s3={"addressing_style": "path" if settings.path_style else "virtual"},
            # The newer default (CRC in aws-chunked trailers) is refused by Alibaba OSS, Oracle, older MinIO and Swift.
            # Content-MD5, which all of them check, and our own SHA-256 stand in for it.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )
