"""The handler that adds each event to a Redis stream, for consumers that read with XREAD or XREADGROUP."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Annotated, Final

import redis
from pydantic import Field
from redis.exceptions import OutOfMemoryError, ReadOnlyError, RedisError, ResponseError

from concord.errors import HandlerRefusedError, QueueDownError
from concord.handlers.body import fit
from concord.handlers.options import Options
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


class RedisStreamOptions(Options):
    """`key` is the stream's whole name; `remember` is for how many seconds a repeated delivery is told apart."""

    key: str = Field(default="concord:events", min_length=1, max_length=512)
    maxlen: int = Field(default=100_000, ge=1)
    remember: int = Field(default=7 * 86_400, ge=60, le=90 * 86_400)
    # A full Redis stops all work, so a stream takes no event of any size.
    max_bytes: Annotated[int, Field(ge=1024)] = 1024 * 1024


class RedisStreamHandler:
    """Adds entries with the fields `id` and `document`."""

    def __init__(self, options: RedisStreamOptions, connect: Callable[[], redis.Redis]) -> None:
        self._options = options
        self._connect = connect

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
        try:
            entry = self._client.eval(_ADD, len(keys), *keys, *values)
        except (OutOfMemoryError, ReadOnlyError) as error:
            raise QueueDownError("Redis takes nothing in", stream=options.key, cause=error) from error
        except ResponseError as error:
            raise HandlerRefusedError(
                "Redis refuses to add to this stream",
                stream=options.key,
                cause=error,
                remedy="Check that the key is a stream and that Concord's Redis user may write it, "
                "then 'concord delivery retry ID'",
            ) from error
        except RedisError as error:
            raise QueueDownError("Redis did not answer", cause=error) from error
        return {"stream": options.key, "entry": entry.decode() if isinstance(entry, bytes) else str(entry)}

    @cached_property
    def _client(self) -> redis.Redis:
        return self._connect()
