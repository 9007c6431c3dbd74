"""What happened, told on the next page: a form's answer sends the browser on, so that a reload repeats nothing."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request
from starlette.responses import RedirectResponse

from concord.web import cookies

_COOKIE: Final = "concord_flash"
_KINDS: Final = ("ok", "warn", "bad")
_LONGEST: Final = 2000


@dataclass(frozen=True, slots=True)
class Flash:
    """A sentence for the next page: `kind` is ok, warn or bad; `sentence` is translated, then filled with `values`."""

    kind: str
    sentence: str
    values: dict[str, Any]


def see_other(
    request: Request, place: str, sentence: str = "", *, kind: str = "ok", **values: object
) -> RedirectResponse:
    """Go there next, and say that on top of the page. `sentence` is marked with N_, with %(name)s for values."""
    if sentence:
        told = {"k": kind, "s": sentence, "v": {name: str(value)[:200] for name, value in values.items()}}
        text = base64.urlsafe_b64encode(json.dumps(told).encode()).decode()
        if len(text) <= _LONGEST:
            cookies.keep(request, _COOKIE, text, max_age=60)
    return RedirectResponse(place, HTTPStatus.SEE_OTHER)


def take(request: Request) -> Flash | None:
    """What is to be told now, once. The cookie is the browser's own: nothing in it is trusted but as text."""
    text = cookies.value_of(request, _COOKIE)
    if not text:
        return None
    cookies.keep(request, _COOKIE, "", max_age=0)
    try:
        told = json.loads(base64.urlsafe_b64decode(text))
        kind, sentence, values = told["k"], str(told["s"]), dict(told["v"])
    except (binascii.Error, ValueError, KeyError, TypeError, RecursionError):
        return None
    return Flash(kind if kind in _KINDS else "warn", sentence, values)
