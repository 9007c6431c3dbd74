"""Patterns people write in rules: a glob over the whole value, or a regular expression after `re:`; case never counts.

In a glob only `*` and `?` are special: brackets stand in every second subject line and mean themselves.
"""

from __future__ import annotations

import fnmatch
import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

import regex

from concord.errors import UsageError

EXPRESSION: Final = "re:"
# A person's expression may need exponential time on a hostile subject; one mail must not hold a worker.
SECONDS: Final = 0.1
LONGEST: Final = 1000
# The engine unrolls what is repeated a fixed number of times: `a{100000000}` takes all the memory there is. So many
# signs, at about 270 octets each, are the most that one pattern may become.
_MOST: Final = 500_000
# After `(?x)`, spaces and comments may stand between the digits.
_COUNT: Final = re.compile(r"\{((?:[\s\d]|#.*\n)+)")


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> regex.Pattern[str]:
    """Read a pattern. Raises UsageError for an expression that is none."""
    if len(pattern) > LONGEST:
        raise UsageError("pattern_long", length=len(pattern), limit=LONGEST)
    if not pattern.startswith(EXPRESSION):
        glob = _plain(pattern).replace("[", "[[]")
        return regex.compile(fnmatch.translate(glob), regex.IGNORECASE)
    expression = pattern.removeprefix(EXPRESSION)
    _refuse_huge(expression)
    try:
        return regex.compile(expression, regex.IGNORECASE)
    except (regex.error, RecursionError, ValueError, LookupError, OverflowError) as error:
        raise UsageError("pattern_invalid", pattern=pattern, cause=error) from error


def _refuse_huge(expression: str) -> None:
    """No sign is unrolled more often than all counts multiplied say."""
    counts = (re.sub(r"\s|#.*\n", "", found) for found in _COUNT.findall(expression))
    if len(expression) * math.prod(max(1, int(count or "1")) for count in counts) > _MOST:
        raise UsageError("pattern_repeats", pattern=expression)


class Matcher:
    """Tries patterns for one mail, and gives up on those that take too long."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self.slow: dict[str, None] = {}  # in the order met

    def any(self, patterns: Sequence[str], values: Iterable[str]) -> bool:
        """Whether one of the patterns fits one of the values. No patterns mean any value will do."""
        if not patterns:
            return True
        plain = [_plain(value) for value in values]
        return any(self._fits(pattern, value) for pattern in patterns for value in plain)

    def _fits(self, pattern: str, value: str) -> bool:
        if pattern in self.slow:
            return False
        try:
            return compiled(pattern).search(value, timeout=self._seconds) is not None
        except TimeoutError:
            self.slow[pattern] = None
            return False


def _plain(value: str) -> str:
    """Compose accents: some systems send them as letters of their own."""
    return unicodedata.normalize("NFC", value)
