"""Reading a mail opens no connection: an ordinary profile of Chromium, and a socket that listens (issue 10, finding 5).

Playwright's routes do not see the connections that a browser opens ahead of any request; a socket does.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from playwright.sync_api import sync_playwright

from concord.web.mail_frame import HEADERS, inert
from tests.browser.chromium import _QUIET, BINARY
from tests.waiting import eventually

MAIL = """
<link rel=preconnect href="{0}"><link rel=dns-prefetch href="{0}"><link rel=preload as=image href="{0}p.png">
<link rel=prefetch href="{0}f"><link rel=stylesheet href="{0}s.css"><link rel=prerender href="{0}">
<meta http-equiv=refresh content="0;url={0}"><base href="{0}">
<style>@import url({0}i.css);@font-face{{font-family:x;src:url({0}x.woff2)}}
body{{background:url({0}b.png);font-family:x}}
a,button{{pointer-events:auto!important;display:block;position:fixed;inset:0}}</style>
<img src="{0}a.png" srcset="{0}b.png 2x"><svg><image href="{0}c.png"/><use href="{0}d.svg#x"/></svg>
<iframe src="{0}"></iframe><object data="{0}"></object><video src="{0}v" poster="{0}w"></video>
<form action="{0}"><button id=go formaction="{0}">go</button></form><a id=out href="{0}" ping="{0}">read on</a>
"""


@contextmanager
def listening() -> Iterator[tuple[str, list[object]]]:
    """An address, and whoever connects to it."""
    callers: list[object] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def take() -> None:
            while True:
                try:
                    caller, address = listener.accept()
                except OSError:
                    return
                callers.append(address)
                caller.close()

        threading.Thread(target=take, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/", callers
        listener.shutdown(socket.SHUT_RDWR)


@contextmanager
def page_with_frame(content: str) -> Iterator[str]:
    """A page of ours with the mail in its frame, as Concord serves it."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            is_frame = self.path == "/frame"
            body = content if is_frame else "<iframe sandbox src=/frame width=800 height=600></iframe>"
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            for name, value in (HEADERS if is_frame else {"Content-Security-Policy": "frame-src 'self'"}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_given: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def read(place: str, profile: Path, *, with_mouse: bool = True) -> None:
    """As a person does, mouse included.

    Without it where the mail may navigate: Chromium answers no mouse event that a navigating frame took with it.
    """
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            str(profile), executable_path=BINARY, args=list(_QUIET), headless=True
        )
        page = context.new_page()
        page.goto(place, wait_until="load")
        for x, y in ((60, 60), (200, 120)) if with_mouse else ():
            page.mouse.move(x, y)
            page.mouse.down()
            page.mouse.up()
        context.close()


def test_reading_a_mail_opens_no_connection(tmp_path: Path) -> None:
    with listening() as (evil, callers), page_with_frame(inert(MAIL.format(evil))) as place:
        for _ in range(2):  # what the first reading began ahead of time is under way by the second
            read(place, tmp_path)

        assert callers == []


def test_the_same_mail_would_open_one_without_being_made_inert(tmp_path: Path) -> None:
    """The sandbox and the policy do not hold back what a browser does ahead of requests."""
    with listening() as (evil, callers), page_with_frame(MAIL.format(evil)) as place:
        read(place, tmp_path, with_mouse=False)

        assert eventually(lambda: callers)
