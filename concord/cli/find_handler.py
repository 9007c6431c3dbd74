"""Finding a handler by its name; the built-in ones are among them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from concord.cli.session import here
from concord.errors import NotFoundError, did_you_mean

if TYPE_CHECKING:
    from concord.model.rule import HandlerSpec


def handler_specs() -> list[HandlerSpec]:
    """Built-in ones first, unless one of the same name is configured."""
    from concord.pipeline.dispatch import BUILT_IN

    return list(({**BUILT_IN} | {spec.name: spec for spec in here().rulebook.handlers()}).values())


def find_handler(name: str) -> HandlerSpec:
    """Raises NotFoundError."""
    known = {spec.name: spec for spec in handler_specs()}
    if name not in known:
        raise NotFoundError(
            "There is no such handler",
            handler=name,
            remedy=did_you_mean(name, known) or "See them with 'concord handler list'",
        )
    return known[name]
