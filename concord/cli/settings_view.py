"""The settings in force, for people: where each comes from, and no secret."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pydantic import BaseModel

    from concord.settings import Settings

HIDDEN: Final = "[hidden]"
_SECRET_QUERY: Final = re.compile(r"([?&][^=&]*(?:pass|secret|token|key)[^=&]*=)[^&]*", re.IGNORECASE)


def effective(settings: Settings) -> dict[str, Any]:
    """Each setting by its dotted name: its value, and whether it is from environment, credential, file or default."""
    return {path: {"value": value, "from": origin(path)} for path, value in _walk(settings)}


def as_toml(settings: Mapping[str, Mapping[str, Any]]) -> str:
    """The same as a configuration file; what has no value is a comment."""
    lines: list[str] = []
    for group in dict.fromkeys(path.rpartition(".")[0] for path in settings):
        if group:
            lines += ["", f"[{group}]"]
        for path, told in settings.items():
            parent, _, name = path.rpartition(".")
            if parent == group:
                lines.append(_line(name, told["value"], told["from"]))
    return "\n".join(lines).strip()


def _line(name: str, value: object, origin: str) -> str:
    source = "" if origin == "default" else f"  # {origin}"
    if value is None:
        return f"# {name} is not set{source}"
    return f"{name} = {json.dumps(value, ensure_ascii=False)}{source}"


def _walk(group: BaseModel, above: str = "") -> Iterator[tuple[str, Any]]:
    """Plain settings before groups, as TOML wants them."""
    from pydantic import BaseModel

    values = {name: getattr(group, name) for name in type(group).model_fields}
    for name, value in values.items():
        if not isinstance(value, BaseModel):
            yield above + name, _shown(value)
    for name, value in values.items():
        if isinstance(value, BaseModel):
            yield from _walk(value, f"{above}{name}.")


def _shown(value: object) -> Any:
    from pydantic import SecretStr

    if isinstance(value, SecretStr):
        secret = value.get_secret_value()
        return _without_login(secret) if "://" in secret else HIDDEN
    if isinstance(value, tuple):
        return [_shown(one) for one in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    return _without_login(str(value))


def _without_login(text: str) -> str:
    """`scheme://user:***@host/…`. All up to the last @ counts as login: a password may have any character."""
    scheme, sign, rest = text.partition("://")
    if not sign:
        return text
    login, at, place = rest.rpartition("@")
    shown = f"{login.partition(':')[0]}:***@" if at and ":" in login else login + at
    return _SECRET_QUERY.sub(rf"\g<1>{HIDDEN}", f"{scheme}://{shown}{place}")


def origin(path: str) -> str:
    """The strongest source that has it (concord.settings says their order)."""
    from concord.settings import config_path, credential_file

    names = path.split(".")
    for length in range(len(names), 0, -1):
        variable = f"CONCORD_{'__'.join(names[:length])}".upper()
        if variable in os.environ:
            return f"environment {variable}"
    if credential_file(path):
        return f"credential {'__'.join(names)}"
    file = config_path()
    if file.is_file() and _has(tomllib.loads(file.read_text(encoding="utf-8")), names):
        return str(file)
    return "default"


def secrets_in_file(settings: Settings) -> list[str]:
    """The secrets that the settings file gives; an address without a password is none."""
    from concord.settings import SECRETS, config_path

    shown = dict(_walk(settings))
    given = (name for name in sorted(SECRETS) if origin(name) == str(config_path()))
    return [name for name in given if shown[name] == HIDDEN or ":***@" in str(shown[name])]


def _has(tree: object, names: list[str]) -> bool:
    for name in names:
        if not isinstance(tree, Mapping) or name not in tree:
            return False
        tree = tree[name]
    return True
