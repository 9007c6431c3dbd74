"""/admin/flower/: the task monitor behind the admin site's login."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, Final
from urllib.parse import quote

import httpx
from fastapi import APIRouter, Depends, Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from concord.model.user import Permission
from concord.web.flower import PAGES, PLACE, address, login, policy, turned
from concord.web.i18n import N_
from concord.web.problem import Refusal
from concord.web.visitor import Parts, Visitor, page

router = APIRouter(prefix=PLACE, include_in_schema=False)

Me = Annotated[Visitor, Depends(page(Permission.READ))]
Asker = Annotated[Visitor, Depends(page(Permission.READ, asks=True))]
_DATA: Final = "tasks/datatable"
_TIMEOUT: Final = httpx.Timeout(20.0, connect=3.0)
_MOST_HTML: Final = 4 * 1024 * 1024
_MOST_FORM: Final = 64 * 1024
_ASKED: Final = ("accept", "accept-language", "content-type", "if-none-match", "if-modified-since")
_TOLD: Final = ("content-type", "etag", "last-modified", "cache-control")
_PASSED: Final = (HTTPStatus.OK, HTTPStatus.NOT_MODIFIED, HTTPStatus.NOT_FOUND)
_REMEDY: Final = N_("Start it on the page 'Workers'; if it runs, see its log lines there")


@router.get("")
def slash() -> Response:
    """Its links are below its own folder."""
    return RedirectResponse(f"{PLACE}/", HTTPStatus.PERMANENT_REDIRECT)


@router.post(f"/{_DATA}")
async def data(request: Request, _me: Asker, parts: Parts) -> Response:
    """The table of tasks asks by POST, and changes nothing."""
    return await _passed(request, parts, _DATA)


@router.get("/{path:path}")
async def show(request: Request, _me: Me, parts: Parts, path: str) -> Response:
    """One of its pages, or something that they load."""
    return await _passed(request, parts, path)


async def _passed(request: Request, parts: Parts, path: str) -> Response:
    if not PAGES.fullmatch(path) or ".." in path:
        raise Refusal(HTTPStatus.NOT_FOUND)
    client = _client(request)
    settings = parts.settings.flower
    body = await _body(request)
    asked = {name: value for name in _ASKED if (value := request.headers.get(name))}
    question = client.build_request(
        request.method,
        httpx.URL(f"{address(settings)}/{quote(path, safe='/@')}", query=request.url.query.encode()),
        headers={**asked, "Accept-Encoding": "identity", **login(settings)},
        content=body or None,
    )
    try:
        answer = await client.send(question, stream=True)
    except httpx.TransportError as error:
        raise _away(error) from error
    try:
        return await _answer(request, answer)
    except httpx.TransportError as error:
        await answer.aclose()
        raise _away(error) from error
    except BaseException:
        await answer.aclose()
        raise


async def _answer(request: Request, answer: httpx.Response) -> Response:
    if answer.status_code in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        raise Refusal(
            HTTPStatus.BAD_GATEWAY,
            N_("Flower does not take the login that the settings have."),
            remedy=N_(
                "Put a password into the credential file 'flower__password', then restart Flower and the admin site"
            ),
        )
    if answer.status_code not in _PASSED:
        raise Refusal(HTTPStatus.BAD_GATEWAY, N_("Flower could not answer that."), remedy=_REMEDY)
    headers = {name: value for name in _TOLD if (value := answer.headers.get(name))}
    if not headers.get("content-type", "").startswith("text/html"):
        return StreamingResponse(_octets(answer), answer.status_code, headers)
    html = turned(await _whole(answer))
    origin = f"{request.url.scheme}://{request.url.netloc}"
    return Response(html, answer.status_code, {**headers, "Content-Security-Policy": policy(html, origin)})


async def _octets(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for chunk in answer.aiter_bytes():
            yield chunk
    finally:
        await answer.aclose()


async def _whole(answer: httpx.Response) -> bytes:
    """A page; raises Refusal for one that is no page of Flower's any more."""
    html = b""
    async for chunk in answer.aiter_bytes():
        html += chunk
        if len(html) > _MOST_HTML:
            raise Refusal(HTTPStatus.BAD_GATEWAY, N_("Flower's page is too big."), remedy=_REMEDY)
    await answer.aclose()
    return html


async def _body(request: Request) -> bytes:
    body = await request.body()
    if len(body) > _MOST_FORM:
        raise Refusal(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    return body


def _client(request: Request) -> httpx.AsyncClient:
    """One for the process: making one costs more than a call. It keeps neither connections nor cookies."""
    state = request.app.state
    if not hasattr(state, "flower"):
        limits = httpx.Limits(max_connections=40, max_keepalive_connections=0)
        state.flower = httpx.AsyncClient(timeout=_TIMEOUT, limits=limits, trust_env=False)
    client: httpx.AsyncClient = state.flower
    client.cookies.clear()
    return client


def _away(error: httpx.TransportError) -> Refusal:
    facts = {"cause": str(error) or type(error).__name__}
    return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, N_("Flower does not answer."), remedy=_REMEDY, facts=facts)
