"""What a crowd of guessers gets, and what it does to the people who may come in (issue 10, finding 4)."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from threading import Event

import httpx
import pytest
from sqlalchemy import func, select

from concord.adapters.passwords import Argon2
from concord.adapters.sql.engine import reading
from concord.adapters.sql.identity_tables import known_browsers
from concord.adapters.sql.known_browsers import MOST, SqlKnownBrowsers
from concord.adapters.sql.throttles import SqlThrottle
from concord.bootstrap import Concord
from concord.errors import ConcordError, PasswordsBusyError, SignInRefusedError, TooManyAttemptsError
from concord.model.throttle import Lane, Pauses
from concord.services.identity import FREE_HERE, MOST_GUESSES_AN_HOUR, Identity, SignedIn
from concord.web.app import make_app
from tests.web_world import PASSWORD, Browser

SECOND = timedelta(seconds=1)
WRONG = "guess"
HOME = "198.51.100.7"
SITE = [f"2001:db8:6666:1::{number:x}" for number in range(1, 51)]
MANY = [f"203.0.113.{number}" for number in range(1, 51)]


@dataclass
class Crowd:
    """Sign-ins with a clock of their own."""

    concord: Concord
    now: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    outcomes: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        vars(self.concord)["throttle"] = SqlThrottle(self.concord.engine, lambda: self.now)
        self.identity = Identity(self.concord)

    def guess(self, name: str, address: str, password: str = WRONG) -> str:
        """What became of it."""
        try:
            self.sign_in(name, address, password)
            outcome = "in"
        except ConcordError as error:
            outcome = error.code
        self.outcomes[outcome] += 1
        return outcome

    def sign_in(self, name: str, address: str, password: str = PASSWORD, browser: str = "") -> SignedIn:
        """As the form does it."""
        return self.identity.sign_in(name, password, address=address, agent="", browser=browser)


@pytest.fixture
def crowd(concord: Concord) -> Crowd:
    return Crowd(concord)


def test_crowd_keeps_nobody_out_and_its_guesses_are_bounded(crowd: Crowd) -> None:
    """Fifty from one /64 and fifty from networks of their own guess at bob, whenever they may."""
    known = crowd.sign_in("bob", HOME).browser
    for step in range(12):
        for address in SITE + MANY:
            crowd.guess("bob", address)
        if step % 4 == 3:
            known = crowd.sign_in("bob", f"198.51.100.{step}", browser=known).browser
            assert crowd.sign_in("bob", f"192.0.2.{step}").session, "from a new place"
        crowd.now += 3 * SECOND

    assert set(crowd.outcomes) == {"sign_in_refused", "too_many_attempts"}
    assert crowd.outcomes["sign_in_refused"] <= MOST_GUESSES_AN_HOUR


def test_guesses_for_a_name_and_hour_are_bounded_whatever_they_come_from(crowd: Crowd) -> None:
    """Each guess from a network of its own; known browsers are let in all the same."""
    known = crowd.sign_in("bob", HOME).browser
    for number in range(400):
        crowd.guess("bob", f"2001:db8:{number:x}::1")

    assert crowd.outcomes["sign_in_refused"] < 310
    assert crowd.guess("bob", "192.0.2.200", PASSWORD) == "too_many_attempts"
    assert crowd.sign_in("bob", "192.0.2.200", browser=known).session


@pytest.mark.parametrize(
    "addresses",
    [
        SITE,
        [f"2001:db8:6666:1:{number:x}::" for number in range(50)],
        [f"2001:db8:6666:1:ffff:{number:x}:0:1" for number in range(50)],
        ["::ffff:203.0.113.9"] * 25 + ["203.0.113.9"] * 25,
        ["2001:0db8:6666:0001::1", "2001:DB8:6666:1::2"] * 25,
    ],
)
def test_addresses_of_one_network_share_their_attempts(crowd: Crowd, addresses: list[str]) -> None:
    for address in addresses:
        crowd.guess("bob", address)

    assert crowd.outcomes["sign_in_refused"] == FREE_HERE


def test_ones_own_success_makes_no_room_for_guesses_at_others(crowd: Crowd) -> None:
    """Spraying: carol knows her own password and tries one at everybody else, in turns."""
    for number in range(60):
        crowd.guess("carol", HOME, PASSWORD)
        crowd.guess(f"user{number}", HOME)

    assert crowd.outcomes["sign_in_refused"] <= 30
    assert crowd.guess("carol", HOME, PASSWORD) == "too_many_attempts"


def test_an_office_behind_one_address_signs_in(crowd: Crowd) -> None:
    """Successes are not counted."""
    for _ in range(40):
        assert crowd.guess("bob", HOME, PASSWORD) == "in"


def test_guesses_in_a_known_browser_are_counted_too(crowd: Crowd) -> None:
    known = crowd.sign_in("bob", HOME).browser
    for _ in range(10):
        with pytest.raises(SignInRefusedError):
            crowd.sign_in("bob", HOME, "guess", known)

    with pytest.raises(TooManyAttemptsError):
        crowd.sign_in("bob", HOME, "guess", known)


@pytest.mark.parametrize("forge", ["", "x" * 43, "anothers", "alices", "former"])
def test_browser_is_known_by_its_own_cookie_for_its_own_user(crowd: Crowd, forge: str) -> None:
    former = crowd.sign_in("bob", HOME).browser
    crowd.sign_in("bob", HOME, browser=former)
    given = {"alices": crowd.sign_in("alice", HOME).browser, "former": former}.get(forge, forge)
    for _ in range(5):
        crowd.guess("bob", "203.0.113.1")

    with pytest.raises(TooManyAttemptsError):
        crowd.sign_in("bob", "203.0.113.1", browser=given)


def test_two_people_in_one_browser_are_both_known(crowd: Crowd) -> None:
    kept: SqlKnownBrowsers = crowd.concord.known_browsers
    first = crowd.sign_in("bob", HOME).browser
    second = crowd.sign_in("alice", HOME, browser=first).browser

    ids = {name: crowd.concord.users.get(name).id for name in ("alice", "bob")}
    assert all(kept.find(second, user) for user in ids.values())
    assert not any(kept.find(first, user) for user in ids.values())


def test_known_browsers_are_few(crowd: Crowd) -> None:
    for _ in range(MOST + 5):
        crowd.sign_in("bob", HOME)

    with reading(crowd.concord.engine) as connection:
        assert connection.execute(select(func.count()).select_from(known_browsers)).scalar_one() == MOST


def test_browser_brings_its_cookie(concord: Concord, mallory: Browser) -> None:
    mallory.sign_in("bob")
    mallory.submit("/admin/logout")
    Crowd(concord)
    for _ in range(8):
        Crowd(concord).guess("bob", "testclient")

    assert mallory.sign_in("bob").url.path == "/admin/profile"


@pytest.mark.parametrize("address", ["testclient", "2001:db8::1"])
def test_many_at_once_do_not_come_through(concord: Concord, address: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        waits = list(pool.map(lambda _: concord.throttle.attempt([Pauses(f"x{address}", 5)]), range(24)))

    assert sum(not wait for wait in waits) == 5


def test_refused_attempts_leave_no_rows(crowd: Crowd) -> None:
    for number in range(200):
        crowd.guess(f"nobody{number}", HOME)

    assert crowd.concord.throttle.size() < 100


class Slow:
    """A hasher that takes as long as the test wants for a wrong password."""

    def __init__(self) -> None:
        self.go_on = Event()

    def verify(self, _kept: str, password: str) -> None:
        if password == WRONG:
            self.go_on.wait(60)

    def hash(self, _password: str) -> str:
        return ""

    def check_needs_rehash(self, _kept: str) -> bool:
        return False


def test_a_crowd_of_hashes_holds_few_threads_and_no_known_person(concord: Concord, mallory: Browser) -> None:
    hasher = Slow()
    concord.passwords = Argon2(hasher)  # type: ignore[arg-type]  # all that is used of it
    with ThreadPoolExecutor(30) as pool:
        lanes = [lane for _ in range(15) for lane in (Lane.FIRST, Lane.AGAIN)]
        crowd = [pool.submit(concord.passwords.verify, "kept", WRONG, lane=lane) for lane in lanes]
        turned_away = list(islice(as_completed(crowd), 17))
        answer = mallory.sign_in("alice")
        passed = concord.passwords.verify("kept", "right", lane=Lane.KNOWN)
        hasher.go_on.set()

    assert all(isinstance(one.exception(), PasswordsBusyError) for one in turned_away)
    assert passed
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert concord.throttle.attempts("network:testclient") == 0, "nobody looked at it"


def test_guesses_fill_no_place_of_those_who_try_for_the_first_time(concord: Concord, mallory: Browser) -> None:
    """A crowd's repeated guesses fill their own queue; a person's first attempt from a new place waits for its turn."""
    hasher = Slow()
    concord.passwords = Argon2(hasher)  # type: ignore[arg-type]  # all that is used of it
    with ThreadPoolExecutor(31) as pool:
        crowd = [pool.submit(concord.passwords.verify, "kept", WRONG) for _ in range(30)]
        list(islice(as_completed(crowd), 22))
        signing_in = pool.submit(mallory.sign_in, "alice")
        turned_away = wait([signing_in], timeout=0.3).done
        hasher.go_on.set()

    assert not turned_away
    assert signing_in.result().url.path == "/admin/profile"


@pytest.mark.parametrize("cookie", ["", "junk"])
def test_a_crowd_that_signs_in_takes_no_thread_of_the_pages(
    concord: Concord, monkeypatch: pytest.MonkeyPatch, cookie: str
) -> None:
    """Sixty wait until their passwords are checked; a page answers meanwhile."""
    go_on = Event()

    def waits(*_arguments: object, **_options: object) -> SignedIn:
        go_on.wait(60)
        raise SignInRefusedError("wrong")

    async def story() -> int:
        transport = httpx.ASGITransport(app=make_app(concord))
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost:3000") as client:
            found = re.search(r'name="csrf" value="([^"]+)"', (await client.get("/admin/login")).text)
            assert found
            fields = {"csrf": found[1], "name": "bob", "password": WRONG, "next": "/admin"}
            client.cookies.set("concord_browser", cookie)
            crowd = [asyncio.create_task(client.post("/admin/login", data=fields)) for _ in range(60)]
            try:
                await asyncio.sleep(0.5)
                page = await asyncio.wait_for(client.get("/admin/login"), 20)
            finally:
                go_on.set()
                await asyncio.gather(*crowd)
        return page.status_code

    monkeypatch.setattr(Identity, "sign_in", waits)

    assert asyncio.run(story()) == 200


def test_crowd_with_forged_cookies_keeps_no_thread_of_those_who_return(
    concord: Concord, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All places where strangers' passwords wait are taken, by visitors who claim to be known browsers."""
    go_on, matches = Event(), Argon2._matches

    def slow(hasher: Argon2, kept: str | None, password: str) -> bool:
        if password == WRONG:
            go_on.wait(60)
        return matches(hasher, kept, password)

    async def sign_in(client: httpx.AsyncClient, name: str, password: str) -> httpx.Response:
        found = re.search(r'name="csrf" value="([^"]+)"', (await client.get("/admin/login")).text)
        assert found
        fields = {"csrf": found[1], "name": name, "password": password, "next": "/admin"}
        return await client.post("/admin/login", data=fields)

    async def story() -> int:
        visit = {"transport": httpx.ASGITransport(app=make_app(concord)), "base_url": "http://localhost:3000"}
        async with httpx.AsyncClient(**visit) as first, httpx.AsyncClient(**visit) as again:  # type: ignore[arg-type]  # words
            await sign_in(first, "bob", PASSWORD)
            again.cookies.set("concord_browser", first.cookies["concord_browser"])
            async with httpx.AsyncClient(**visit) as stranger:  # type: ignore[arg-type]  # the same
                stranger.cookies.set("concord_browser", "forged")
                await stranger.get("/admin/login")
                crowd = [asyncio.create_task(sign_in(stranger, f"nobody{number % 8}", WRONG)) for number in range(60)]
                try:
                    await asyncio.sleep(1)
                    answer = await asyncio.wait_for(sign_in(again, "bob", PASSWORD), 20)
                finally:
                    go_on.set()
                    await asyncio.gather(*crowd)
        return answer.status_code

    monkeypatch.setattr(Argon2, "_matches", slow)

    assert asyncio.run(story()) == 303


def test_a_hash_takes_one_processor() -> None:
    """Argon2 with threads of its own keeps all of them busy, and every page waits."""
    assert "p=1$" in Argon2().hash(PASSWORD)
