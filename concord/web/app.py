"""The admin service's application: pages for people, an API for programs, its health for both."""

from __future__ import annotations

from http import HTTPStatus
from importlib import import_module
from pkgutil import iter_modules

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.responses import RedirectResponse
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from concord import __version__
from concord.bootstrap import Concord
from concord.web import api, api_document, assets, pages, refusals
from concord.web.guard import Guard, names
from concord.web.health import Health, document, short
from concord.web.visitor import may_read

_READ = ["GET", "HEAD"]


def make_app(concord: Concord) -> FastAPI:
    """The application. It answers whatever is wrong with Concord's parts: it is there to tell."""
    app = FastAPI(title="Concord", version=__version__, openapi_url=None)
    app.state.concord = concord
    health = Health.of(concord)

    @app.api_route("/healthz", methods=_READ, include_in_schema=False)
    async def healthz(request: Request) -> JSONResponse:
        checks = await health.look()
        told = document(checks, __version__) if await may_read(request) else short(checks)
        return JSONResponse(told, HTTPStatus.OK if told["status"] == "ok" else HTTPStatus.SERVICE_UNAVAILABLE)

    @app.api_route("/", methods=_READ, include_in_schema=False)
    async def start() -> RedirectResponse:
        return RedirectResponse("/admin", HTTPStatus.SEE_OTHER)

    app.include_router(assets.router)
    app.include_router(api_document.router)
    for package in (pages, api):
        for router in _routers(package.__name__):
            app.include_router(router)
    refusals.install(app)
    settings = concord.settings.admin
    app.add_middleware(Guard, names=names(settings), max_body=settings.max_body_bytes, refusals=concord.refusals)
    if settings.proxies:
        # X-Forwarded-For and -Proto, believed only of these.
        app.add_middleware(ProxyHeadersMiddleware, trusted_hosts=[str(network) for network in settings.proxies])
    return app


def _routers(package: str) -> list[APIRouter]:
    """Every module's: a page or a noun of the API is a file, and no list of them has to be kept."""
    names = sorted(module.name for module in iter_modules(import_module(package).__path__))
    modules = (import_module(f"{package}.{name}") for name in names)
    return [module.router for module in modules if hasattr(module, "router")]
