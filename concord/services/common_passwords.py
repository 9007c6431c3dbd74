"""Passwords that everybody tries first: the 20,000 most common ones, and what people make of them to look longer.

The list is the one that Django 5.2 ships (BSD-3-Clause), by Royce Williams, of passwords in public breaches. It travels
with the package, so that no password is ever looked up over a network.
"""

from __future__ import annotations

import gzip
from functools import cache
from importlib.resources import files
from string import digits, punctuation, whitespace
from typing import Final

_FILLING: Final = digits + punctuation + whitespace
# Runs along a keyboard or an alphabet, twice, so that they may begin anywhere.
_RUNS: Final = ("1234567890" * 3, "abcdefghijklmnopqrstuvwxyz" * 2, "qwertyuiopasdfghjklzxcvbnm" * 2)
# Documented in deploy/security.md (a test insists).
CONTEXT: Final = ("concord", "mailbox", "mail", "imap", "admin", "operator", "viewer", "password", "server")
_LEAST_LEFT: Final = 4
_SWAPPED: Final = str.maketrans("@4310$5!7", "aaeiossit")


def is_common(password: str) -> bool:
    """Whether it is on the list, or one of the list repeated, spelt with digits, or between digits and signs."""
    lowered = password.lower()
    core = lowered.strip(_FILLING)
    spelt = lowered.translate(_SWAPPED)
    forms = (lowered, core, spelt, spelt.strip(_FILLING), core.translate(_SWAPPED))
    if any(form and (form in _common() or _unit(form) in _common()) for form in forms):
        return True
    return any(lowered in run or lowered in run[::-1] for run in _RUNS)


def is_of_context(password: str, name: str) -> bool:
    """Whether little is left of it without the user's name and the words that everybody connects with Concord."""
    left = password.lower()
    for word in (name.lower(), *CONTEXT):
        left = left.replace(word, "")
    return len(left.strip(_FILLING)) < _LEAST_LEFT


def _unit(text: str) -> str:
    """What a text repeats: `abc` of `abcabc`; the text itself where it repeats nothing."""
    return text[: (text + text).find(text, 1)]


@cache
def _common() -> frozenset[str]:
    packed = files("concord.services").joinpath("common-passwords.txt.gz").read_bytes()
    return frozenset(gzip.decompress(packed).decode("utf-8").splitlines())
