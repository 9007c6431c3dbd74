"""Reading a handler's options: unknown names, wrong types and missing values are told in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails

from concord.errors import Mistake, UsageError, did_you_mean


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
    remedy = f"The options of '{kind}' are {', '.join(known)}" if known else f"'{kind}' takes no options"
    if mistake["type"] == "extra_forbidden":
        return UsageError(
            "There is no such option", kind=kind, option=option, remedy=did_you_mean(option, known) or remedy
        )
    if mistake["type"] == "missing":
        return UsageError("An option is missing", kind=kind, option=option, remedy=f"Give '{option}'; {remedy}")
    cause = mistake["msg"].removeprefix("Value error, ")
    return UsageError("An option cannot be used", kind=kind, option=option, cause=cause, remedy="Correct the option")
