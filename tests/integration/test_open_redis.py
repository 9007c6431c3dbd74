"""A Redis that everybody may use is found by trying it, whatever Concord's own address has (issue 10, finding 18)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from concord.adapters.redis import is_open
from concord.settings import RedisSettings
from tests.servers.redis import RedisServer

ACL = ("ACL", "SETUSER", "concord", "on", ">word", "~*", "&*", "+@all")


def at(url: str) -> RedisSettings:
    return RedisSettings(url=SecretStr(url), socket_timeout=2, connect_timeout=2)


@pytest.fixture
def with_socket() -> Iterator[RedisServer]:
    with RedisServer(socket_file=True) as server:
        yield server


def test_redis_without_a_password_is_open(redis_server: RedisServer) -> None:
    assert is_open(at(redis_server.url))


def test_redis_with_a_password_is_not() -> None:
    with RedisServer(password="word") as server:
        assert not is_open(at(server.url))


def test_own_user_does_not_close_it_to_others() -> None:
    """The default user still needs no password."""
    with RedisServer() as server, server.client() as client:
        client.execute_command(*ACL)

        assert is_open(at(f"redis://concord:word@127.0.0.1:{server.port}/0"))


@pytest.mark.parametrize(("mode", "is_everybodys"), [(0o700, False), (0o770, False), (0o777, True)])
def test_socket_is_open_to_those_who_may_write_to_it(
    with_socket: RedisServer, mode: int, *, is_everybodys: bool
) -> None:
    assert with_socket.socket_path
    Path(with_socket.socket_path).chmod(mode)

    assert is_open(at(f"unix://{with_socket.socket_path}?db=0")) is is_everybodys
