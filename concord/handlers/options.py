"""Reading a handler's options: unknown names, wrong types and missing values are told in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from concord.errors import Mistake, UsageError, nearest

# By the checker's own code for what is wrong.
_SENTENCES: Final[Mapping[str, str]] = {
    "int_parsing": "it is not a whole number",
    "int_parsing_size": "it is not a whole number",
    "int_type": "it is not a whole number",
    "int_from_float": "it is not a whole number",
    "float_parsing": "it is not a number",
    "float_type": "it is not a number",
    "finite_number": "it is not a number",
    "greater_than": "it is too small",
    "greater_than_equal": "it is too small",
    "less_than_equal": "it is too big",
    "string_too_short": "it is empty",
    "string_too_long": "it is too long",
    "string_type": "it is not text",
    "string_unicode": "it is not text",
    "dict_type": "it is not a table of names and values",
}


class Options(BaseModel):
    """What may be said of one kind of handler or step."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


Given = TypeVar("Given", bound=Options)


def read(model: type[Given], options: Mapping[str, Any], *, kind: str) -> Given:
    """Raises UsageError for the first mistake. The value is not shown: it may be a secret put in the wrong place."""
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        # A misspelt name comes before the one it leaves missing.
        first = min(error.errors(), key=lambda mistake: mistake["type"] != "extra_forbidden")
        raise _told(first, model, kind) from None


def option_mistakes(model: type[Options], options: Mapping[str, Any], *, kind: str) -> list[Mistake]:
    """All of them, each with its place among the options."""
    try:
        model.model_validate(dict(options))
    except ValidationError as error:
        return [Mistake(one["loc"], _told(one, model, kind)) for one in error.errors()]
    return []


def _told(mistake: ErrorDetails, model: type[Options], kind: str) -> UsageError:
    option = ".".join(str(part) for part in mistake["loc"]) or "(the whole)"
    known = sorted(model.model_fields)
    facts: dict[str, object] = {"kind": kind, "option": option, "known": ", ".join(known) or None}
    if mistake["type"] == "extra_forbidden":
        return UsageError("option_unknown", near=nearest(option, known), **facts)
    if mistake["type"] == "missing":
        return UsageError("option_missing", **facts)
    about = _own_words(mistake)
    cause = about[0] if about else _SENTENCES.get(mistake["type"], mistake["msg"])
    header = about[1] if len(about) > 1 else None
    return UsageError("option_unusable", kind=kind, option=option, cause=cause, limit=_limit(mistake), header=header)


def _own_words(mistake: ErrorDetails) -> tuple[str, ...]:
    """What a check of ours says: a sentence, and what of several it is about."""
    raised = mistake.get("ctx", {}).get("error")
    return tuple(str(word) for word in raised.args) if isinstance(raised, ValueError) else ()


def _limit(mistake: ErrorDetails) -> object:
    context = mistake.get("ctx", {})
    return next((context[name] for name in ("gt", "ge", "le", "min_length", "max_length") if name in context), None)
