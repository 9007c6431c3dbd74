"""The last net under secrets: what is named like one, and what stands in an address as one, is never shown."""

from __future__ import annotations

import re
from typing import Any, Final

from structlog.typing import EventDict, WrappedLogger

HIDDEN: Final = "[hidden]"
_SECRET_NAMES: Final = ("password", "secret", "token", "authorization", "credential", "passwd", "api_key")
# redis://user:PASSWORD@host, as a library may put it into an error's words.
_LOGIN: Final = re.compile(r"(?<=://)([^\s/?#:@\"']*):[^\s/?#@\"']+@")


def hide_secrets(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """A field named like a secret never shows its value, however deep it lies."""
    for name, value in event.items():
        event[name] = _hidden(name, value)
    return event


def without_logins(text: str) -> str:
    """A finished line, its addresses without their passwords."""
    return _LOGIN.sub(rf"\1:{HIDDEN}@", text) if "://" in text else text


def _hidden(name: str, value: Any) -> Any:
    if any(word in name.lower() for word in _SECRET_NAMES):
        return HIDDEN
    match value:
        case str():
            return without_logins(value)
        case dict():
            return {key: _hidden(str(key), inner) for key, inner in value.items()}
    return value
