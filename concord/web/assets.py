"""Static files under names that hold a hash of their content: a browser may keep them for ever.

Our own lie in static/; what others make is in vendor/, put there at build from npm (packaging/static).
"""

from __future__ import annotations

import hashlib
import mimetypes
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import Final

from fastapi import APIRouter
from fastapi.responses import Response
from starlette.exceptions import HTTPException

_FOLDERS: Final = ("static", "vendor")
_HASH_LENGTH: Final = 12
_FOR_EVER: Final = "public, max-age=31536000, immutable"

router = APIRouter(include_in_schema=False)


@dataclass(frozen=True, slots=True)
class Asset:
    """One file as it is served."""

    name: str  # site.1f2e3d4c5b6a.css
    content: bytes
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
    return Asset(f"{stem}.{digest}{dot}{suffix}", content, kind)


@router.api_route("/static/{name}", methods=["GET", "HEAD"])
async def static(name: str) -> Response:
    """One file; nothing that the build did not put there can be asked for."""
    asset = _by_hashed_name().get(name)
    if asset is None:
        raise HTTPException(HTTPStatus.NOT_FOUND)
    return Response(asset.content, media_type=asset.media_type, headers={"Cache-Control": _FOR_EVER})
