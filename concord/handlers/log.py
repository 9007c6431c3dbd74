"""The handler that writes one line to the log for each event: who wrote, about what, never the text."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from concord.handlers.options import Options
from concord.ports import Consignment

log = structlog.get_logger(__name__)


class LogOptions(Options):
    """There are none."""


class LogHandler:
    """Says that an event came."""

    def deliver(self, consignment: Consignment) -> Mapping[str, object]:
        event = consignment.event
        data = event.get("data") or {}
        log.info(
            "event.received",
            event_id=event.get("id"),
            source=event.get("source"),
            account=data.get("account"),
            message_id=data.get("message_id"),
            sender=[person.get("address") for person in data.get("from") or []],
            subject=data.get("subject"),
        )
        return {}
