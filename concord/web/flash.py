"""A note on the next page: a form's answer redirects the browser, so that a reload repeats nothing."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from typing import Final

from fastapi import Request
from starlette.responses import RedirectResponse

from concord.web import cookies
from concord.web.i18n import sentences

_COOKIE: Final = "concord_flash"
_KINDS: Final = ("ok", "warn", "bad")
_LONGEST: Final = 2000
_LONGEST_VALUE: Final = 200
# A note lives for seconds. After a restart of the service the one under way is lost, and nothing else.
_KEY: Final = secrets.token_bytes(32)


@dataclass(frozen=True, slots=True)
class Flash:
    """A sentence for the next page: `kind` is ok, warn or bad; `sentence` is translated, then filled with `values`."""

    kind: str
    sentence: str
    values: Mapping[str, str]


def see_other(
    request: Request, place: str, sentence: str = "", *, kind: str = "ok", **values: object
) -> RedirectResponse:
    """Redirect there, and show the sentence on top of the page. It is marked with N_, with %(name)s for values."""
    if sentence:
        filled = {name: str(value)[:_LONGEST_VALUE] for name, value in values.items()}
        text = _sealed(json.dumps({"k": kind, "s": _name(sentence), "v": filled}).encode())
        if len(text) <= _LONGEST:
            cookies.keep(request, _COOKIE, text, max_age=60)
    return RedirectResponse(place, HTTPStatus.SEE_OTHER)


def take(request: Request) -> Flash | None:
    """The note for this page, once. A cookie that this process did not make says nothing."""
    text = cookies.value_of(request, _COOKIE)
    if not text:
        return None
    cookies.keep(request, _COOKIE, "", max_age=0)
    kept = _opened(text) if len(text) <= _LONGEST else None
    if kept is None:
        return None
    note = json.loads(kept)
    sentence = _named().get(note["s"])
    kind = note["k"] if note["k"] in _KINDS else "warn"
    return Flash(kind, sentence, note["v"]) if sentence else None


def _sealed(octets: bytes) -> str:
    return base64.urlsafe_b64encode(_proof(octets) + octets).decode()


def _opened(text: str) -> bytes | None:
    try:
        octets = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    size = hashlib.sha256().digest_size
    proof, kept = octets[:size], octets[size:]
    return kept if hmac.compare_digest(proof, _proof(kept)) else None


def _proof(octets: bytes) -> bytes:
    return hmac.digest(_KEY, octets, "sha256")


def _name(sentence: str) -> str:
    """What the cookie calls a sentence: the sentence itself never travels."""
    return hashlib.sha256(sentence.encode()).hexdigest()[:16]


@cache
def _named() -> dict[str, str]:
    return {_name(sentence): sentence for sentence in sentences()}
