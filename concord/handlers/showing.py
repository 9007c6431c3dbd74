"""What of a handler's or step's options may be shown to those who may not change them, and be written into the audit.

Many receivers take whoever knows their URL, or sends a header, for a friend: path, query and values are half secrets.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from concord.errors import UsageError
from concord.handlers.endpoint import parse_url

HIDDEN: Final = "…"
_WEBHOOK: Final = "webhook"


def shown(kind: str, options: Mapping[str, Any], *, with_url: bool = False) -> dict[str, Any]:
    """The same options; of a webhook's headers only their names, and of its URL only where it leads.

    `with_url`: for whoever is to change it.
    """
    if kind != _WEBHOOK:
        return dict(options)
    told = dict(options)
    if "url" in told and not with_url:
        told["url"] = place(str(told["url"]))
    if isinstance(told.get("headers"), Mapping):
        told["headers"] = dict.fromkeys(told["headers"], HIDDEN)
    return told


def restored(kind: str, options: Mapping[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    """Options as they came back from where `shown` went: what was hidden is put in its place again.

    Raises UsageError where there is nothing to put there, or another receiver would get it.
    """
    headers = options.get("headers")
    if kind != _WEBHOOK or not isinstance(headers, Mapping) or HIDDEN not in headers.values():
        return dict(options)
    before = kept.get("headers")
    values = before if isinstance(before, Mapping) else {}
    for name in (name for name, value in headers.items() if value == HIDDEN):
        if name not in values:
            raise UsageError("header_no_value", header=name)
        if _receiver(options) != _receiver(kept):
            raise UsageError("headers_elsewhere", header=name)
    return {**options, "headers": {name: values[name] if value == HIDDEN else value for name, value in headers.items()}}


def _receiver(options: Mapping[str, Any]) -> str:
    """Scheme, host and port of a webhook's URL."""
    return place(str(options.get("url"))).removesuffix(HIDDEN)


def place(url: str) -> str:
    """`https://hooks.example.com/…`."""
    try:
        read = parse_url(url)
    except ValueError:
        return HIDDEN
    bare = read.path in ("", "/") and not read.query
    return f"{read.scheme}://{read.netloc.decode('ascii', 'replace')}/{'' if bare else HIDDEN}"
