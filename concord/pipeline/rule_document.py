"""Rules as people write them in TOML or JSON, and back: `concord apply` and the command line share this form."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from concord.errors import Mistake, UsageError, nearest
from concord.model.account import Priority
from concord.model.rule import Match, Rule

_UNITS: Final = {
    "": 1, "b": 1, "kb": 1000, "mb": 1000**2, "gb": 1000**3, "kib": 1024, "mib": 1024**2, "gib": 1024**3,
}  # fmt: skip
_SIZE: Final = re.compile(r"(-?\d+)\s*([a-z]*)", re.IGNORECASE)


def rule_from_document(document: Mapping[str, Any]) -> Rule:
    """Read the written form. Raises UsageError, which names the rule, the key and the remedy."""
    rule, mistakes = read_rule(document)
    for mistake in mistakes:
        raise mistake.error
    return rule


def read_rule(document: Mapping[str, Any]) -> tuple[Rule, list[Mistake]]:
    """Whatever can be read of the written form, and what cannot: a form shows all mistakes at once."""
    name, mistakes = document.get("name"), []
    if not isinstance(name, str) or not name.strip():
        mistakes.append(Mistake(("name",), UsageError("rule_no_name")))
        name = ""
    reading = _Reading(name)
    values = reading.values({key: value for key, value in document.items() if key not in ("name", "match")}, _RULE)
    match = reading.match(document.get("match"))
    return Rule(name=name, match=match, **values), mistakes + reading.mistakes


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


_RULE: Final[dict[str, Reader]] = {
    "position": _whole,
    "enabled": _truth,
    "priority": _priority,
    "handlers": _names,
    "workflows": _names,
    "skip": _truth,
    "stop": _truth,
}
# As people read them.
_KEYS: Final = ("name", "position", "enabled", "match", "priority", "handlers", "workflows", "skip", "stop")


class _Reading:
    """Reads one rule's values and keeps what could not be read."""

    def __init__(self, rule: str) -> None:
        self._rule = rule or None
        self.mistakes: list[Mistake] = []

    def match(self, written: object) -> Match:
        """The conditions that can be read."""
        if written is None:
            return Match()
        if not isinstance(written, Mapping):
            self._refuse(("match",), written, "it is a table of conditions")
            return Match()
        values = self.values(written, _MATCH, ("match",))
        # Python keeps the word for itself.
        return Match(**{"from_" if key == "from" else key: value for key, value in values.items()})

    def values(
        self, document: Mapping[str, Any], readers: Mapping[str, Reader], where: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """Each key by its reader; what says nothing is left out."""
        values = {}
        for key, written in document.items():
            if key not in readers:
                self._unknown((*where, key), tuple(readers) if where else _KEYS)
            elif written is not None:
                try:
                    values[key] = readers[key](written)
                except ValueError as error:
                    self._refuse((*where, key), written, error)
        return values

    def _refuse(self, path: tuple[str, ...], written: object, cause: object) -> None:
        error = UsageError("rule_value", rule=self._rule, key=path[-1], value=written, cause=cause)
        self.mistakes.append(Mistake(path, error))

    def _unknown(self, path: tuple[str, ...], known: Sequence[str]) -> None:
        error = UsageError(
            "rule_key", rule=self._rule, key=path[-1], near=nearest(path[-1], known), known=", ".join(known)
        )
        self.mistakes.append(Mistake(path, error))


def _written(value: object) -> object:
    if isinstance(value, tuple):
        return value[0] if len(value) == 1 else list(value)
    if isinstance(value, Mapping):
        return {key: _written(inner) for key, inner in value.items()}
    return value
