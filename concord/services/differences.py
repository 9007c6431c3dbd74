"""What a change changes, in words for the audit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any


def differing(before: Mapping[str, Any], after: Mapping[str, Any], *others: str) -> str:
    """`host: "a" → "b"; interval: null → 30; password`: the last are named only, for they are secret."""
    keys = [key for key in dict.fromkeys([*before, *after]) if before.get(key) != after.get(key)]
    told = [f"{key}: {_written(before.get(key))} → {_written(after.get(key))}" for key in keys]
    return "; ".join([*told, *others])


def _written(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
