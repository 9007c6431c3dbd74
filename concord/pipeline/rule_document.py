"""Rules as people write them in TOML or JSON, and back: `concord apply` and the command line share this form."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from concord.errors import UsageError, did_you_mean
from concord.model.account import Priority
from concord.model.rule import Match, Rule

_UNITS: Final = {
    "": 1, "b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "kib": 1024, "mib": 1024**2, "gib": 1024**3,
}  # fmt: skip
_SIZE: Final = re.compile(r"(-?\d+)\s*([a-z]*)", re.IGNORECASE)
_NO_BETTER: Final = "Correct it where the rule is written"


def rule_from_document(document: Mapping[str, Any]) -> Rule:
    """Read the written form. Raises UsageError, which names the rule, the key and the remedy."""
    name = document.get("name")
    if not isinstance(name, str) or not name.strip():
        raise UsageError("A rule has no name", remedy='Give it one with name = "…"')
    values = _read(document, _RULE, name)
    return Rule(**values)


def rule_to_document(rule: Rule) -> dict[str, Any]:
    """The written form: what is not at its default, in the order people read it."""
    document: dict[str, Any] = {"name": rule.name, "position": rule.position, "enabled": rule.enabled}
    match = {key.rstrip("_"): _written(getattr(rule.match, key)) for key in Match.__dataclass_fields__}
    if conditions := {key: value for key, value in match.items() if value not in (None, [], {})}:
        document["match"] = conditions
    if rule.priority:
        document["priority"] = rule.priority.value
    for key in ("handlers", "workflows", "skip", "stop"):
        if value := _written(getattr(rule, key)):
            document[key] = value
    return document


def octets(written: object) -> int:
    """A size: octets as a number, or text like 10MB (1,000,000 each) or 10MiB (1,048,576 each). Raises ValueError."""
    if isinstance(written, int) and not isinstance(written, bool):
        return written
    found = _SIZE.fullmatch(written.strip()) if isinstance(written, str) else None
    if found is None or found[2].lower() not in _UNITS:
        raise ValueError("a size is a number of octets, or like 500kB, 10MB, 1GiB")
    return int(found[1]) * _UNITS[found[2].lower()]


def _names(written: object) -> tuple[str, ...]:
    """A list of words, or one alone."""
    words = [written] if isinstance(written, str) else written
    if not isinstance(words, list | tuple) or not all(isinstance(word, str) for word in words):
        raise ValueError("it is a word in quotation marks, or a list of them")
    return tuple(words)


def _truth(written: object) -> bool:
    if not isinstance(written, bool):
        raise ValueError("it is true or false")  # noqa: TRY004 - one kind of refusal; the caller adds rule and key
    return written


def _whole(written: object) -> int:
    if not isinstance(written, int) or isinstance(written, bool):
        raise ValueError("it is a whole number")  # noqa: TRY004 - as above
    return written


def _priority(written: object) -> Priority:
    if written not in list(Priority):
        raise ValueError("it is high, normal or low")
    return Priority(str(written))


def _headers(written: object) -> dict[str, tuple[str, ...]]:
    if not isinstance(written, Mapping):
        raise ValueError('it is a table of header names and patterns, as in {List-Id = "*"}')  # noqa: TRY004 - as above
    return {str(name): _names(patterns) for name, patterns in written.items()}


Reader = Callable[[object], object]

_MATCH: Final[dict[str, Reader]] = {
    "account": _names,
    "folder": _names,
    "from": _names,
    "to": _names,
    "cc": _names,
    "subject": _names,
    "header": _headers,
    "larger": octets,
    "smaller": octets,
    "attachment_name": _names,
    "attachment_type": _names,
}


def _match(written: object) -> Match:
    if not isinstance(written, Mapping):
        raise ValueError("it is a table of conditions")  # noqa: TRY004 - as above
    return Match(**_read(written, _MATCH, None))


_RULE: Final[dict[str, Reader]] = {
    "name": str,
    "position": _whole,
    "enabled": _truth,
    "match": _match,
    "priority": _priority,
    "handlers": _names,
    "workflows": _names,
    "skip": _truth,
    "stop": _truth,
}


def _read(document: Mapping[str, Any], readers: Mapping[str, Reader], rule: str | None) -> dict[str, Any]:
    """Each key by its reader; `from` becomes `from_`, since Python keeps the word for itself."""
    values = {}
    for key, written in document.items():
        if key not in readers:
            raise UsageError(
                "A rule has a key that does not exist",
                rule=rule,
                key=key,
                remedy=did_you_mean(key, readers) or f"The keys are {', '.join(readers)}",
            )
        if written is None:
            continue
        try:
            values["from_" if key == "from" else key] = readers[key](written)
        except ValueError as error:
            raise UsageError(
                "A rule's value cannot be used", rule=rule, key=key, value=written, cause=error, remedy=_NO_BETTER
            ) from None
        except UsageError as error:
            # From inside `match`, where the rule's name is not known.
            raise UsageError(error.message, remedy=error.advice, **(error.fields | {"rule": rule})) from None
    return values


def _written(value: object) -> object:
    if isinstance(value, tuple):
        return value[0] if len(value) == 1 else list(value)
    if isinstance(value, Mapping):
        return {key: _written(inner) for key, inner in value.items()}
    return value
