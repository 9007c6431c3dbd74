"""What an operator is told is wrong: the serious first, each with what to do (U4)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from concord.errors import QueueDownError
from concord.manager.status import DaemonRow, Status, Trouble, Verdict
from concord.model.account import AccountState, AccountStatus
from concord.model.clock import HostClock
from concord.model.daemon import Activity
from concord.model.number import Latest
from concord.web.check import Check
from concord.web.findings import Finding, Mailbox, Sight, findings
from concord.web.health import OPEN_REDIS
from tests.sql_world import account

NOW = datetime(2026, 11, 2, 10, 0, tzinfo=UTC)
WELL = Check(ok=True, detail="It answers")


def row(name: str, *, works: bool | None = True, activity: Activity | None = Activity.RUNNING) -> DaemonRow:
    return DaemonRow(name=name, unit=name, activity=activity, works=works)


def status(*rows: DaemonRow, verdict: Verdict = Verdict.WORKING) -> Status:
    return Status(at=NOW, supervisor="systemd", verdict=verdict, daemons=rows, elsewhere=(), unacked=0, troubles=())


WORKING = status(row("beat"), row("worker@poll"), row("worker@mail"), row("flower"), row("admin", works=None))
GOOD = Sight(
    at=NOW,
    checks=dict.fromkeys(("key", "database", "redis", "archive", "mail"), WELL),
    daemons=WELL,
    status=WORKING,
    figures={"account.ok": 4, "account.new": 1, "account.disabled": 2},
    failing=(),
    recorded=Latest(at=NOW - timedelta(minutes=2), values={}),
)


def found(**changes: Any) -> list[Finding]:
    return findings(replace(GOOD, **changes))


def codes(**changes: Any) -> list[str]:
    return [one.code for one in found(**changes)]


def with_figure(**figures: float) -> list[Finding]:
    named = {name.replace("__", "."): value for name, value in figures.items()}
    return found(figures={**GOOD.figures, **named})


def test_nothing_is_wrong_where_everything_works() -> None:
    assert found() == []


@pytest.mark.parametrize("part", ["key", "database", "redis", "archive"])
def test_part_that_does_not_work_is_serious_with_cause_and_remedy(part: str) -> None:
    away = Check(ok=False, detail="It did not answer", cause="refused", remedy="Start it")

    [finding] = found(checks={**GOOD.checks, part: away})

    assert (finding.code, finding.serious) == (part, True)
    assert (finding.detail, finding.cause, finding.remedy) == ("It did not answer", "refused", "Start it")


@pytest.mark.parametrize("part", ["schedule", "workers", "polls"])
def test_silenced_mail_is_serious_though_every_daemon_lives(part: str) -> None:
    silent = Check(ok=False, detail="It is silent", cause="last 900 s ago", remedy="Restart it")

    [finding] = found(checks={**GOOD.checks, part: silent})

    assert (finding.code, finding.serious) == (part, True)
    assert (finding.detail, finding.cause, finding.remedy) == ("It is silent", "last 900 s ago", "Restart it")
    assert finding.place
    assert finding.place.path == "/admin/workers"


@pytest.mark.parametrize(("part", "daemon"), [("schedule", "beat"), ("workers", "worker@mail")])
def test_silent_daemon_that_the_supervisor_names_is_one_finding(part: str, daemon: str) -> None:
    silent = Check(ok=False, detail="It is silent")

    [code] = codes(checks={**GOOD.checks, part: silent}, status=status(row(daemon, works=False)))

    assert code == f"daemon.{daemon}"


def test_open_redis_is_advice() -> None:
    """Finding 18: nothing is broken, and everybody on the host may break it."""
    [finding] = found(checks={**GOOD.checks, "redis": OPEN_REDIS})

    assert (finding.code, finding.serious, finding.advice) == ("redis.open", False, True)
    assert "redis__url" in finding.remedy


def test_advice_comes_last() -> None:
    silent = Check(ok=False, detail="It is silent")

    order = codes(
        checks={**GOOD.checks, "redis": OPEN_REDIS, "polls": silent}, figures={**GOOD.figures, "now.delivery.dead": 1}
    )

    assert order == ["polls", "now.delivery.dead", "redis.open"]


def test_stopped_service_is_one_finding_that_leads_to_the_workers() -> None:
    """Its daemons do not work, its figures are old: one word says it all."""
    rows = [
        row(name, works=False, activity=Activity.STOPPED)
        for name in ("beat", "worker@poll", "worker@mail", "worker@deliver")
    ]

    [finding] = found(
        status=status(*rows, verdict=Verdict.STOPPED),
        recorded=Latest(at=NOW - timedelta(days=1), values={}),
        figures={**GOOD.figures, "wait.mail": 90_000},
        checks={**GOOD.checks, **dict.fromkeys(("schedule", "workers", "polls"), Check(ok=False, detail="Silent"))},
    )

    assert (finding.code, finding.serious) == ("stopped", True)
    assert finding.place
    assert finding.place.path == "/admin/workers"


def test_service_that_has_nothing_to_do_yet_may_be_stopped() -> None:
    assert codes(status=status(verdict=Verdict.STOPPED), figures={}) == []


@pytest.mark.parametrize(
    ("daemon", "code", "serious"),
    [
        (row("beat", works=False), "daemon.beat", True),
        (row("worker@mail", works=False), "daemon.worker@mail", True),
        (row("flower", works=False, activity=Activity.FAILED), "daemon.flower", False),
    ],
)
def test_daemon_that_does_not_work_is_told_by_name(daemon: DaemonRow, code: str, *, serious: bool) -> None:
    [finding] = found(status=status(daemon, verdict=Verdict.DEGRADED))

    assert (finding.code, finding.serious) == (code, serious)


def test_daemon_of_which_nothing_is_known_is_no_finding() -> None:
    """Redis away is told once, not once more for each daemon that it keeps from proving itself."""
    unknown = status(row("beat", works=None), row("worker@mail", works=None), verdict=Verdict.DEGRADED)
    trouble = Trouble(what="workers", error=QueueDownError("no_answer"))

    assert codes(status=replace(unknown, troubles=(trouble,))) == []


def test_daemons_that_cannot_be_asked_are_told_so() -> None:
    [finding] = found(status=None, daemons=Check(ok=False, detail="It does not answer in time", cause="2 s"))

    assert (finding.code, finding.serious) == ("daemons", False)
    assert (finding.detail, finding.cause) == ("It does not answer in time", "2 s")


def test_deliveries_that_wait_for_their_handler_or_for_room_are_told() -> None:
    waiting = [(one.code, one.values["count"]) for one in with_figure(now__delivery__held=4, now__delivery__crowded=2)]

    assert waiting == [("now.delivery.held", 4), ("now.delivery.crowded", 2)]


def test_old_figures_are_told_where_nothing_else_explains_them() -> None:
    old = Latest(at=NOW - timedelta(minutes=20), values={})

    assert codes(recorded=old) == ["silent"]
    assert codes(recorded=old, status=status(row("beat", works=False))) == ["daemon.beat"]
    assert codes(recorded=Latest(at=None, values={})) == []


def test_failing_mailboxes_are_counted_and_the_first_are_named() -> None:
    failing = AccountStatus(state=AccountState.AUTH_FAILED, last_error="The IMAP server refused the login")

    [finding] = found(figures={**GOOD.figures, "account.auth_failed": 7}, failing=[(account("sales", id=7), failing)])

    assert finding.values == {"count": 7}
    assert finding.mailboxes == (
        Mailbox(id=7, name="sales", state="auth_failed", reason="The IMAP server refused the login"),
    )


def test_mailboxes_that_a_defect_of_ours_stops_are_serious() -> None:
    [serious, counted] = found(figures={**GOOD.figures, "account.internal_error": 2})

    assert (serious.code, serious.serious, serious.values) == ("internal_error", True, {"count": 2})
    assert counted.values == {"count": 2}


@pytest.mark.parametrize(
    ("figure", "path", "serious"),
    [
        ("now__mail__unaccounted", "/admin/settings", True),
        ("now__mail__quarantined", "/admin/quarantine", False),
        ("now__delivery__dead", "/admin/deliveries?state=dead", False),
        ("now__workflow__failed", "/admin/workflows?state=failed", False),
    ],
)
def test_what_needs_a_person_leads_to_its_page(figure: str, path: str, *, serious: bool) -> None:
    [finding] = with_figure(**{figure: 2})

    assert (finding.values, finding.serious) == ({"count": 2}, serious)
    assert finding.place
    assert finding.place.path == path


@pytest.mark.parametrize("name", ["wait__mail", "wait__delivery", "wait__poll"])
def test_waiting_is_told_from_a_quarter_of_an_hour_on(name: str) -> None:
    assert with_figure(**{name: 900}) == []
    [finding] = with_figure(**{name: 1260})
    assert finding.values == {"minutes": 21}


@pytest.mark.parametrize(("used", "serious"), [(69, None), (70, False), (90, True)])
def test_redis_memory_is_told_before_it_is_full(used: int, *, serious: bool | None) -> None:
    assert [one.serious for one in with_figure(redis__used=used, redis__limit=100)] == (
        [] if serious is None else [serious]
    )
    assert with_figure(redis__used=used, redis__limit=0) == []


def test_serious_ones_come_first() -> None:
    both = with_figure(now__mail__quarantined=1, now__mail__unaccounted=1)

    assert [one.serious for one in both] == [True, False]


def test_every_sentence_takes_its_values() -> None:
    figures = dict.fromkeys(
        ("now.mail.unaccounted", "now.mail.quarantined", "now.delivery.dead", "now.workflow.failed"), 1.0
    )
    figures |= {"wait.mail": 5000.0, "redis.used": 99.0, "redis.limit": 100.0, "account.tls": 1.0}
    rows = status(row("beat", works=False), row("worker@x", works=False), row("flower", activity=Activity.FAILED))

    everything = found(figures=figures, status=rows) + codes_of_old()

    assert len(everything) > 9
    for one in everything:
        assert "%(" not in one.sentence % dict(one.values)
        assert one.remedy


def codes_of_old() -> list[Finding]:
    return found(recorded=Latest(at=NOW - timedelta(hours=1), values={}))


@pytest.mark.parametrize(("ahead", "way"), [(3600.0, "ahead"), (-61.4, "behind")])
def test_host_whose_clock_is_wrong_is_told_by_name(ahead: float, way: str) -> None:
    """Leases and due times go by the database's clock; people and logs do not."""
    (finding,) = found(clocks=[HostClock(host="mail-2", ahead=ahead)])

    assert (finding.code, finding.serious) == ("clock.mail-2", False)
    assert way in finding.sentence
    assert finding.values == {"host": "mail-2", "seconds": round(abs(ahead))}
