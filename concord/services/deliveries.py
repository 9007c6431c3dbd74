"""Deliveries: events on their way to handlers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Final

from concord.auditing import audited
from concord.errors import QueueDownError
from concord.model.caller import Caller
from concord.model.delivery import DeliveryState
from concord.model.listing import DeliveriesWanted, View
from concord.model.progress import Told, untold
from concord.services.retrying import Retried, listed, numbered

if TYPE_CHECKING:
    from concord.bootstrap import Concord

_AT_ONCE: Final = 500


def retry(parts: Concord, ids: Sequence[int], *, by: Caller) -> Retried:
    """Offer dead or waiting deliveries again now, their tries counted anew."""
    with audited(parts.audit, by, "delivery.retry", numbered(ids, "delivery")) as note:
        done = _retry(parts, ids)
        note.detail = listed(done.changed)
    return done


def retry_all(parts: Concord, wanted: DeliveriesWanted, *, subject: str, by: Caller, told: Told = untold) -> Retried:
    """The same for all dead ones that are like that, some at a time. `subject` says which, for the audit."""
    changed: list[int] = []
    trouble = None
    with audited(parts.audit, by, "delivery.retry", subject) as note:
        found = every_dead(parts, wanted)
        while some := list(islice(found, _AT_ONCE)):
            done = _retry(parts, some)
            changed += done.changed
            trouble = trouble or done.trouble
            told("%(done)s deliveries are offered again", done=len(changed))
        note.detail = numbered(changed, "delivery")
    return Retried(changed=tuple(changed), trouble=trouble)


def dead(parts: Concord, handler: str | None = None) -> Iterator[int]:
    """Numbers of all that were given up, the newest first."""
    return every_dead(parts, DeliveriesWanted(handler=handler))


def every_dead(parts: Concord, wanted: DeliveriesWanted) -> Iterator[int]:
    """Of those that are like that, the ones that were given up, the newest first."""
    wanted, before = replace(wanted, state=DeliveryState.DEAD), None
    while True:
        page = parts.lists.deliveries(wanted, View(before=before, limit=_AT_ONCE))
        yield from (one.delivery.id for one in page.items)
        before = page.older
        if before is None:
            return


def _retry(parts: Concord, ids: Sequence[int]) -> Retried:
    changed = parts.outbox.retry_deliveries(ids)
    trouble = None
    try:
        parts.queue.deliver(parts.outbox.waiting_deliveries(changed))
    except QueueDownError as error:
        trouble = error
    return Retried.of(ids, changed, trouble)
