"""Names of rules, handlers and workflows: people type them, pages put them into addresses, rows refer to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from concord.errors import Mistake, UsageError

LONGEST: Final = 100
_STEPS: Final = (".", "..")  # a browser takes them out of an address (RFC 3986, section 5.2.4)
_NONE: Final[Mapping[str, str]] = {
    "rule": "rule_no_name",
    "handler": "handler_no_name",
    "workflow": "workflow_no_name",
    "step": "step_no_name",
}
_UNFIT: Final[Mapping[str, str]] = {
    "rule": "rule_name",
    "handler": "handler_name",
    "workflow": "workflow_name",
    "step": "step_name",
}


def name_mistake(noun: str, name: str, path: tuple[str | int, ...] = ("name",)) -> Mistake | None:
    """What is wrong with a name of that noun (rule, handler, workflow, step); None where nothing is."""
    if not name.strip():
        return Mistake(path, UsageError(_NONE[noun]))
    fits = len(name) <= LONGEST and name.isprintable() and "/" not in name and not name.startswith("-")
    if fits and name not in _STEPS:
        return None
    error = UsageError(
        _UNFIT[noun],
        **{noun: name},
        cause="a name is 1 to 100 printable characters, without '/', not '.' or '..', not beginning with '-'",
    )
    return Mistake(path, error)
