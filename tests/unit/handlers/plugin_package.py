"""What another package might bring: a handler, steps, and several ways to be broken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from concord.errors import UsageError
from tests.fakes.handlers import MemoryHandler

NOT_CALLABLE = 7


class Kept(MemoryHandler):
    def __init__(self, options: Mapping[str, Any]) -> None:
        super().__init__()
        self.options = options


def make(options: Mapping[str, Any]) -> Kept:
    return Kept(options)


def fail(options: Mapping[str, Any]) -> Kept:
    raise RuntimeError("no licence")


def choosy(options: Mapping[str, Any]) -> Kept:
    raise UsageError("option_missing", option="colour")


def make_nothing(options: Mapping[str, Any]) -> object:
    return object()


def count(
    event: Mapping[str, Any], outputs: Mapping[str, Mapping[str, Any]], options: Mapping[str, Any]
) -> dict[str, object]:
    return {"steps_before": len(outputs), "key": options["idempotency_key"], "subject": event["data"]["subject"]}


def silent(event: object, outputs: object, options: object) -> None:
    return None


def babbling(event: object, outputs: object, options: object) -> object:
    return {"when": object()}
