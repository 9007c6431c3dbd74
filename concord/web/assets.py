"""Static files under names that hold a hash of their content: a browser may keep them for ever.

Our own lie in static/; what others make is in vendor/, put there at build from npm (packaging/static). They go out
packed where the browser takes that. Pages never do: how well a page packs would tell what is secret in it (BREACH).
"""

from __future__ import annotations

import gzip
import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import Final

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

_FOLDERS: Final = ("static", "vendor")
_HASH_LENGTH: Final = 12
_FOR_EVER: Final = "public, max-age=31536000, immutable"
_NEVER: Final = ("q=0", "q=0.0", "q=0.00", "q=0.000")

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is served."""

    name: str  # site.1f2e3d4c5b6a.css
    content: bytes
    packed: bytes  # with gzip (RFC 1952)
    media_type: str


def url(name: str) -> str:
    """Where a file is to be had: `site.css` as /static/site.1f2e3d4c5b6a.css. Raises KeyError where there is none."""
    return f"/static/{assets()[name].name}"


@cache
def assets() -> dict[str, Asset]:
    """Every file by its own name."""
    found = {}
    for folder in _FOLDERS:
        place = files("concord.web").joinpath(folder)
        for file in place.iterdir() if place.is_dir() else ():
            if file.is_file() and not file.name.startswith((".", "__")):
                found[file.name] = _asset(file.name, file.read_bytes())
    return found


@cache
def _by_hashed_name() -> dict[str, Asset]:
    return {asset.name: asset for asset in assets().values()}


def _asset(name: str, content: bytes) -> Asset:
    stem, dot, suffix = name.rpartition(".")
    digest = hashlib.sha256(content).hexdigest()[:_HASH_LENGTH]
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    return Asset(f"{stem}.{digest}{dot}{suffix}", content, gzip.compress(content, mtime=0), kind)


@router.api_route("/static/{name}", methods=["GET", "HEAD"])
async def static(name: str, request: Request) -> Response:
    """One file; nothing that the build did not put there can be asked for."""
    asset = _by_hashed_name().get(name)
    if asset is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    headers = {"Cache-Control": _FOR_EVER, "Vary": "Accept-Encoding"}
    if not _takes_gzip(request.headers.get("accept-encoding", "")):
        return Response(asset.content, media_type=asset.media_type, headers=headers)
    return Response(asset.packed, media_type=asset.media_type, headers=headers | {"Content-Encoding": "gzip"})


def _takes_gzip(accepted: str) -> bool:
    """Of an Accept-Encoding header (RFC 9110, section 12.5.3), as every browser sends it."""
    words = [part.lower().replace(" ", "").partition(";") for part in accepted.split(",")]
    return any(coding == "gzip" and weight not in _NEVER for coding, _, weight in words)
