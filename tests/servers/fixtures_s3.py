"""Fixtures: S3 APIs for the whole run (moto, and OpenStack Swift, a real store), an own bucket for each test."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import pytest

from concord.settings import S3Settings
from tests.servers.s3 import MotoServer, S3Door, s3_settings
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


@pytest.fixture
def s3_bucket(moto_server: MotoServer) -> S3Settings:
    """An empty bucket, as settings for `S3Archive`."""
    return s3_settings(moto_server.port, f"b-{uuid4().hex}", moto_server.access_key_id, moto_server.secret_access_key)


@pytest.fixture
def swift_bucket(swift_server: SwiftServer) -> S3Settings:
    """An empty bucket in Swift, with a prefix."""
    user, secret = swift_server.access_key_id, swift_server.secret_access_key
    return s3_settings(swift_server.port, f"b-{uuid4().hex}", user, secret, prefix="concord/one")


@pytest.fixture
def s3_door(moto_server: MotoServer) -> Iterator[S3Door]:
    """A way to moto that can be made to fail."""
    with S3Door(moto_server.port) as door:
        yield door
