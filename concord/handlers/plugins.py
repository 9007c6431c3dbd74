"""Handlers and workflow steps that other packages bring, found by their entry points and loaded when first used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

from concord.errors import ConcordError, HandlerRefusedError
from concord.ports import Handler

HANDLERS: Final = "concord.handlers"
WORKFLOWS: Final = "concord.workflows"

StepFunction = Callable[[Mapping[str, Any], Mapping[str, Mapping[str, Any]], Mapping[str, Any]], Mapping[str, object]]


def names(group: str) -> tuple[str, ...]:
    """What is installed, without loading any of it."""
    return tuple(sorted({point.name for point in entry_points(group=group)}))


def make_handler(kind: str, options: Mapping[str, Any]) -> Handler:
    """Load a package's factory and ask it for a handler. Raises HandlerRefusedError."""
    point = _find(HANDLERS, kind)
    handler: Handler = _guarded(point, lambda: _load(point)(options))
    if not callable(getattr(handler, "deliver", None)):
        raise _refused(point, "its factory does not answer with an object that has 'deliver'")
    return handler


def load_step(kind: str) -> StepFunction:
    """Load a package's step. Raises HandlerRefusedError."""
    point = _find(WORKFLOWS, kind)
    function: StepFunction = _guarded(point, lambda: _load(point))
    return function


def check(group: str, kind: str) -> None:
    """Raise HandlerRefusedError unless it can be loaded."""
    point = _find(group, kind)
    _guarded(point, lambda: _load(point))


def _find(group: str, kind: str) -> EntryPoint:
    return next(iter(entry_points(group=group, name=kind)))


def _load(point: EntryPoint) -> Callable[..., Any]:
    loaded = point.load()
    if not callable(loaded):
        raise _refused(point, "it is not callable")
    return loaded  # type: ignore[no-any-return] # callable is all that can be known of it


def _guarded(point: EntryPoint, work: Callable[[], Any]) -> Any:
    """Foreign code may raise anything at all; whatever it is, this one kind is what cannot be used."""
    try:
        return work()
    except ConcordError:
        raise
    except Exception as error:
        raise _refused(point, f"{type(error).__name__}: {error}") from error


def _refused(point: EntryPoint, cause: str) -> HandlerRefusedError:
    return HandlerRefusedError(
        "package", kind=point.name, distribution=point.dist.name if point.dist else point.value, cause=cause
    )
