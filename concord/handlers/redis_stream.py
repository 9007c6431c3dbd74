"""The handler that adds each event to a Redis stream, for consumers that read with XREAD or XREADGROUP."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Final

import redis
from pydantic import Field, field_validator
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError, ResponseError

from concord.errors import ConcordError, HandlerError, HandlerRefusedError, QueueDownError, UsageError
from concord.handlers.address import Address, address_of, checked, client_of, parse_public_address
from concord.handlers.body import fit
from concord.handlers.crowding import refuse_crowded
from concord.handlers.options import Options
from concord.handlers.own_redis import is_own_name
from concord.handlers.tools import HandlerTools
from concord.ports import Consignment

# One script, so that nothing can come between looking, adding and remembering. A delivery that is offered again after
# a crash is answered with the entry it made the first time.
_ADD: Final = """
local made = redis.call('GET', KEYS[2])
if made then return made end
local entry = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[1], '*', 'id', ARGV[2], 'document', ARGV[3])
redis.call('SET', KEYS[2], entry, 'EX', ARGV[4])
return entry
"""

# No stream has a name like a queue's, not even one that is free.
_CROWDED: Final = ("email", "celery", "once", "sync", "tick")


def refuse_own_key(key: str, prefix: str) -> None:
    """Raise UsageError for a key that Concord itself uses."""
    if prefix and not key.startswith(prefix):
        return
    name = key.removeprefix(prefix)
    if is_own_name(name) or name.startswith(_CROWDED):
        raise UsageError("stream_key_reserved", key=key)


class RedisStreamOptions(Options):
    """`url` is the Redis, without it Concord's own; `key` is the stream's whole name.

    `remember` is for how many seconds a repeated delivery is told apart.
    """

    url: str | None = None
    key: str = Field(default="concord:events", min_length=1, max_length=512)
    maxlen: int = Field(default=100_000, ge=1)
    remember: int = Field(default=7 * 86_400, ge=60, le=90 * 86_400)
    # A full Redis stops all work, so a stream takes no event of any size.
    max_bytes: Annotated[int, Field(ge=1024)] = 1024 * 1024

    @field_validator("url")
    @classmethod
    def _address(cls, url: str | None) -> str | None:
        if url is not None:
            parse_public_address(url)
        return url


class RedisStreamHandler:
    """Adds entries with the fields `id` and `document`."""

    def __init__(self, options: RedisStreamOptions, tools: HandlerTools, secret: str | None = None) -> None:
        self._options = options
        self._tools = tools
        self._address = address_of(options.url, secret)
        self._elsewhere: tuple[Address, redis.Redis] | None = None
        if self._address is None:
            refuse_own_key(options.key, tools.key_prefix)

    def deliver(self, consignment: Consignment) -> Mapping[str, object]:
        options = self._options
        load = fit(consignment.event, consignment.document, options.max_bytes)
        keys = [options.key, f"{options.key}:sent:{consignment.id}"]
        values: list[str | bytes | int] = [
            options.maxlen,
            str(consignment.event["id"]),
            load.document,
            options.remember,
        ]
        client = self._client()
        try:
            if self._address is not None:
                self._tools.home.refuse(options.key, self._address, client)
            entry = client.eval(_ADD, len(keys), *keys, *values)
        except (OutOfMemoryError, ReadOnlyError) as error:
            raise self._down("redis_full", error) from error
        except ResponseError as error:
            raise HandlerRefusedError("stream", stream=options.key, cause=error) from error
        except RedisError as error:
            raise self._down("no_answer", error) from error
        return {"stream": options.key, "entry": entry.decode() if isinstance(entry, bytes) else str(entry)}

    def _down(self, detail: str, error: RedisError) -> ConcordError:
        """Our own Redis is infrastructure; another one is a receiver like any other."""
        stream = self._options.key
        if self._address is None:
            return QueueDownError(detail, stream=stream, cause=error)
        return HandlerError(detail, host=self._address.host, stream=stream, cause=type(error).__name__)

    def _client(self) -> redis.Redis:
        if self._address is None:
            refuse_crowded(self._tools)
            return self._own
        address = checked(self._address, self._tools)
        if self._elsewhere is None or self._elsewhere[0] != address:
            self._elsewhere = address, client_of(address, self._tools)
        return self._elsewhere[1]

    @cached_property
    def _own(self) -> redis.Redis:
        return self._tools.redis()
