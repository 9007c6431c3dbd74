"""What a soak looks for when everything is whole again: nothing lost, doubled, stuck, blamed or unaccounted for."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import func, select

from concord.adapters.sql.engine import reading
from concord.adapters.sql.outbox_tables import deliveries, events, workflow_runs
from concord.adapters.sql.tables import messages
from concord.model.delivery import DeliveryState
from concord.model.message import MessageState
from concord.pipeline.reconcile import Reconciler
from tests.soak.cluster import Cluster

ENDED = (MessageState.PROCESSED.value, MessageState.QUARANTINED.value, MessageState.SKIPPED.value)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Numbers that must be zero, and some that explain."""

    lost: int  # mails without an event
    doubled: int  # mails with more than one
    stuck: int  # messages, deliveries and runs that have not ended
    blamed: int  # messages quarantined, deliveries dead, runs failed
    unaccounted: int  # mails that the servers have and the ledger lacks
    not_archived: int  # messages whose raw bytes are not in the archive
    unseen: int  # events that a receiver never accepted, or that are not recorded as delivered to it
    strange: int  # what a receiver accepted that is no event of ours, or came under two ids
    down: int  # daemons that do not run
    events: int
    repeated: int  # accepted more than once, under the same id
    drained_in: float  # seconds from the last fault's end until everything had ended

    @property
    def is_clean(self) -> bool:
        """Whether every promise held."""
        good = {"events", "repeated", "drained_in"}
        return not any(value for name, value in self.as_dict().items() if name not in good)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


def standing(cluster: Cluster) -> dict[str, int]:
    """How many messages, deliveries and runs are in each state."""
    found: dict[str, int] = {}
    with reading(cluster.stack.concord.engine) as connection:
        for table in (messages, deliveries, workflow_runs):
            rows = connection.execute(select(table.c.state, func.count()).group_by(table.c.state))
            found |= {f"{table.name} {state}": count for state, count in rows}
    return found


def wait_until_drained(cluster: Cluster, expected: int, *, within: float) -> float:
    """Seconds until as many events as mails are delivered everywhere, or `within`."""
    began = time.monotonic()
    while time.monotonic() - began < within and not _is_drained(cluster, expected):
        time.sleep(0.5)
    return time.monotonic() - began


def _is_drained(cluster: Cluster, expected: int) -> bool:
    found = standing(cluster)
    ended = sum(found.get(f"messages {state}", 0) for state in ENDED)
    waiting = [
        name for name in found if name.startswith("deliveries ") and name.split()[1] not in ("delivered", "dead")
    ]
    return ended >= expected and not waiting


def judge(cluster: Cluster, subjects: list[str], drained_in: float) -> Verdict:
    """Compare what was delivered to the mail server with what became of it."""
    with reading(cluster.stack.concord.engine) as connection:
        made = Counter(connection.execute(select(events.c.subject)).scalars())
        ids = {str(event) for event in connection.execute(select(events.c.id)).scalars()}
        keys = list(connection.execute(select(messages.c.archive_key)).scalars())
        wanted = connection.execute(
            select(deliveries.c.handler, func.count())
            .where(deliveries.c.state == DeliveryState.DELIVERED.value)
            .group_by(deliveries.c.handler)
        ).all()
    found = standing(cluster)
    archive = cluster.stack.concord.archive
    accepted = cluster.receivers.accepted
    delivered: dict[str, int] = dict(wanted)
    return Verdict(
        lost=sum(subject not in made for subject in subjects),
        doubled=sum(count - 1 for count in made.values() if count > 1),
        stuck=sum(
            count
            for name, count in found.items()
            if name.split()[1] in ("unfetched", "archived", "processing", "pending", "delivering", "running")
        ),
        blamed=sum(count for name, count in found.items() if name.split()[1] in ("quarantined", "dead", "failed")),
        unaccounted=_unaccounted(cluster),
        not_archived=sum(key is None or archive.stat(key) is None for key in keys),
        unseen=sum(
            len(ids - accepted[f"/{handler}"].keys()) + max(len(ids) - delivered.get(handler, 0), 0)
            for handler in ("steady", "shaky")
        ),
        strange=sum(len(seen.keys() - ids) for seen in accepted.values()) + cluster.receivers.renamed(),
        down=cluster.down(),
        events=len(ids),
        repeated=sum(count - 1 for seen in accepted.values() for count in seen.values()),
        drained_in=round(drained_in, 1),
    )


def _unaccounted(cluster: Cluster) -> int:
    """Ask every server once more what it has."""
    concord = cluster.stack.concord
    reconciler: Reconciler = concord.reconciler
    total = 0
    for account in concord.accounts.all():
        lacking = reconciler._guarded(account)
        total += 1 if lacking is None else lacking
    return total
