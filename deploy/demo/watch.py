"""Looks into the database until every delivered mail is an event and every handler has it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from concord.bootstrap import Concord
from concord.model.delivery import Delivery, DeliveryState
from concord.model.message import Message
from concord.pipeline.event import from_document
from concord.ports import MessageFilter
from deploy.demo.deliver import Delivered

DONE = (DeliveryState.DELIVERED, DeliveryState.DEAD)


@dataclass(frozen=True, slots=True)
class Arrival:
    """A mail that became an event, and the handlers that have it."""

    delivered: Delivered
    data: dict[str, Any]
    deliveries: list[Delivery]
    seconds: float  # from mailbox to the last handler

    @property
    def is_whole(self) -> bool:
        """The archive has the octets that were sent, and no handler refused the event."""
        return self.data["sha256"] == self.delivered.sha256 and all(
            delivery.state is DeliveryState.DELIVERED for delivery in self.deliveries
        )


class Watch:
    """What of these mails has arrived, and where the others stand."""

    def __init__(self, concord: Concord, waited_for: list[Delivered]) -> None:
        self._concord = concord
        self.missing = list(waited_for)

    def arrivals(self) -> Iterator[Arrival]:
        """Those that arrived since this was last asked."""
        rows = self._rows()
        for one in list(self.missing):
            if (row := rows.get(_place(one))) and (arrival := self._arrival(one, row)):
                self.missing.remove(one)
                yield arrival

    def standing(self, one: Delivered) -> str:
        """Where a missing mail stands, in words."""
        row = self._rows().get(_place(one))
        if row is None:
            return "no poll has seen it"
        told = f"{row.state.value}, message {row.id}"
        return f"{told}: {row.error}" if row.error else told

    def _rows(self) -> dict[tuple[str, str, int, int], Message]:
        found = (
            row
            for account in {one.mail.user for one in self.missing}
            for row in self._concord.ledger.search(MessageFilter(account=account))
        )
        return {(row.account, row.folder, row.uidvalidity, row.uid): row for row in found}

    def _arrival(self, one: Delivered, row: Message) -> Arrival | None:
        event = self._concord.outbox.event_of(row.id)
        if event is None:
            return None
        deliveries = self._concord.outbox.deliveries(event_id=event.id)
        if not all(delivery.state in DONE for delivery in deliveries):
            return None
        document = from_document(self._concord.archive.read(event.archive_key))
        ended = [delivery.delivered_at for delivery in deliveries if delivery.delivered_at]
        seconds = (max(ended, default=datetime.now(UTC)) - one.at).total_seconds()
        return Arrival(delivered=one, data=document["data"], deliveries=deliveries, seconds=seconds)


def _place(one: Delivered) -> tuple[str, str, int, int]:
    return (one.mail.user, one.mail.folder, one.uidvalidity, one.uid)
