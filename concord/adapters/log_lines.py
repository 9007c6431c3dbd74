"""Log lines as a person reads them: our JSON becomes a sentence with its facts, everything else stays as it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

# Said first, in words of their own, or of no use to a person.
_SAID: Final = frozenset({"event", "level", "timestamp", "logger", "exception", "stack"})


def readable(line: str) -> str:
    """`10:04:12 error poll.failed  account=info  cause=…` for one of our lines."""
    facts = _facts(line)
    if facts is None:
        return line.rstrip()
    clock = str(facts.get("timestamp", ""))[11:19]  # of 2026-11-25T10:04:12.123456Z
    head = " ".join(part for part in (clock, str(facts.get("level", "")), str(facts["event"])) if part)
    told = [f"{name}={_value(value)}" for name, value in facts.items() if name not in _SAID and value not in (None, "")]
    return "  ".join([head, *told, *_exceptions(facts.get("exception"))])


def _facts(line: str) -> Mapping[str, Any] | None:
    if not line.lstrip().startswith("{"):
        return None
    try:
        facts = json.loads(line)
    except ValueError:
        return None
    return facts if isinstance(facts, dict) and "event" in facts else None


def _value(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _exceptions(exception: object) -> list[str]:
    """The last line of a traceback. Ours have one entry for each exception of the chain, the last raised first."""
    match exception:
        case [{"exc_type": kind, "exc_value": value}, *_]:
            return [f"{kind}: {value}"]
        case str() if exception.strip():
            return [exception.strip().splitlines()[-1].strip()]
        case _:
            return []
