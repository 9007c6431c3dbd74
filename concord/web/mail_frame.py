"""A mail's HTML as a page of its own that can do nothing: it is shown in a frame, and its headers hold it there.

The safety is the browser's: a sandbox without scripts, forms, popups or an origin, and a policy by which nothing is
loaded. Neither holds back what a browser does ahead of any load: names that it resolves and connections that it opens
for `<link rel=preconnect>` or for the target of a link. So what could lead elsewhere is renamed first. That needs no
parser: HTML has no other spelling for the name of an element or attribute than its own letters (HTML, section 13.2.5).
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import unquote

from concord.services.mail import ShownMail, ShownPart

# `sandbox` gives the mail an origin that is nobody's: it has no cookies, and may not ask us for its pictures either.
POLICY: Final = (
    "sandbox; default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'self'"
)
# Links would lead out of the page; where they lead is listed beside it.
_STYLE: Final = (
    "<!doctype html><meta charset=utf-8><style>body{font:15px/1.5 system-ui,sans-serif;overflow-wrap:anywhere}"
    "img{max-width:100%;height:auto}a,area,button,input{pointer-events:none!important}</style>"
)
# Elements that lead elsewhere by themselves or when clicked, and the attributes that say where a click leads.
_ACTING: Final = "applet|base|embed|fencedframe|form|frame|frameset|iframe|link|meta|object|portal|webview"
_ACTING_TAG: Final = re.compile(rf"(</?)({_ACTING})(?=[\s/>])", re.IGNORECASE | re.ASCII)
_LEADING: Final = re.compile(r"(attributionsrc|formaction|href|ping|target)(?=\s*=)", re.IGNORECASE | re.ASCII)
# In http pages Chromium looks up the names of links ahead of time.
HEADERS: Final = {"Content-Security-Policy": POLICY, "X-DNS-Prefetch-Control": "off"}
_PICTURES: Final = ("image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp")
MOST_OCTETS: Final = 6_000_000  # of pictures in one page
_LONGEST: Final = 1_000_000  # characters
# In an attribute or in a style's url(…); RFC 2392.
_CID: Final = re.compile(r"""(?<=["'=(])cid:([^"'\s)>]{1,300})""", re.IGNORECASE)
# Each try ends soon: a mail of half a million beginnings of links is read in a moment too.
_LINK: Final = re.compile(
    r"""\bhref\s{0,9}=\s{0,9}(?:"([^"]{1,500})|'([^']{1,500})|([^\s"'>]{1,500}))""", re.IGNORECASE
)
_REMOTE: Final = re.compile(r"""\b(?:src|background|poster)\s{0,9}=\s{0,9}["']?\s{0,9}(?:https?:)?//""", re.IGNORECASE)
_MOST_LINKS: Final = 100


def framed(mail: ShownMail, octets: Callable[[ShownPart], Iterable[bytes]]) -> bytes:
    """The page; `octets` gives an attachment's content. Pictures that the mail brings along are put into it."""
    return f"{_STYLE}{_with_pictures(mail, octets)}".encode("utf-8", "replace")


def links(text: str | None) -> list[str]:
    """Where the links of a mail's HTML lead, each once, as far as anybody would read on."""
    found: dict[str, None] = {}
    for match in _LINK.finditer((text or "")[:_LONGEST]):
        target = html.unescape(next(filter(None, match.groups()))).strip()
        if not target.startswith("#"):
            found[target] = None
        if len(found) == _MOST_LINKS:
            break
    return list(found)


def asks_elsewhere(text: str | None) -> bool:
    """Whether the mail would load pictures from a server, which then knew that it was opened."""
    return _REMOTE.search((text or "")[:_LONGEST]) is not None


def _with_pictures(mail: ShownMail, octets: Callable[[ShownPart], Iterable[bytes]]) -> str:
    if mail.html is None:
        return f"<pre>{html.escape(mail.text or '')}</pre>"
    named = {part.content_id.strip("<> "): part for part in mail.parts if part.content_id}
    room = MOST_OCTETS
    ready: dict[int, str] = {}

    def picture(found: re.Match[str]) -> str:
        nonlocal room
        name = html.unescape(found[1])
        part = named.get(name) or named.get(unquote(name))
        # Each place where it is shown costs: a small mail may name one big picture ten thousand times.
        if part is None or part.content_type not in _PICTURES or part.size > room:
            return found[0]
        room -= max(part.size, 1000)
        if part.number not in ready:
            content = base64.b64encode(b"".join(octets(part))).decode()
            ready[part.number] = f"data:{part.content_type};base64,{content}"
        return ready[part.number]

    return _CID.sub(picture, inert(mail.html[:_LONGEST]))


def inert(text: str) -> str:
    """The HTML without the names by which it would lead elsewhere."""
    return _LEADING.sub(r"data-\1", _ACTING_TAG.sub(r"\1inert-\2", text))
