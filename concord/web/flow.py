"""Whether mail flows: Beat sends the polls, workers take them, polls end.

Every part may answer and none of this happen.

Without a mailbox that is switched on there is nothing to send, and silence is well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import wraps
from typing import Final

from concord.bootstrap import Concord
from concord.errors import InfrastructureError, QueueDownError, SchemaError
from concord.manager.status import beat_patience, worker_patience
from concord.model.account import Account, AccountStatus
from concord.ports import WorkerPulse
from concord.web.check import Check
from concord.web.i18n import N_

# A poll may wait for its worker, then take its budget; one interval missed is no silence.
_INTERVALS: Final = 3
_SHORTEST: Final = timedelta(minutes=5)
# A worker that said nothing for so long has ended: it writes its pulse every few seconds.
_ENDED: Final = timedelta(seconds=45)
_IDLE: Final = "No mailbox is switched on"
_REDIS_SAYS: Final = "Whether mail flows, Redis must say"
_DATABASE_SAYS: Final = "Whether mail flows, the database must say"


def _where_they_answer(look: Callable[[Concord], str | Check]) -> Callable[[Concord], str | Check]:
    """A look that finds nothing wrong where Redis or the database is away: they have checks of their own."""

    @wraps(look)
    def guarded(concord: Concord) -> str | Check:
        try:
            return look(concord)
        except QueueDownError:
            return _REDIS_SAYS
        except (InfrastructureError, SchemaError):
            return _DATABASE_SAYS

    return guarded


@_where_they_answer
def schedule(concord: Concord) -> str | Check:
    """Beat looks at the schedule, and sends what is due."""
    if not concord.accounts.all(enabled_only=True):
        return _IDLE
    return sent(
        concord.pulse.last_tick(),
        concord.pulse.last_send(),
        now=concord.clock(),
        patience=beat_patience(concord.settings),
        lease=f"{concord.settings.redis.key_prefix}beat::lock",
    )


@_where_they_answer
def workers(concord: Concord) -> str | Check:
    """A canary comes back from every worker."""
    if not concord.accounts.all(enabled_only=True):
        return _IDLE
    return taken(concord.pulse.workers(), now=concord.clock(), patience=worker_patience(concord.settings))


@_where_they_answer
def polls(concord: Concord) -> str | Check:
    """Polls end, whether they went well or not."""
    accounts, statuses = concord.accounts.all(enabled_only=True), concord.accounts.statuses()
    return ended(accounts, statuses, now=concord.clock(), default_interval=concord.poll_interval)


def sent(
    tick: datetime | None, send: datetime | None, *, now: datetime, patience: timedelta, lease: str
) -> str | Check:
    """`tick`: when the leading Beat last looked. `send`: when it last had sent all that was due, if it says so."""
    if tick is None or now - tick > patience:
        return Check(
            ok=False,
            detail=N_("Beat does not look at the schedule: no poll is sent"),
            cause=f"{_ago(tick, now)}; lease {lease}",
            remedy=N_(
                "Start or restart Beat. Where its log says that another Beat leads, and none does, delete the lease "
                "in Redis (DEL)"
            ),
        )
    if send is not None and now - send > patience:
        return Check(
            ok=False,
            detail=N_("Beat cannot send the tasks that are due"),
            cause=_ago(send, now),
            remedy=N_(
                "The log of Beat has Redis' words. See whether Redis is full or cannot save, and whether another "
                "program changed Concord's keys"
            ),
        )
    return "Beat sends what is due"


def taken(pulses: Sequence[WorkerPulse], *, now: datetime, patience: timedelta) -> str | Check:
    """From the canaries that every worker sends itself."""
    alive = [one for one in pulses if now - one.at <= _ENDED]
    if not alive:
        return Check(
            ok=False,
            detail=N_("No worker runs: no mail is fetched or processed"),
            remedy=N_("Start the workers, and see their log where they do not stay"),
        )
    deaf = [one for one in alive if now - max(one.consumed_at or one.started_at, one.started_at) > patience]
    if deaf:
        return Check(
            ok=False,
            detail=N_("Workers run and take no tasks: their canaries do not come back"),
            cause=", ".join(f"{one.node}: {_ago(one.consumed_at, now)}" for one in deaf),
            remedy=N_("Restart them; their log says why they did not restart by themselves"),
        )
    return f"Canaries came back from {len(alive)} workers"


def ended(
    accounts: Sequence[Account], statuses: Mapping[int, AccountStatus], *, now: datetime, default_interval: int
) -> str | Check:
    """Not well where every mailbox whose turn it is waits for much longer than its interval."""
    pairs = [(account, statuses.get(account.id, AccountStatus())) for account in accounts]
    waiting = [(account, status) for account, status in pairs if not (status.next_try and status.next_try > now)]
    if not waiting:
        return "No mailbox waits for a poll"
    silent = [pair for pair in waiting if _is_silent(*pair, now=now, default_interval=default_interval)]
    if len(silent) < len(waiting):
        return "Polls end"
    last = max((status.last_poll for _, status in silent if status.last_poll), default=None)
    return Check(
        ok=False,
        detail=N_("No poll of any mailbox ended for several intervals: no mail comes in"),
        cause=f"{len(silent)} mailboxes wait; {_ago(last, now)}",
        remedy=N_(
            "See whether Beat and the poll worker work, and restart the poll worker. 'concord sync-email-tasks' puts "
            "the schedule right"
        ),
    )


def _is_silent(account: Account, status: AccountStatus, *, now: datetime, default_interval: int) -> bool:
    since = status.last_poll or account.start_at
    interval = timedelta(seconds=account.interval or default_interval)
    return since is not None and now - since > max(_INTERVALS * interval, _SHORTEST)


def _ago(moment: datetime | None, now: datetime) -> str:
    return f"last {round((now - moment).total_seconds())} s ago" if moment else "never"
