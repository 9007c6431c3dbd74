"""The overview and the numbers behind it: pages without JavaScript, and the same for programs (U4, U7)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from concord.bootstrap import Concord
from concord.errors import DatabaseDownError, QueueDownError
from concord.manager.status import DaemonRow, Status, Verdict
from concord.model.account import AccountState, AccountStatus
from concord.model.daemon import Activity
from concord.model.number import COUNTED, SAMPLED, SERIES, floored
from concord.model.user import Permission
from concord.web.check import Check
from concord.web.health import OPEN_REDIS, Health, Probe, looked
from tests.sql_world import account
from tests.web_world import Browser, token_of


def recently() -> datetime:
    """The minute that was recorded last."""
    return floored(datetime.now(UTC), 60) - timedelta(minutes=2)


LAST = recently()


@pytest.fixture(autouse=True)
def last(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of now: in a long run this module was read many minutes ago, and numbers so old are a finding themselves."""
    monkeypatch.setitem(globals(), "LAST", recently())


LOOKED = {COUNTED: 1.0, SAMPLED: 1.0}
SPANS = ("1h", "24h", "7d", "30d")


class Daemons:
    """A manager whose daemons all work, unless said otherwise."""

    verdict = Verdict.WORKING

    def status(self) -> Status:
        rows = tuple(DaemonRow(name=name, unit=name, activity=Activity.RUNNING, works=True) for name in ("beat",))
        return Status(
            at=LAST, supervisor="systemd", verdict=self.verdict, daemons=rows, elsewhere=(), unacked=0, troubles=()
        )


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> dict[str, Check]:
    """What Concord stands on, all well; a test may say otherwise."""
    checks = {name: Check(ok=True, detail="It answers") for name in ("key", "database", "redis", "archive")}

    def health(_concord: Concord) -> Health:
        return Health({name: Probe(lambda name=name: checks[name], fresh=0) for name in checks})  # type: ignore[misc]  # mypy infers no lambda with a default

    monkeypatch.setattr(Health, "of", health)
    return checks


@pytest.fixture
def concord(concord: Concord, parts: dict[str, Check]) -> Concord:
    """With daemons that work."""
    concord.__dict__["manager"] = Daemons()
    return concord


@pytest.fixture
def busy(concord: Concord) -> Concord:
    """With a mailbox, and some minutes recorded."""
    concord.accounts.add(account("sales"))
    for ago in range(5):
        concord.numbers.record(
            LAST - timedelta(minutes=ago), {**LOOKED, "mail.archived": 1200, "redis.used": 9_000_000, "lag.p95": 4.2}
        )
    return concord


def _refuse() -> str:
    raise QueueDownError("no_answer", cause="refused")


def test_fresh_install_is_told_how_to_begin(alice: Browser) -> None:
    page = alice.get("/admin").text

    assert "How to begin" in page
    assert '<a class="button primary" href="/admin/settings/new">Add a mailbox</a>' in page
    assert "data-plots" not in page


def test_viewer_is_not_offered_what_a_viewer_may_not_do(carol: Browser) -> None:
    page = carol.get("/admin").text

    assert "How to begin" in page
    assert "button primary" not in page


def test_stranger_is_asked_to_sign_in(mallory: Browser) -> None:
    assert "Password" in mallory.get("/admin").text
    assert mallory.get("/api/v1/overview", headers={"Accept": "application/json"}).status_code == 401
    assert "event-stream" not in mallory.get("/admin/overview/live").headers["content-type"]


def test_everything_works_is_said_in_as_many_words(busy: Concord, alice: Browser) -> None:
    page = alice.get("/admin").text

    assert "Everything works" in page
    assert "How to begin" not in page


def test_open_redis_is_advised_against_and_everything_works(
    busy: Concord, alice: Browser, parts: dict[str, Check]
) -> None:
    parts["redis"] = OPEN_REDIS

    page = alice.get("/admin").text

    assert "Everything works" in page
    assert "Redis accepts connections without a password" in page
    assert "redis__url" in page


def test_what_is_wrong_is_told_with_cause_and_remedy(busy: Concord, alice: Browser, parts: dict[str, Check]) -> None:
    parts["redis"] = looked(_refuse)
    sales = busy.accounts.get("sales")
    busy.accounts.set_status(sales.id, AccountStatus(state=AccountState.DNS, failures=1, last_error_at=LAST))

    page = alice.get("/admin").text

    assert "Something does not work" in page
    assert "Redis does not answer" in page
    assert "Check that Redis runs" in page
    assert "Mailboxes that cannot be polled: 1." in page
    assert "name not found" in page


@pytest.mark.parametrize("span", [*SPANS, "", "nonsense"])
def test_values_are_there_without_javascript(busy: Concord, carol: Browser, span: str) -> None:
    page = carol.get("/admin", params={"span": span}).text

    assert "Throughput" in page
    assert "6,000" in page  # mails in 24 hours
    assert "9.0 MB" in page
    assert "4.2 s" in page
    assert f'href="/admin?span={span or "24h"}#plots" aria-current' in page or span == "nonsense"


def test_page_speaks_chinese(busy: Concord, alice: Browser) -> None:
    answer = alice.get("/admin", headers={"Accept-Language": "zh-CN"})

    assert '<html lang="zh-CN"' in answer.text


def test_page_and_all_that_it_loads_stay_small(busy: Concord, alice: Browser) -> None:
    """150 KB in all, as they cross the network."""
    page = alice.get("/admin")
    assets = [part.partition('"')[0] for part in page.text.split('"/static/')[1:]]
    source = page.text.partition('data-plots="')[2].partition('"')[0].replace("&amp;", "&")

    sizes = {name: int(alice.get(f"/static/{name}").headers["content-length"]) for name in set(assets)}
    numbers = alice.get(source)

    assert numbers.status_code == 200
    assert len(sizes) >= 6
    assert len(page.content) + sum(sizes.values()) + len(numbers.content) < 150_000, sizes


def test_api_gives_points_at_equal_distances(busy: Concord, carol: Browser) -> None:
    asked = {"series": ["mail.archived", "lag.p95"], "since": (LAST - timedelta(minutes=6)).isoformat()}

    told = carol.get("/api/v1/numbers", params=asked).json()

    assert told["step"] == 60
    assert datetime.fromisoformat(told["since"]) == LAST - timedelta(minutes=6)
    assert told["series"]["mail.archived"][:7] == [None, None, 1200, 1200, 1200, 1200, 1200]
    assert told["series"]["lag.p95"][2] == 4.2


@pytest.mark.parametrize("span", SPANS)
def test_api_answers_every_span_in_a_few_hundred_points(busy: Concord, carol: Browser, span: str) -> None:
    told = carol.get("/api/v1/numbers", params={"series": "mail.archived", "span": span}).json()

    assert 50 < len(told["series"]["mail.archived"]) <= 401
    assert sum(value or 0 for value in told["series"]["mail.archived"]) == 6000


@pytest.mark.parametrize(
    "asked",
    [
        {"span": "24h"},
        {"series": "mail.archived"},
        {"series": "mail.archived", "span": "2h"},
        {"series": "mail.archived", "span": "1h", "since": LAST.isoformat()},
        {"series": "mail.archived", "since": "2026-11-02T10:00:00"},
        {"series": "mail.archived", "since": (LAST + timedelta(days=9)).isoformat()},
        {"series": "mail.archived", "span": "1h", "until": "0001-01-01T00:00:00+14:00"},
        {"series": "mail.archivd", "span": "1h"},
    ],
)
def test_api_refuses_what_is_not_clear(busy: Concord, carol: Browser, asked: dict[str, str]) -> None:
    answer = carol.get("/api/v1/numbers", params=asked, headers={"Accept": "application/json"})

    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")


@pytest.mark.parametrize("since", ["0001-01-01T00:00:00-14:00", "1969-12-31T23:00:00Z"])
def test_api_reads_no_further_back_than_numbers_are_kept(busy: Concord, carol: Browser, since: str) -> None:
    told = carol.get("/api/v1/numbers", params={"series": "mail.archived", "since": since}).json()

    assert told["step"] == 86_400
    assert len(told["series"]["mail.archived"]) < 401


def test_misspelt_series_is_guessed(busy: Concord, carol: Browser) -> None:
    asked = {"series": "mail.archivd", "span": "1h"}

    told = carol.get("/api/v1/numbers", params=asked, headers={"Accept": "application/json"}).json()

    assert "mail.archived" in told["remedy"]


def test_latest_and_the_list_of_series(busy: Concord, mallory: Browser) -> None:
    headers = token_of(busy, "carol", Permission.READ)

    latest = mallory.get("/api/v1/numbers/latest", headers=headers).json()
    series = mallory.get("/api/v1/numbers/series", headers=headers).json()

    assert datetime.fromisoformat(latest["at"]) == LAST
    assert (latest["values"]["redis.used"], latest["values"]["now.mail.waiting"]) == (9_000_000, 0)
    assert "queue.email" not in latest["values"]  # nobody measured it
    assert {one["name"] for one in series} == set(SERIES)
    assert {one["unit"] for one in series} == {"count", "seconds", "octets"}


def test_overview_for_programs_says_the_same(busy: Concord, mallory: Browser, parts: dict[str, Check]) -> None:
    parts["redis"] = looked(_refuse)
    headers = token_of(busy, "carol", Permission.READ) | {"Accept-Language": "en"}

    told = mallory.get("/api/v1/overview", headers=headers).json()

    assert told["verdict"] == "bad"
    [redis] = [one for one in told["findings"] if one["code"] == "redis"]
    assert redis["serious"]
    assert redis["remedy"]
    assert told["figures"]["day.mail.archived"] == 6000


def test_token_without_the_scope_is_refused(busy: Concord, mallory: Browser) -> None:
    headers = token_of(busy, "alice", Permission.SYNC)

    for place in ("numbers?series=mail.archived&span=1h", "numbers/latest", "numbers/series", "overview"):
        assert mallory.get(f"/api/v1/{place}", headers=headers).status_code == 403


def test_many_who_watch_cost_one_look(busy: Concord, alice: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []

    def look(_self: object) -> dict[str, float]:
        looks.append(1)
        return dict.fromkeys(SERIES, 0.0)

    monkeypatch.setattr(type(busy.tally), "standing", look)

    for _ in range(5):
        alice.get("/admin")

    assert len(looks) == 1


def test_database_away_is_a_page_that_says_so(busy: Concord, alice: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_self: object) -> dict[str, float]:
        raise DatabaseDownError("refused")

    monkeypatch.setattr(type(busy.tally), "standing", refuse)

    answer = alice.get("/admin")

    assert answer.status_code == 503
    assert "The database did not do it" in answer.text


def test_failing_mailboxes_beyond_the_first_are_hinted_at(busy: Concord, alice: Browser) -> None:
    for number in range(7):
        made = busy.accounts.add(replace(account(f"box{number}"), user=f"box{number}"))
        busy.accounts.set_status(made.id, AccountStatus(state=AccountState.TLS, last_error_at=LAST))

    page = alice.get("/admin").text

    assert "Mailboxes that cannot be polled: 7." in page
    assert page.count("no trusted TLS") == 5
    assert "7 of 8" in page
