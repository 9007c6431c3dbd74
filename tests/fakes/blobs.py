"""Blobs for tests, honest ones unless asked otherwise."""

from __future__ import annotations

import hashlib
from pathlib import Path

from concord.ports import Blob


def blob(key: str, content: bytes, *, file: Path | None = None) -> Blob:
    """What the content is; with `file`, the content is written there and read from there."""
    if file is not None:
        file.write_bytes(content)
    return Blob(key=key, sha256=hashlib.sha256(content).hexdigest(), size=len(content), content=file or content)
