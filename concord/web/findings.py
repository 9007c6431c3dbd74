"""What is wrong, in order of weight, each with what to do: made of what was seen, without asking anybody."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Final

from concord.manager.status import DaemonRow, Status, Verdict
from concord.model.account import Account, AccountStatus
from concord.model.clock import HostClock
from concord.model.daemon import ADMIN, BEAT, Activity, instance_of
from concord.model.number import Latest
from concord.web.check import Check
from concord.web.i18n import N_


@dataclass(frozen=True, slots=True)
class Place:
    """A page that has more."""

    path: str
    words: str


WORKERS: Final = Place("/admin/workers", N_("Workers"))
MAILBOXES: Final = Place("/admin/settings", N_("Mailboxes"))
QUARANTINE: Final = Place("/admin/quarantine", N_("Quarantine"))
DEAD: Final = Place("/admin/deliveries?state=dead", N_("Deliveries"))
HELD: Final = Place("/admin/deliveries?state=pending", N_("Deliveries"))
FAILED_RUNS: Final = Place("/admin/workflows?state=failed", N_("Workflow runs"))

# From when on waiting is worth a word.
_LATE: Final = timedelta(minutes=15)
_SILENT: Final = timedelta(minutes=5)
_FULL, _BRIM = 0.7, 0.9
_HOSTS: Final = 3  # so many are named

_PARTS: Final[Mapping[str, str]] = {
    "key": N_("Stored passwords or secrets cannot be opened: whatever needs them waits, and nothing is lost."),
    "database": N_("The database does not work."),
    "redis": N_("Redis does not answer: polling and processing wait, and no mail is lost."),
    "archive": N_("The archive takes nothing: polling waits, and no mail is lost."),
}
# What may stand still though every part answers.
_FLOW: Final[Mapping[str, str]] = {
    "schedule": N_("Beat sends no polls: mail waits on its servers, and none is lost."),
    "workers": N_("Workers take no tasks: mail waits, and none is lost."),
    "polls": N_("No mailbox is polled: mail waits on its servers, and none is lost."),
}
# The supervisor's word for the same, which names the daemon.
_SAME: Final[Mapping[str, str]] = {"schedule": "daemon.beat", "workers": "daemon.worker"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """All that was seen at one moment."""

    at: datetime
    checks: Mapping[str, Check]
    daemons: Check
    status: Status | None  # None: the daemons could not be asked yet
    figures: Mapping[str, float]  # by the names of model.number
    failing: Sequence[tuple[Account, AccountStatus]]  # the first few
    recorded: Latest
    clocks: Sequence[HostClock] = ()  # hosts whose clock is wrong, the worst first

    @property
    def mailboxes(self) -> int:
        """How many there are, those that are switched off included."""
        return round(sum(value for name, value in self.figures.items() if name.startswith("account.")))

    @property
    def failing_count(self) -> int:
        """How many mailboxes could not be polled the last time."""
        well = ("account.ok", "account.new", "account.disabled")
        return self.mailboxes - round(sum(self.figures.get(name, 0) for name in well))

    @property
    def is_stopped(self) -> bool:
        """Whether somebody stopped the mail service, or never started it."""
        return self.status is not None and self.status.verdict is Verdict.STOPPED


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailbox:
    """One that cannot be polled."""

    id: int
    name: str
    state: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong. `sentence` and `remedy` are translated and filled with `values` where they are shown."""

    code: str
    serious: bool
    sentence: str
    values: Mapping[str, object] = field(default_factory=dict)
    remedy: str = ""
    detail: str = ""  # what was met, translated as well
    cause: str = ""  # whose words nobody translates
    place: Place | None = None
    mailboxes: tuple[Mailbox, ...] = ()  # whom it concerns: the first few
    advice: bool = False  # everything works; it would be better so


def findings(sight: Sight) -> list[Finding]:
    """The serious ones first."""
    daemons = list(_daemons(sight))
    found = [
        *_parts(sight, _PARTS),
        *daemons,
        *_flow(sight, daemons),
        *_mailboxes(sight),
        *_waiting(sight),
        *_given_up(sight),
        *_redis(sight),
        *_open_redis(sight),
        *_clocks(sight),
    ]
    return sorted(found, key=lambda one: (not one.serious, one.advice))


def _parts(sight: Sight, sentences: Mapping[str, str]) -> Iterator[Finding]:
    for name, sentence in sentences.items():
        check = sight.checks.get(name)
        if check and not check.ok:
            yield Finding(
                code=name,
                serious=True,
                sentence=sentence,
                detail=check.detail,
                cause=check.cause,
                remedy=check.remedy,
            )


def _flow(sight: Sight, daemons: Sequence[Finding]) -> Iterator[Finding]:
    if sight.is_stopped:
        return
    for finding in _parts(sight, _FLOW):
        same = _SAME.get(finding.code)
        if not same or not any(one.code.startswith(same) for one in daemons):
            yield replace(finding, place=WORKERS)


def _daemons(sight: Sight) -> Iterator[Finding]:
    if sight.is_stopped:
        # Before there is a mailbox it has nothing to do.
        if sight.mailboxes:
            yield Finding(
                code="stopped",
                serious=True,
                sentence=N_("The mail service is stopped: no mailbox is polled, and no mail is processed."),
                remedy=N_("Start it on the page Workers."),
                place=WORKERS,
            )
        return
    if not sight.daemons.ok:
        yield Finding(
            code="daemons",
            serious=False,
            sentence=N_("How the daemons do could not be asked."),
            detail=sight.daemons.detail,
            cause=sight.daemons.cause,
            remedy=sight.daemons.remedy,
            place=WORKERS,
        )
    rows = sight.status.daemons if sight.status else ()
    troubled = [finding for row in rows if (finding := _daemon(row))]
    yield from troubled
    if not troubled and sight.mailboxes and _is_silent(sight):
        yield Finding(
            code="silent",
            serious=False,
            sentence=N_("Nothing was recorded for more than %(minutes)s minutes: the figures and plots are old."),
            values={"minutes": round(_SILENT.total_seconds() / 60)},
            remedy=N_("See on the page Workers whether Beat and the mail worker work."),
            place=WORKERS,
        )


def _is_silent(sight: Sight) -> bool:
    return sight.recorded.at is not None and sight.at - sight.recorded.at > _SILENT + timedelta(minutes=2)


def _daemon(row: DaemonRow) -> Finding | None:
    if row.name == ADMIN or (row.works is not False and row.activity is not Activity.FAILED):
        return None
    shared: dict[str, Any] = {"code": f"daemon.{row.name}", "place": WORKERS, "cause": row.detail}
    shared["remedy"] = N_("Restart it on the page Workers; its last log lines are there too.")
    if row.name == BEAT:
        return Finding(serious=True, sentence=N_("Beat does not tick: no mailbox is polled."), **shared)
    instance = instance_of(row.name)
    if instance:
        told = N_("The worker '%(name)s' takes no tasks.")
        return Finding(serious=True, sentence=told, values={"name": instance}, **shared)
    return Finding(serious=False, sentence=N_("%(name)s has failed."), values={"name": row.name.title()}, **shared)


def _mailboxes(sight: Sight) -> Iterator[Finding]:
    if sight.failing_count > 0:
        yield Finding(
            code="mailboxes",
            serious=False,
            sentence=N_("Mailboxes that cannot be polled: %(count)s."),
            values={"count": sight.failing_count},
            remedy=N_("Each mailbox's page says why, and what to do."),
            place=MAILBOXES,
            mailboxes=tuple(
                Mailbox(id=one.id, name=one.name, state=status.state.value, reason=status.last_error or "")
                for one, status in sight.failing
            ),
        )
    if faults := round(sight.figures.get("account.internal_error", 0)):
        yield Finding(
            code="internal_error",
            serious=True,
            sentence=N_("Mailboxes that Concord cannot poll because of a defect of its own: %(count)s."),
            values={"count": faults},
            remedy=N_("Report it with the traceback from the poll worker's log; Concord keeps trying."),
            place=MAILBOXES,
        )
    lost = round(sight.figures.get("now.mail.lost", 0))
    if lost:
        yield Finding(
            code="lost",
            serious=True,
            sentence=N_("Mails whose bytes the archive lacks: %(count)s. They wait, and are not given up."),
            values={"count": lost},
            remedy=N_(
                "Concord asks the mail servers for them again at the next polls. Restore from a backup of the archive "
                "what the servers have no more; work resumes automatically."
            ),
            place=MAILBOXES,
        )
    if lacking := max(0, round(sight.figures.get("now.mail.unaccounted", 0)) - lost):
        yield Finding(
            code="unaccounted",
            serious=True,
            sentence=N_("Mails that servers have and Concord should have and has not: %(count)s."),
            values={"count": lacking},
            remedy=N_("Concord fetches them at the next polls. Where the number stays, see the mailbox's page."),
            place=MAILBOXES,
        )


def _waiting(sight: Sight) -> Iterator[Finding]:
    if sight.is_stopped:
        return
    told = {
        "wait.mail": N_("A mail waits to be processed for %(minutes)s minutes."),
        "wait.delivery": N_("A delivery is overdue by %(minutes)s minutes."),
        "wait.poll": N_("A mailbox's poll is overdue by %(minutes)s minutes."),
    }
    for name, sentence in told.items():
        seconds = sight.figures.get(name, 0)
        if seconds > _LATE.total_seconds():
            yield Finding(
                code=name,
                serious=False,
                sentence=sentence,
                values={"minutes": round(seconds / 60)},
                remedy=N_("See whether the workers work; where they cannot keep up, give them more concurrency."),
                place=WORKERS,
            )


def _given_up(sight: Sight) -> Iterator[Finding]:
    told = {
        "now.mail.quarantined": (
            N_("Mails in quarantine: %(count)s."),
            N_("The page Quarantine says why; mend that, then try them again."),
            QUARANTINE,
        ),
        "now.delivery.dead": (
            N_("Deliveries that were given up: %(count)s."),
            N_("The page Deliveries says why; mend that, then try them again."),
            DEAD,
        ),
        "now.delivery.held": (
            N_("Deliveries that wait for a handler that is disabled or missing: %(count)s."),
            N_("Enable the handler, or add it again; its deliveries go on at once."),
            HELD,
        ),
        "now.delivery.crowded": (
            N_("Deliveries that wait because Concord's own Redis is too full for events: %(count)s."),
            N_("Give their handler a Redis of its own, or have its stream or queue read and trimmed."),
            HELD,
        ),
        "now.workflow.failed": (
            N_("Workflow runs that failed: %(count)s."),
            N_("The page Workflow runs says at which step; mend that, then try them again."),
            FAILED_RUNS,
        ),
    }
    for name, (sentence, remedy, place) in told.items():
        if count := round(sight.figures.get(name, 0)):
            values = {"count": count}
            yield Finding(code=name, serious=False, sentence=sentence, values=values, remedy=remedy, place=place)


def _redis(sight: Sight) -> Iterator[Finding]:
    used, limit = sight.figures.get("redis.used", 0), sight.figures.get("redis.limit", 0)
    if limit and used / limit >= _FULL:
        yield Finding(
            code="redis.memory",
            serious=used / limit >= _BRIM,
            sentence=N_("Redis uses %(share)s %% of the memory it may use; when it is full, all work stops."),
            values={"share": round(100 * used / limit)},
            remedy=N_("See whether a queue grows; raise Redis' 'maxmemory' otherwise."),
            place=WORKERS,
        )


def _open_redis(sight: Sight) -> Iterator[Finding]:
    check = sight.checks.get("redis")
    if check and check.ok and check.remedy:
        yield Finding(
            code="redis.open",
            serious=False,
            advice=True,
            sentence=N_(
                "Redis accepts connections without a password: every user and program that reaches it can read and "
                "change Concord's tasks."
            ),
            remedy=check.remedy,
        )


def _clocks(sight: Sight) -> Iterator[Finding]:
    for clock in sight.clocks[:_HOSTS]:
        told = N_("The clock of the host %(host)s is %(seconds)s seconds ahead of the database's.")
        if clock.ahead < 0:
            told = N_("The clock of the host %(host)s is %(seconds)s seconds behind the database's.")
        yield Finding(
            code=f"clock.{clock.host}",
            serious=False,
            sentence=told,
            values={"host": clock.host, "seconds": round(abs(clock.ahead))},
            remedy=N_(
                "Concord goes by the database's clock and loses nothing. Set the host's clock; run a time service."
            ),
        )
