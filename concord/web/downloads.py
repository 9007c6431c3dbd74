"""Long answers that are written as they are read, end with whoever reads them, and are saved, never opened here."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Generator, Mapping
from itertools import chain
from typing import Final, TypeVar
from urllib.parse import quote

from anyio import CancelScope
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.responses import StreamingResponse

Piece = TypeVar("Piece", str, bytes)
# Whatever a file says it is: should a browser open it all the same, nothing in it runs or loads.
NOTHING_RUNS: Final = "sandbox; default-src 'none'; frame-ancestors 'none'"
_UNSAFE: Final = re.compile(r"[\x00-\x1f\x7f\"\\/:*?<>|]+")
_LONGEST_NAME: Final = 150


def download(pieces: Generator[str, None, None], name: str, media_type: str) -> StreamingResponse:
    """A file of our own for the browser to save. What fails before the first piece is raised here."""
    return _written(next(pieces, ""), pieces, media_type, {"Content-Disposition": f'attachment; filename="{name}"'})


def saved(octets: Generator[bytes, None, None], name: str) -> StreamingResponse:
    """A file of somebody else's, under its own name as far as that is harmless (RFC 6266, RFC 8187)."""
    safe = _UNSAFE.sub("_", name.encode("utf-8", "replace").decode().replace("..", "_")).strip(" ._")
    safe = safe[:_LONGEST_NAME] or "file"
    plain = safe.encode("ascii", "replace").decode().replace("?", "_")
    headers = {
        "Content-Disposition": f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(safe, safe='')}",
        "Content-Security-Policy": NOTHING_RUNS,
    }
    return _written(next(octets, b""), octets, "application/octet-stream", headers)


def _written(
    first: Piece, pieces: Generator[Piece, None, None], media_type: str, headers: Mapping[str, str]
) -> StreamingResponse:
    async def written() -> AsyncIterator[Piece]:
        try:
            async for piece in iterate_in_threadpool(chain([first], pieces)):
                yield piece
        finally:
            # The reader may be gone: the pieces' own ending must run all the same, and not in this thread.
            with CancelScope(shield=True):
                await run_in_threadpool(pieces.close)

    return StreamingResponse(written(), media_type=media_type, headers=headers)
