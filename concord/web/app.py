"""The admin service's application: today its health, and a page that says so. Built to be filled."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.exceptions import HTTPException
from starlette.middleware.trustedhost import TrustedHostMiddleware

from concord import __version__
from concord.bootstrap import Concord
from concord.web.health import Health, document

_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_PAGE: Final = """<!doctype html>
<html lang="{lang}">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Concord</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 1rem/1.6 system-ui, sans-serif; max-width: 36rem; margin: 15vh auto; padding: 0 1.5rem }}
h1 {{ font-weight: 600; letter-spacing: -.01em }} code {{ font-size: .95em }}
</style>
<h1>Concord {version}</h1>
<p>{runs}</p>
<p>{until}</p>
</html>
"""
_WORDS: Final = {
    "en": (
        'The admin service runs. Its health is at <a href="/healthz">/healthz</a>.',
        """Accounts, workers and mail have their pages here from the next release on. Until then:
        <code>concord service status</code>, <code>concord account list</code>, <code>concord message list</code>.""",
    ),
    "zh-CN": (
        '管理服务正在运行，健康状况见 <a href="/healthz">/healthz</a>。',
        """账户、worker 和邮件的页面将随下一个版本提供；在此之前请使用
        <code>concord service status</code>、<code>concord account list</code>、<code>concord message list</code>。""",
    ),
}


def make_app(make: Callable[[], Concord], *, hosts: tuple[str, ...] = ("127.0.0.1", "localhost", "[::1]")) -> FastAPI:
    """The application. `make` gives the parts when they are first asked for: it starts whatever is wrong with them."""
    app = FastAPI(title="Concord", version=__version__, docs_url=None, redoc_url=None, openapi_url=None)
    health = Health(make)

    @app.get("/healthz")
    async def healthz() -> JSONResponse:
        told = document(await health.look(), __version__)
        return JSONResponse(told, status_code=200 if told["status"] == "ok" else 503)

    @app.get("/", response_class=HTMLResponse)
    @app.get("/admin", response_class=HTMLResponse)
    async def page(request: Request) -> HTMLResponse:
        lang = "zh-CN" if request.headers.get("accept-language", "").lower().startswith("zh") else "en"
        runs, until = _WORDS[lang]
        return HTMLResponse(_PAGE.format(lang=lang, version=__version__, runs=runs, until=until))

    @app.exception_handler(HTTPException)
    async def problem(_request: Request, error: HTTPException) -> JSONResponse:
        """RFC 9457."""
        told = {"type": "about:blank", "title": str(error.detail), "status": error.status_code}
        return JSONResponse(told, error.status_code, media_type="application/problem+json")

    @app.middleware("http")
    async def guard(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        answer = await call(request)
        answer.headers.update(_HEADERS)
        return answer

    # A page of somebody else's, rebound to our address by DNS, does not get an answer.
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    return app
