"""Giving Redis a password that it keeps: CONFIG SET, then CONFIG REWRITE (redis.io, "Redis configuration")."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit

from pydantic import SecretStr
from redis.exceptions import AuthenticationError, RedisError

from concord.adapters import redis
from concord.adapters.redis import connect, translated
from concord.errors import UsageError
from concord.settings import RedisSettings


def with_password(url: str, password: str) -> str:
    """The address with this password for the default user; the password must be safe in an address."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f":{password}@{parts.netloc.rpartition('@')[2]}"))


def is_open(settings: RedisSettings) -> bool:
    """Whether it asks for no password. Raises QueueDownError where nobody answers."""
    with translated():
        return redis.is_open(settings)


def opens(settings: RedisSettings, url: str) -> bool:
    """Whether the address signs in. Raises QueueDownError where nobody answers."""
    with translated(), connect(settings.model_copy(update={"url": SecretStr(url)})) as client:
        try:
            return bool(client.ping())
        except AuthenticationError:
            return False


def other_databases(settings: RedisSettings) -> list[int]:
    """The numbers of the databases with keys, without the one of `settings`. Raises QueueDownError."""
    with translated(), connect(settings) as client:
        mine = int(client.connection_pool.connection_kwargs.get("db") or 0)
        found = [int(name.removeprefix("db")) for name in client.info("keyspace")]
    return sorted(set(found) - {mine})


def keep(settings: RedisSettings, url: str) -> None:
    """Let Redis write the password that it has to its configuration. Raises QueueDownError, UsageError."""
    with translated(), connect(settings.model_copy(update={"url": SecretStr(url)})) as client:
        _write(client)


def set_password(settings: RedisSettings, password: str) -> None:
    """For now and for its next start. Raises QueueDownError; UsageError where Redis cannot keep it and has none."""
    with translated(), connect(settings) as client:
        _write(client)
        client.config_set("requirepass", password)
        try:
            _write(client)
        except UsageError:
            client.config_set("requirepass", "")
            raise


def _write(client: object) -> None:
    try:
        client.config_rewrite()  # type: ignore[attr-defined]  # redis-py's commands are typed for both of its clients
    except RedisError as error:
        raise UsageError("redis_forgets", cause=str(error)) from None
