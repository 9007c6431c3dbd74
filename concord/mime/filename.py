"""Attachment names that are safe to show and to save under: a name, never a path, never a disguise."""

from __future__ import annotations

import re
from typing import Final

from concord.mime import limits

# Controls, and the marks that turn the reading direction: "invoice\u202efdp.exe" shows as "invoiceexe.pdf".
_INVISIBLE: Final = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb]")
_FORBIDDEN: Final = re.compile(r'[<>:"|?*]')  # on Windows
_DEVICE: Final = re.compile(r"(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?=\.|$)", re.IGNORECASE)
_EXTENSION: Final = 16


def safe(name: str) -> tuple[str, bool]:
    """The name to use, perhaps empty, and whether anything dangerous had to be taken out."""
    tidy = " ".join(name.split())
    clean = re.split(r"[/\\]", _INVISIBLE.sub("", tidy).rstrip("/\\"))[-1].strip()
    clean = _FORBIDDEN.sub("_", clean).rstrip(". ")
    if _DEVICE.match(clean):
        clean = f"_{clean}"
    clean = _shortened(clean)
    return clean, clean != tidy


def _shortened(name: str) -> str:
    if len(name.encode()) <= limits.FILENAME:
        return name
    stem, dot, extension = name.rpartition(".")
    if not dot or len(extension.encode()) > _EXTENSION:
        stem, extension = name, ""
    else:
        extension = f".{extension}"
    room = limits.FILENAME - len(extension.encode())
    return stem.encode()[:room].decode("utf-8", "ignore").rstrip() + extension
