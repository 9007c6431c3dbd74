"""Making an event fit where it is sent: its HTML goes first, then its text; what is left says so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from concord.errors import HandlerRefusedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """An event as it is sent; `dropped` names the fields of its data that were too big."""

    event: Mapping[str, Any] = field(repr=False)
    document: bytes = field(repr=False)
    dropped: tuple[str, ...] = ()


def fit(event: Mapping[str, Any], document: bytes, limit: int) -> Load:
    """The event in at most `limit` octets, the same at every try. HandlerRefusedError where that cannot be."""
    load = Load(event=event, document=document)
    for name in ("html", "text"):
        if len(load.document) <= limit:
            return load
        load = _without(load, name)
    if len(load.document) > limit:
        raise HandlerRefusedError("too_big", size=len(load.document), limit=limit)
    return load


def _without(load: Load, name: str) -> Load:
    data = {**load.event["data"], name: None, "truncated": True}
    event = {**load.event, "data": data}
    document = json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()
    return Load(event=event, document=document, dropped=(*load.dropped, name))
