"""A failure as a program reads it: RFC 9457, "Problem Details for HTTP APIs"."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from fastapi import Request
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

_SENTENCES = {
    HTTPStatus.NOT_FOUND: "There is nothing at this address.",
    HTTPStatus.METHOD_NOT_ALLOWED: "This address does not take that method.",
    HTTPStatus.INTERNAL_SERVER_ERROR: "Something happened that Concord did not expect. The service's log has it.",
}


def problem(status: int, detail: str = "", headers: Mapping[str, str] | None = None) -> JSONResponse:
    """An answer that says what is wrong."""
    told = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail or _SENTENCES.get(HTTPStatus(status), ""),
    }
    return JSONResponse(told, status, headers, media_type="application/problem+json")


async def tell_refusal(_request: Request, error: Exception) -> JSONResponse:
    """What the framework refuses: an unknown address, a wrong method."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    return problem(error.status_code, headers=error.headers)


async def tell_bug(_request: Request, _error: Exception) -> JSONResponse:
    """Without the exception's own words: nobody can say that no secret is among them. The log has its traceback."""
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR)
