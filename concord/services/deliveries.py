"""Deliveries: events on their way to handlers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final

from concord.auditing import audited
from concord.errors import QueueDownError
from concord.model.caller import Caller
from concord.model.delivery import DeliveryState
from concord.services.retrying import Retried, listed, numbered

if TYPE_CHECKING:
    from concord.bootstrap import Concord

_AT_ONCE: Final = 500


def retry(parts: Concord, ids: Sequence[int], *, by: Caller) -> Retried:
    """Offer dead or waiting deliveries again now, their tries counted anew."""
    with audited(parts.audit, by, "delivery.retry", numbered(ids, "delivery")) as note:
        changed = parts.outbox.retry_deliveries(ids)
        note.detail = listed(changed)
        trouble = None
        try:
            parts.queue.deliver(changed)
        except QueueDownError as error:
            trouble = error
    return Retried.of(ids, changed, trouble)


def dead(parts: Concord, handler: str | None = None) -> Iterator[int]:
    """Numbers of all that were given up, the newest first."""
    before: int | None = None
    while page := parts.outbox.deliveries(state=DeliveryState.DEAD, handler=handler, before_id=before, limit=_AT_ONCE):
        yield from (one.id for one in page)
        before = page[-1].id
