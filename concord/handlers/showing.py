"""What of a handler's or step's options may be shown to those who may not change them, and be written into the audit.

Many receivers take whoever knows their URL, or sends a header, for a friend: path, query and values are half secrets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from concord.handlers.endpoint import parse_url

HIDDEN: Final = "…"
_WEBHOOK: Final = "webhook"


def shown(kind: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """The same options; of a webhook's URL only where it leads, of its headers only their names."""
    if kind != _WEBHOOK:
        return dict(options)
    told = dict(options)
    if "url" in told:
        told["url"] = place(str(told["url"]))
    if isinstance(told.get("headers"), Mapping):
        told["headers"] = dict.fromkeys(told["headers"], HIDDEN)
    return told


def place(url: str) -> str:
    """`https://hooks.example.com/…`."""
    try:
        read = parse_url(url)
    except ValueError:
        return HIDDEN
    bare = read.path in ("", "/") and not read.query
    return f"{read.scheme}://{read.netloc.decode('ascii', 'replace')}/{'' if bare else HIDDEN}"
