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
# What is wrong, by the store's own code. Swift and others say AccessDenied of a wrong key too.
_REFUSALS = {
    "InvalidAccessKeyId": "store_refuses.key",
    "SignatureDoesNotMatch": "store_refuses.signature",
    "InvalidToken": "store_refuses.key",
    "ExpiredToken": "store_refuses.key",
    "AccessDenied": "store_refuses.rights",
    "403": "store_refuses.rights",
    "NoSuchBucket": "store_refuses.bucket",
    "InvalidBucketName": "store_refuses.bucket",
    "404": "store_refuses.bucket",
    "RequestTimeTooSkewed": "store_refuses.clock",
    "PermanentRedirect": "store_refuses.region",
    "AuthorizationHeaderMalformed": "store_refuses.region",
    "301": "store_refuses.region",
    "SecondLevelDomainForbidden": "store_refuses.path_style",
    "QuotaExceeded": "store_refuses.quota",
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
            raise self._down("no_credentials", error, key) from error
        except SSLError as error:
            raise self._down("store_tls", error, key) from error
        except BotoCoreError as error:
            raise self._down("store_silent", error, key) from error

    def _refused(self, error: ClientError, key: str | None) -> ArchiveDownError:
        details = error.response.get("Error", {})
        code = details.get("Code", "")
        cause = " ".join(part for part in (code, details.get("Message", "")) if part)
        return self._down(_REFUSALS.get(code, "store_refuses"), cause or f"HTTP {status_of(error)}", key)

    def _down(self, detail: str, cause: object, key: str | None = None) -> ArchiveDownError:
        settings = self._settings
        return ArchiveDownError(detail, bucket=settings.bucket, endpoint=settings.endpoint_url, key=key, cause=cause)

    def _made(self) -> S3Client:
        # Imported late: it costs 80 ms, and a file archive needs none of it.
        from boto3.session import Session  # noqa: PLC0415 - see above

        settings = self._settings
        if settings.ca_file and not settings.ca_file.is_file():
            raise self._down("store_ca_file", settings.ca_file)
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
            raise self._down("store_url", error) from error
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
