"""Fixtures: S3 APIs for the whole run (moto, and OpenStack Swift, a real store), an own bucket for each test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from concord.settings import S3Settings
from tests.servers.s3 import MotoServer, S3Buckets, S3Door, s3_settings
from tests.servers.swift import SwiftServer


@pytest.fixture(scope="session")
def moto_server() -> Iterator[MotoServer]:
    """Amazon's API, in memory."""
    with MotoServer() as server:
        yield server


@pytest.fixture(scope="session")
def swift_server() -> Iterator[SwiftServer]:
    """A real object store."""
    with SwiftServer() as server:
        yield server


@pytest.fixture(scope="session")
def moto_buckets(moto_server: MotoServer) -> S3Buckets:
    """One client for all buckets: making it costs more than a test."""
    return S3Buckets(s3_settings(moto_server.port, moto_server.access_key_id, moto_server.secret_access_key))


@pytest.fixture(scope="session")
def swift_buckets(swift_server: SwiftServer) -> S3Buckets:
    """As `moto_buckets`."""
    return S3Buckets(s3_settings(swift_server.port, swift_server.access_key_id, swift_server.secret_access_key))


@pytest.fixture
def s3_bucket(moto_buckets: S3Buckets) -> S3Settings:
    """An empty bucket, as settings for `S3Archive`."""
    return moto_buckets.make()


@pytest.fixture
def swift_bucket(swift_buckets: S3Buckets) -> S3Settings:
    """An empty bucket in Swift, with a prefix."""
    return swift_buckets.make(prefix="concord/one")


@pytest.fixture
def s3_door(moto_server: MotoServer) -> Iterator[S3Door]:
    """A way to moto that can be made to fail."""
    with S3Door(moto_server.port) as door:
        yield door
