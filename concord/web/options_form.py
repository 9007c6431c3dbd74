"""The options of a handler or a workflow step as fields of a form, and back; mistakes in the reader's words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from concord.errors import Mistake, UsageError
from concord.handlers.showing import shown
from concord.web.error_text import in_words
from concord.web.i18n import N_, gettext

FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "webhook": ("url", "headers", "timeout"),
    "redis-stream": ("url", "key", "maxlen", "remember", "max_bytes"),
    "celery": ("url", "key_prefix", "task", "queue", "max_bytes"),
    "log": (),
}
# What another package's kind is told is written as JSON.
_OTHERS: Final = ("options",)
NAMES: Final = tuple(dict.fromkeys(name for names in (*FIELDS.values(), _OTHERS) for name in names))
_NUMBERS: Final = frozenset(("timeout", "maxlen", "remember", "max_bytes"))
_DIGITS: Final = 18  # what 63 bits hold
LONGEST: Final = 20_000
DEEPEST: Final = 20
_KINDS: Final[Mapping[str, str]] = {
    "webhook": N_("Webhook"),
    "redis-stream": N_("Redis stream"),
    "celery": N_("Celery task"),
    "log": N_("Log line"),
}


def kind_words(kind: str) -> str:
    """What people call a kind; another package's goes by its name."""
    return gettext(_KINDS[kind]) if kind in _KINDS else kind


def fields_of(kind: str) -> tuple[str, ...]:
    """The fields that a kind's form has."""
    return FIELDS.get(kind, _OTHERS)


def texts_of(kind: str, options: Mapping[str, Any]) -> dict[str, str]:
    """The fields as options that are kept fill them; values of headers are not shown."""
    told = shown(kind, options, with_url=True)
    if kind not in FIELDS:
        return {"options": json.dumps(told, ensure_ascii=False, indent=2) if told else ""}
    return {name: _text(told.get(name)) for name in FIELDS[kind]}


def options_by(kind: str, texts: Mapping[str, str]) -> tuple[dict[str, Any], list[Mistake]]:
    """The options that the fields say; an empty field says nothing."""
    if kind not in FIELDS:
        return _options(texts.get("options", ""))
    given = {name: texts[name] for name in FIELDS[kind] if texts.get(name)}
    options: dict[str, Any] = {name: _number(text) if name in _NUMBERS else text for name, text in given.items()}
    if "headers" not in given:
        return options, []
    headers, mistakes = _headers(given["headers"])
    return {**options, "headers": headers}, mistakes


def field_of(path: tuple[str | int, ...]) -> str:
    """The field that a mistake stands beside."""
    if path[0] != "options":
        return str(path[0])
    return str(path[1]) if len(path) > 1 and path[1] in NAMES else "options"


def words(error: UsageError) -> str:
    """A mistake as it is told beside its field."""
    told = _told(error)
    header = error.facts.get("header")
    return gettext(N_("‘%(pattern)s’: %(mistake)s")) % {"pattern": header, "mistake": told} if header else told


def json_mistake(value: object) -> str:
    """Why a value cannot be kept as JSON, everywhere; empty where it can."""
    try:
        written = json.dumps(value, ensure_ascii=False, allow_nan=False)
        written.encode()
    except (ValueError, RecursionError):
        return N_("it has a number or a text that JSON does not know")
    if "\\u0000" in written:
        return N_("it has a number or a text that JSON does not know")
    return N_("it is too long") if len(written) > LONGEST or _is_deeper(value, DEEPEST) else ""


def _is_deeper(value: object, depth: int) -> bool:
    """Whether tables and lists lie in one another more than that often."""
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else ()
    return depth < 0 or any(_is_deeper(one, depth - 1) for one in inner)


def _told(error: UsageError) -> str:
    if error.situation == "usage.option_missing":
        return gettext(N_("This is needed."))
    cause, limit = error.facts.get("cause"), error.facts.get("limit")
    if error.situation == "usage.option_unusable" and cause:
        said = gettext(str(cause))
        values = {"cause": said[:1].upper() + said[1:], "limit": limit}
        if limit is None:
            return gettext(N_("%(cause)s.")) % values
        return gettext(N_("%(cause)s: the limit is %(limit)s.")) % values
    return in_words(error)


def _text(value: object) -> str:
    if isinstance(value, Mapping):
        return "\n".join(f"{name}: {text}" for name, text in value.items())
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def _number(text: str) -> int | float | str:
    """Text that is no number stays what it is: the handler says what is wrong with it."""
    if text.isascii() and text.isdecimal() and len(text) <= _DIGITS:
        return int(text)
    whole, dot, part = text.partition(".")
    return float(text) if dot and (whole + part).isascii() and whole.isdecimal() and part.isdecimal() else text


def _headers(text: str) -> tuple[dict[str, str], list[Mistake]]:
    headers: dict[str, str] = {}
    mistakes = []
    lines = (line.strip() for line in text.splitlines())
    for number, line in enumerate(lines, 1):
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not line:
            continue
        if not colon or not name:
            # The line is not shown again: it may be a secret in the wrong place.
            error = UsageError("header_line", header=number)
            mistakes.append(Mistake(("options", "headers"), error))
        elif name.lower() in (one.lower() for one in headers):
            error = UsageError("header_twice", header=name)
            mistakes.append(Mistake(("options", "headers"), error))
        else:
            headers[name] = value
    return headers, mistakes


def _options(text: str) -> tuple[dict[str, Any], list[Mistake]]:
    try:
        options = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        options = None
    if isinstance(options, dict) and not json_mistake(options):
        return options, []
    return {}, [Mistake(("options",), UsageError("options_no_object"))]
