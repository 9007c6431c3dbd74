"""Sentences with holes, `%(name)s`, and the one way to fill a sentence that is not a literal of the code."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

_HOLE: Final = re.compile(r"%(?:\((?P<name>\w+)\)[sd]|(?P<percent>%))", re.ASCII)


def fill(template: str, values: Mapping[str, object]) -> str:
    """The template with each `%(name)s` replaced by its value. Raises KeyError for a name without a value.

    Unlike Python's `%`, it knows no widths and no precisions: a few octets of template never become a gigabyte.
    """

    def value_of(hole: re.Match[str]) -> str:
        return "%" if hole["percent"] else str(values[hole["name"]])

    return _HOLE.sub(value_of, template)
