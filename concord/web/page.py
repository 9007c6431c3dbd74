"""The one page there is until the admin site's own: what this is, that it runs, and where to look meanwhile."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from html import escape
from typing import Final

from concord.web.language import Language

_STYLE: Final = """
:root { color-scheme: light dark }
body { font: 1rem/1.6 system-ui, sans-serif; max-width: 38rem; margin: 15vh auto; padding: 0 1.5rem }
h1 { font-weight: 600; letter-spacing: -.01em }
code { font-size: .95em }
"""
# What a browser compares the page's one style with (CSP Level 3, section 8.3).
STYLE_HASH: Final = f"sha256-{b64encode(sha256(_STYLE.encode()).digest()).decode()}"
_PAGE: Final = """<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Concord</title>
<style>{style}</style>
</head>
<body>
<h1>Concord {version}</h1>
<p>{runs}</p>
<p>{until}</p>
</body>
</html>
"""
_COMMANDS: Final = tuple(
    f"<code>concord {command}</code>" for command in ("service status", "account list", "message list")
)
_WORDS: Final[Mapping[Language, tuple[str, str]]] = {
    Language.ENGLISH: (
        'The admin service runs. Whether what it stands on works, <a href="/healthz">its health</a> says.',
        f"The pages for accounts, workers and mail come with the next release. Until then: {', '.join(_COMMANDS)}.",
    ),
    Language.CHINESE: (
        '管理服务正在运行。它所依赖的各部分是否正常，见<a href="/healthz">健康状况</a>。',
        f"账户、worker 与邮件的页面将随下一个版本提供。在此之前请使用命令 {'、'.join(_COMMANDS)}。",
    ),
}


def render(language: Language, version: str) -> str:
    """The page as HTML."""
    runs, until = _WORDS[language]
    return _PAGE.format(language=language, style=_STYLE, version=escape(version), runs=runs, until=until)
