"""A running Concord: real daemons, real Dovecot, real Redis, once on SQLite and files, once on PostgreSQL and S3."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from concord.settings import S3Settings
from tests.servers.dovecot import Dovecot
from tests.servers.redis import RedisServer
from tests.servers.stack import Stack


@pytest.fixture
def stack(tmp_path: Path, own_redis: RedisServer) -> Iterator[Stack]:
    """SQLite and files; nothing started yet."""
    with Stack(tmp_path, redis_url=own_redis.url) as running:
        yield running


@pytest.fixture(params=["sqlite and files", "postgresql and s3"])
def any_stack(request: pytest.FixtureRequest, tmp_path: Path, own_redis: RedisServer) -> Iterator[Stack]:
    """Both ways to keep the truth and the bytes (S3 is Swift, a real store); nothing started yet."""
    stack = Stack(tmp_path, redis_url=own_redis.url)
    if request.param == "postgresql and s3":
        s3: S3Settings = request.getfixturevalue("swift_bucket")
        tree = s3.model_dump(mode="json", exclude_none=True, exclude={"secret_access_key"})
        stack = Stack(
            tmp_path,
            redis_url=own_redis.url,
            database_url=request.getfixturevalue("postgres_url"),
            credentials={"archive__s3__secret_access_key": (s3.secret_access_key or SecretStr("")).get_secret_value()},
            archive={"kind": "s3", "s3": tree},
            # A store over the network may be slow: three tries that fit, as the shipped limits have it.
            process={"soft_time_limit": 240, "time_limit": 300},
        )
    with stack as running:
        yield running


@pytest.fixture
def mailbox(stack: Stack, dovecot: Dovecot, mailbox_user: str) -> str:
    """An account of the stack's on a fresh mailbox; its user name is its account name."""
    return add_mailbox(stack, dovecot, mailbox_user)


def add_mailbox(stack: Stack, dovecot: Dovecot, user: str) -> str:
    """Make the account for a Dovecot user, and put it into the schedule."""
    stack.add_account(user, port=dovecot.imap_port, user=user, password=dovecot.passwords[user])
    stack.concord.sync()
    return user
