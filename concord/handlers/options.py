"""Reading a handler's options: unknown names, wrong types and missing values are told in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from concord.errors import UsageError, did_you_mean


class Options(BaseModel):
    """What may be said of one kind of handler or step."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


Given = TypeVar("Given", bound=Options)


def read(model: type[Given], options: Mapping[str, Any], *, kind: str) -> Given:
    """Raises UsageError for the first mistake. The value is not shown: it may be a secret put in the wrong place."""
    try:
        return model.model_validate(dict(options))
    except ValidationError as error:
        mistakes = error.errors(include_url=False, include_context=False, include_input=False)
    # A misspelt name comes before the one it leaves missing.
    first = min(mistakes, key=lambda mistake: mistake["type"] != "extra_forbidden")
    option = ".".join(str(part) for part in first["loc"]) or "(the whole)"
    known = sorted(model.model_fields)
    remedy = f"The options of '{kind}' are {', '.join(known)}" if known else f"'{kind}' takes no options"
    if first["type"] == "extra_forbidden":
        raise UsageError(
            "There is no such option", kind=kind, option=option, remedy=did_you_mean(option, known) or remedy
        )
    if first["type"] == "missing":
        raise UsageError("An option is missing", kind=kind, option=option, remedy=f"Give '{option}'; {remedy}")
    cause = first["msg"].removeprefix("Value error, ")
    raise UsageError("An option cannot be used", kind=kind, option=option, cause=cause, remedy="Correct the option")
