"""Health answers in time, whatever hangs or breaks, and gives nothing away (D1, A3)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator

import pytest

from concord.errors import DatabaseDownError
from concord.model.account import AccountStatus
from concord.web.check import Check
from concord.web.health import Health, Look, Probe, accounted, document, looked
from concord.wording import english

QUICK = 0.2


@pytest.fixture
def stuck() -> Iterator[threading.Event]:
    """Looks that wait for it hang until the test is over."""
    event = threading.Event()
    yield event
    event.set()


def refuse() -> str:
    raise DatabaseDownError("refused", host="db", cause="refused at postgresql://me:s3cret@db/x")


def stumble() -> str:
    raise ValueError("s3cret")


def noted(name: str, begun: list[str], look: Callable[[], object]) -> Look:
    """A look that writes down that it was begun."""

    def work() -> str:
        begun.append(name)
        return str(look())

    return work


def test_part_that_hangs_holds_up_neither_answer_nor_the_others(stuck: threading.Event) -> None:
    health = Health({"database": Probe(lambda: str(stuck.wait()), seconds=QUICK), "redis": Probe(lambda: "It answers")})

    checks = asyncio.run(asyncio.wait_for(health.look(), 5))

    assert checks["redis"] == Check(ok=True, detail="It answers")
    assert not checks["database"].ok
    assert (checks["database"].detail, checks["database"].cause) == ("It does not answer in time", "0.2 s")
    assert checks["database"].remedy


def test_part_that_hangs_is_looked_at_once_however_many_ask(stuck: threading.Event) -> None:
    begun: list[str] = []
    probe = Probe(noted("look", begun, stuck.wait), seconds=QUICK)

    async def ask_often() -> list[Check]:
        first = await asyncio.gather(*(probe.ask() for _ in range(20)))
        return [*first, await probe.ask()]

    checks = asyncio.run(ask_often())

    assert len(begun) == 1
    assert not any(check.ok for check in checks)


def test_good_answer_is_given_again_for_a_moment_and_a_bad_one_is_not() -> None:
    """Watching must cost nothing; what was mended shows at once."""
    begun: list[str] = []

    async def ask_twice(probe: Probe) -> None:
        await probe.ask()
        await probe.ask()

    asyncio.run(ask_twice(Probe(noted("good", begun, str), fresh=60)))
    asyncio.run(ask_twice(Probe(noted("bad", begun, refuse), fresh=60)))

    assert begun == ["good", "bad", "bad"]


def test_failure_has_cause_and_remedy_and_no_secret() -> None:
    """A3."""
    check = looked(refuse)

    assert check == Check(
        ok=False,
        detail="The database did not do it",
        cause="host db, refused at postgresql://me:[hidden]@db/x",
        remedy=english.remedy(DatabaseDownError()),
    )


def test_what_nobody_expected_is_told_without_its_words() -> None:
    """A3: nobody can say that no secret is among them."""
    check = looked(stumble)

    assert (check.ok, check.cause) == (False, "ValueError")
    assert "s3cret" not in repr(check)


def test_mail_that_a_server_has_and_concord_has_not_is_degraded_health() -> None:
    """O7."""
    check = accounted(
        {
            "sales": AccountStatus(unaccounted=3),
            "info": AccountStatus(unaccounted=0),
            "desk": AccountStatus(unaccounted=1),
            "new": AccountStatus(),
        }
    )

    told = document({"mail": check}, "1.0")
    assert (told["status"], told["unaccounted"]) == ("degraded", 4)
    assert told["checks"]["mail"]["cause"] == "account desk: 1, account sales: 3"
    assert told["checks"]["mail"]["remedy"]


def test_mail_that_the_archive_lacks_is_counted_and_told_as_such() -> None:
    check = accounted({"sales": AccountStatus(unaccounted=2, lost=2), "info": AccountStatus(unaccounted=0)})

    assert (check.ok, check.figures) == (False, {"unaccounted": 2, "lost": 2})
    assert "archive" in check.detail
    assert check.cause == "account sales: 2"


def test_accounts_that_nobody_compared_yet_are_told_and_no_fault() -> None:
    check = accounted({"sales": AccountStatus(unaccounted=0), "new": AccountStatus()})

    assert (check.ok, check.figures) == (True, {"unaccounted": 0, "lost": 0})
    assert "1 of 2 accounts" in check.detail


def test_document_is_degraded_where_one_part_is() -> None:
    good, bad = Check(ok=True, detail="It answers"), Check(ok=False, detail="It is away", remedy="Call it back")

    told = document({"redis": good, "database": bad}, "1.0")

    assert told == {
        "status": "degraded",
        "version": "1.0",
        "checks": {
            "redis": {"ok": True, "detail": "It answers"},
            "database": {"ok": False, "detail": "It is away", "remedy": "Call it back"},
        },
    }
    assert document({"redis": good}, "1.0")["status"] == "ok"
