"""The admin service's application: its health, and a page that says what it is. Built to be filled."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException

from concord import __version__
from concord.bootstrap import Concord
from concord.web import page
from concord.web.guard import Guard, names
from concord.web.health import Health, document
from concord.web.language import preferred
from concord.web.problem import tell_bug, tell_refusal

_READ = ["GET", "HEAD"]


def make_app(concord: Concord) -> FastAPI:
    """The application. It answers whatever is wrong with Concord's parts: it is there to tell."""
    app = FastAPI(
        title="Concord",
        version=__version__,
        openapi_url=None,
        exception_handlers={HTTPException: tell_refusal, Exception: tell_bug},
    )
    health = Health.of(concord)

    @app.api_route("/healthz", methods=_READ)
    async def healthz() -> JSONResponse:
        told = document(await health.look(), __version__)
        return JSONResponse(told, HTTPStatus.OK if told["status"] == "ok" else HTTPStatus.SERVICE_UNAVAILABLE)

    @app.api_route("/", methods=_READ)
    @app.api_route("/admin", methods=_READ)
    async def start(request: Request) -> HTMLResponse:
        language = preferred(request.headers.get("accept-language", ""))
        return HTMLResponse(
            page.render(language, __version__), headers={"Content-Language": language, "Vary": "Accept-Language"}
        )

    app.add_middleware(Guard, names=names(concord.settings.admin))
    return app
