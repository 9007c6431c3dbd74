"""Many messages run again from pages and API: chosen, tried without effect, then done exactly so (P18)."""

from __future__ import annotations

import re

import pytest
from httpx2 import Response

from concord.bootstrap import Concord
from concord.model.rule import Match, Rule
from concord.model.user import Permission
from concord.services import replaying, rules
from tests.factories import mail
from tests.waiting import eventually
from tests.web.mails import Mails
from tests.web_world import SHELL, Browser, token_of

REPLAY = "/admin/replay"


@pytest.fixture
def mails(concord: Concord) -> Mails:
    rules.save(concord, Rule(name="orders", match=Match(subject=("*order*",)), handlers=("log",)), by=SHELL)
    made = Mails(concord)
    made.arrive(mail("Order 1"), mail("Order 2"), mail("Order 3"))
    return made


def deliveries(concord: Concord) -> int:
    return len(concord.outbox.deliveries(limit=200))


def job_of(page: Response) -> str:
    found = re.search(r'name="job" value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


def test_a_dry_run_comes_first_and_changes_nothing(concord: Concord, mails: Mails, bob: Browser) -> None:
    before = deliveries(concord)

    page = bob.submit(REPLAY, account="sales")

    assert page.status_code == 200
    assert "Nothing was sent yet" in page.text
    assert "Replay 3 messages now" in page.text
    assert "orders" in page.text
    assert deliveries(concord) == before
    assert not [one for one in concord.audit.entries() if one.action == "message.replay"]


def test_what_the_dry_run_showed_is_done_and_nothing_that_came_since(
    concord: Concord, mails: Mails, bob: Browser
) -> None:
    job = job_of(bob.submit(REPLAY, account="sales"))
    mails.arrive(mail("Order 4"))
    before = deliveries(concord)

    page = bob.submit(f"{REPLAY}/go", job=job)

    assert "messages replayed" in page.text
    assert deliveries(concord) == before + 3
    entry = next(one for one in concord.audit.entries() if one.action == "message.replay")
    assert (entry.actor, entry.subject, entry.outcome) == ("bob", "messages of sales", "done")


def test_chosen_messages_alone_are_replayed(concord: Concord, mails: Mails, bob: Browser) -> None:
    chosen = bob.submit(f"{REPLAY}/choose", id=["1", "3"])
    assert "2 messages that were chosen" in chosen.text
    before = deliveries(concord)

    bob.submit(f"{REPLAY}/go", job=job_of(bob.submit(REPLAY, ids="1,3", handler="log")))

    assert {one.message_id for one in concord.outbox.deliveries(limit=200) if one.run} == {1, 3}
    assert deliveries(concord) == before + 2


def test_all_there_is_must_be_said_in_some_way(mails: Mails, bob: Browser) -> None:
    page = bob.submit(REPLAY)

    assert page.status_code == 422
    assert "It is not said which messages to replay" in page.text


@pytest.mark.parametrize(
    "fields", [{"ids": "x"}, {"ids": "0"}, {"ids": "9" * 30}, {"account": "sales", "handler": "nobody"}]
)
def test_what_cannot_be_is_told_at_the_form(mails: Mails, bob: Browser, fields: dict[str, str]) -> None:
    page = bob.submit(REPLAY, **fields)

    assert page.status_code == 422
    assert 'action="/admin/replay"' in page.text


def test_a_day_is_meant_whole(mails: Mails, bob: Browser) -> None:
    today = f"{mails.parts.ledger.get(1).seen_at:%Y-%m-%d}"

    assert "Replay 3 messages now" in bob.submit(REPLAY, since=today, until=today).text
    assert "Order 3" in bob.get("/admin/messages", params={"until": today}).text


def test_rules_are_tried_on_some_where_there_are_many(
    mails: Mails, bob: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replaying, "MOST_TRIED", 2)

    page = bob.submit(REPLAY, account="sales")

    assert "The rules were tried on the first 2 of 3 messages" in page.text
    assert "Replay 3 messages now" in page.text


def test_a_message_that_cannot_be_read_is_told_with_its_reason(concord: Concord, mails: Mails, bob: Browser) -> None:
    concord.archive.delete(concord.ledger.get(2).archive_key or "")

    page = bob.submit(REPLAY, account="sales")

    assert "cannot be replayed" in page.text
    assert "An archived object is missing" in page.text


def test_an_action_that_is_not_known_any_more_is_told_as_that(bob: Browser) -> None:
    assert bob.get("/admin/jobs/nothing").status_code == 404
    assert bob.submit(f"{REPLAY}/go", job="nothing").status_code == 404


def test_a_job_tells_its_end_to_whoever_looks_on(mails: Mails, bob: Browser) -> None:
    place = str(bob.submit(REPLAY, account="sales").url.path)

    stream = bob.get(f"{place}/live", headers={"Accept": "text/event-stream"})

    assert 'id="job"' in stream.text
    assert "event: end" in stream.text


def test_a_program_replays_a_range_as_a_job(concord: Concord, mails: Mails, mallory: Browser) -> None:
    headers = token_of(concord, "bob", Permission.OPERATE)
    reader = token_of(concord, "bob", Permission.READ)
    before = deliveries(concord)

    tried = mallory.post("/api/v1/messages/replay-range", json={"account": "sales", "dry_run": True}, headers=headers)
    assert tried.status_code == 202
    place = tried.headers["location"]
    assert eventually(lambda: mallory.get(place, headers=reader).json()["state"] == "done", within=10)
    told = mallory.get(place, headers=reader).json()["replay"]
    assert (told["messages"], told["tried"], told["deliveries"], told["dry_run"]) == (3, 3, 3, True)
    assert deliveries(concord) == before

    done = mallory.post("/api/v1/messages/replay-range", json={"account": "sales", "wait": 10}, headers=headers).json()
    assert done["state"] == "done"
    assert done["replay"] == {
        "dry_run": False,
        "messages": 3,
        "tried": 3,
        "deliveries": 3,
        "reprocessed": 0,
        "failed": 0,
        "failures": [],
        "to": {},
        "matched": {},
    }
    assert deliveries(concord) == before + 3


@pytest.mark.parametrize("body", [{}, {"handlers": ["nobody"], "account": "sales"}, {"since": "tomorrow"}])
def test_a_program_is_told_what_is_wrong_at_once(
    concord: Concord, mails: Mails, mallory: Browser, body: dict[str, object]
) -> None:
    answer = mallory.post("/api/v1/messages/replay-range", json=body, headers=token_of(concord, "bob"))

    assert answer.status_code == 422
    assert answer.json()["remedy"]
