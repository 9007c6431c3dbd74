"""Long answers that are written as they are read, and end with whoever reads them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from itertools import chain

from anyio import CancelScope
from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.responses import StreamingResponse


def download(pieces: Generator[str, None, None], name: str, media_type: str) -> StreamingResponse:
    """A file for the browser to save. What fails before the first piece is raised here, and told as a failure."""
    first = next(pieces, "")

    async def written() -> AsyncIterator[str]:
        try:
            async for piece in iterate_in_threadpool(chain([first], pieces)):
                yield piece
        finally:
            # The reader may be gone: the pieces' own ending must run all the same, and not in this thread.
            with CancelScope(shield=True):
                await run_in_threadpool(pieces.close)

    return StreamingResponse(
        written(), media_type=media_type, headers={"Content-Disposition": f'attachment; filename="{name}"'}
    )
