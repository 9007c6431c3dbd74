"""Every failure on its way out: a page for a browser, a problem document for a program."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse, Response

from concord.errors import ConcordError, DaemonFailedError
from concord.web import error_text
from concord.web.problem import (
    SENTENCES,
    Refusal,
    problem,
    problem_of,
    problem_of_input,
    retry_after,
    status_of,
)
from concord.web.render import render
from concord.web.visitor import SAFE, SignInNeededError, by_session

SIGN_IN: Final = "/admin/login"
_API: Final = ("/api/", "/healthz")


def install(app: FastAPI) -> None:
    """Tell all of them."""
    handlers: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
        SignInNeededError: _sign_in,
        Refusal: _refusal,
        ConcordError: _ours,
        RequestValidationError: _input,
        HTTPException: _framework,
        Exception: _bug,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def is_program(request: Request) -> bool:
    """Whether a problem document is what it wants."""
    wants = request.headers.get("accept", "")
    return request.url.path.startswith(_API) or "authorization" in request.headers or "text/html" not in wants


async def _sign_in(request: Request, _error: Exception) -> Response:
    there = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    place = f"{SIGN_IN}?next={quote(there, safe='/')}" if request.method in SAFE else SIGN_IN
    if "hx-request" in request.headers:
        return Response(status_code=HTTPStatus.UNAUTHORIZED, headers={"HX-Redirect": place})
    if request.headers.get("accept", "").startswith("text/event-stream"):
        return Response(status_code=HTTPStatus.NO_CONTENT)  # an EventSource stops at that, and asks no more
    return RedirectResponse(place, HTTPStatus.SEE_OTHER)


async def _refusal(request: Request, error: Exception) -> Response:
    assert isinstance(error, Refusal)  # noqa: S101 - registered for nothing else
    if is_program(request):
        facts = dict(error.facts)
        return problem(error.status, error.sentence, remedy=error.remedy, headers=error.headers, facts=facts)
    return await _page(request, error.status, error.sentence, remedy=error.remedy, facts=error.facts)


async def _ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, ConcordError)  # noqa: S101 - registered for nothing else
    if is_program(request):
        return problem_of(error)
    answer = await _page(
        request,
        status_of(error),
        error_text.sentence(error),
        remedy=error_text.remedy(error),
        facts=error_text.facts_of(error),
        log=error.log if isinstance(error, DaemonFailedError) else (),
    )
    answer.headers.update(retry_after(error))
    return answer


async def _input(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for nothing else
    if is_program(request):
        return problem_of_input(error.errors())
    return await _page(
        request, HTTPStatus.UNPROCESSABLE_ENTITY, "The address or the form holds something it cannot hold."
    )


async def _framework(request: Request, error: Exception) -> Response:
    """What the framework refuses: an unknown address, a wrong method."""
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    if is_program(request):
        return problem(error.status_code, headers=error.headers)
    answer = await _page(request, HTTPStatus(error.status_code), SENTENCES.get(error.status_code, ""))
    answer.headers.update(error.headers or {})
    return answer


async def _bug(request: Request, _error: Exception) -> Response:
    """Without the exception's own words: nobody can say that no secret is among them. The log has its traceback."""
    if is_program(request):
        return problem(HTTPStatus.INTERNAL_SERVER_ERROR)
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return render(request, "refusal.html", status=status, code=status, sentence=SENTENCES[status])


async def _known(request: Request) -> None:
    """Where no page let anybody in, whoever has signed in has the menu all the same."""
    if getattr(request.state, "visitor", None) is None:
        with suppress(ConcordError):
            request.state.visitor = await run_in_threadpool(by_session, request)


async def _page(request: Request, status: HTTPStatus, sentence: str, **told: Any) -> Response:
    await _known(request)
    return render(request, "refusal.html", status=status, code=status, sentence=sentence, **told)
