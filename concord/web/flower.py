"""Flower, the task monitor, seen through the admin site: its pages with their addresses turned to ours.

It goes on answering by itself on its own port, behind its own login. Here the login is ours, and Flower's is added to
each request; nothing of the visitor's (cookies, tokens) reaches Flower, and nothing but its pages comes back.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from typing import Final

from concord.settings import FlowerSettings

PLACE: Final = "/admin/flower"
# Flower's own pages, data, and what they load. It is read-only; that its other calls cannot be made from here either is
# one lock more, and keeps /metrics and the like with those who ask for them at Flower's own port.
PAGES: Final = re.compile(
    r"(?:|workers|tasks|broker|(?:worker|task)/[^/?#]{1,200}|tasks/datatable|static/[\w./-]{1,100}"
    r"|api/workers|api/task/info/[\w-]{1,100})",
    re.ASCII,
)
_LINK: Final = re.compile(rb'(?P<name>\s(?:href|src|action)=")/(?!/)')
_PREFIX: Final = re.compile(rb'<input type="hidden" value="" id="url_prefix">')
_INLINE: Final = re.compile(rb"<script(?: type=\"text/javascript\")?>(?P<text>[^<]*)</script>")
# The only inline script that Flower's pages have.
_KNOWN: Final = re.compile(rb"\s*var autorefresh = (?:\d{1,9}|true|false|True|False);?\s*")


def address(settings: FlowerSettings) -> str:
    """Where it listens, as seen from this machine."""
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.address, settings.address)  # noqa: S104 - compared, not listened on
    return f"http://{f'[{host}]' if ':' in host and '[' not in host else host}:{settings.port}"


def login(settings: FlowerSettings) -> Mapping[str, str]:
    """The header with its own login, if there is a password that both know."""
    if not settings.password:
        return {}
    pair = f"{settings.user}:{settings.password.get_secret_value()}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def turned(html: bytes) -> bytes:
    """A page of Flower's whose links and calls come to us."""
    html = _LINK.sub(rb"\g<name>" + PLACE.encode() + rb"/", html)
    return _PREFIX.sub(f'<input type="hidden" value="{PLACE}" id="url_prefix">'.encode(), html)


def policy(html: bytes, origin: str) -> str:
    """A Content-Security-Policy for one page: its own scripts, and the one inline script that is known, by its hash."""
    hashes = {
        base64.b64encode(hashlib.sha256(found["text"]).digest()).decode()
        for found in _INLINE.finditer(html)
        if _KNOWN.fullmatch(found["text"])
    }
    scripts = " ".join([f"{origin}{PLACE}/static/", *(f"'sha256-{one}'" for one in sorted(hashes))])
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {scripts}",
            # It sets widths and colours in attributes.
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data:",
            "font-src 'self'",
            f"connect-src {origin}{PLACE}/",
            "form-action 'none'",
            "base-uri 'none'",
            "frame-ancestors 'none'",
        )
    )
