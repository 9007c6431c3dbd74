"""Narrowing a list by what was asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, Select


def narrow(wanted: Select[Any], *conditions: tuple[Callable[[Any], ColumnElement[bool]], object]) -> Select[Any]:
    """Keep what meets the conditions; one without a value is none."""
    for compare, value in conditions:
        if value is not None:
            wanted = wanted.where(compare(value))
    return wanted
