"""The overview: is everything working, what is wrong and what to do, and how it went."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Final
from urllib.parse import urlencode

from anyio import from_thread
from fastapi import APIRouter, Depends, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from concord.model.user import Permission
from concord.web.board import Overview, board_of
from concord.web.live import stream
from concord.web.plots import SPANS, plotted, step_in_words, tables
from concord.web.render import render, text_of
from concord.web.visitor import Parts, Visitor, page

router = APIRouter(include_in_schema=False)

Me = Annotated[Visitor, Depends(page(Permission.READ))]
_USUAL: Final = "24h"
_EVERY_SECONDS: Final = 5.0


@router.get("/admin")
def overview(request: Request, _me: Me, parts: Parts, span: str = _USUAL) -> Response:
    """The page."""
    chosen, now = SPANS.get(span, SPANS[_USUAL]), datetime.now(UTC)
    return render(
        request,
        "overview/overview.html",
        seen=from_thread.run(board_of(request).look),
        spans=SPANS.values(),
        span=chosen,
        minutes=step_in_words(chosen, now),
        tables=list(tables(parts.numbers, chosen, now)),
        source="/api/v1/numbers?" + urlencode([("span", chosen.code), *(("series", name) for name in plotted())]),
    )


@router.get("/admin/overview/live")
def live(request: Request, _me: Me) -> Response:
    """What is wrong and the figures, as they change."""
    board = board_of(request)

    async def parts() -> Mapping[str, str]:
        return await run_in_threadpool(_fragments, request, await board.look())

    return stream(request, parts, every=_EVERY_SECONDS)


def _fragments(request: Request, seen: Overview) -> dict[str, str]:
    return {name: text_of(request, f"overview/_{name}.html", seen=seen) for name in ("state", "figures")}
