"""Lists and details of mail: what they tell, in the reader's language, and what can be done there (U3)."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from concord.adapters.sql.engine import transaction
from concord.bootstrap import Concord
from concord.model.rule import Rule, WorkflowSpec, WorkflowStepSpec
from concord.services import rules, workflows
from concord.web.causes import todo
from tests.factories import mail
from tests.web.mails import Mails
from tests.web_world import SHELL, Browser

STEPS = (WorkflowStepSpec(name="ticket", kind="celery", options={"task": "tickets.open", "queue": "tickets"}),)


@pytest.fixture
def mails(concord: Concord) -> Mails:
    workflows.save(concord, WorkflowSpec(name="tickets", steps=STEPS), by=SHELL)
    rules.save(concord, Rule(name="all", handlers=("log",), workflows=("tickets",)), by=SHELL)
    return Mails(concord)


def change(concord: Concord, statement: str) -> None:
    with transaction(concord.engine) as connection:
        connection.execute(text(statement))


def test_quarantine_says_why_and_what_to_do(mails: Mails, bob: Browser) -> None:
    mails.quarantine(mail("Lost 1"), mail("Lost 2"))

    page = bob.get("/admin/quarantine").text

    assert "its bytes are not in the archive" in page
    assert "Restore the archive&#39;s object from a backup, then try again" in page
    assert "2 mails" in page
    assert "Lost 1" in page


def test_codes_have_words_of_their_own(concord: Concord, mails: Mails, bob: Browser) -> None:
    (message,) = mails.quarantine(mail("Lost"))

    for path in ("/admin/quarantine", f"/admin/messages/{message.id}"):
        page = bob.get(path).text
        assert "its bytes are not in the archive" in page, path
        assert ">archive_missing" not in page, path
        assert "archive missing" not in page, path


def test_all_of_a_reason_are_tried_again(concord: Concord, mails: Mails, bob: Browser) -> None:
    first, second = mails.quarantine(mail("Lost 1"), mail("Lost 2"))
    change(concord, "UPDATE messages SET error_code = 'unexpected' WHERE subject = 'Lost 2'")

    page = bob.submit("/admin/quarantine/retry", reason="archive_missing")

    assert "Messages that are processed again: 1." in page.text
    assert concord.ledger.get(first.id).state == "archived"
    assert concord.ledger.get(second.id).state == "quarantined"


def test_chosen_ones_are_tried_again_from_either_list(concord: Concord, mails: Mails, bob: Browser) -> None:
    first, second = mails.quarantine(mail("Lost 1"), mail("Lost 2"))

    bob.submit("/admin/messages/retry", id=[str(first.id), str(second.id)])

    assert {concord.ledger.get(one.id).state.value for one in (first, second)} == {"archived"}


def test_without_redis_a_try_says_that_it_waits(concord: Concord, mails: Mails, bob: Browser) -> None:
    mails.quarantine(mail("Lost"))
    mails.queue.down = True

    page = bob.submit("/admin/quarantine/retry")

    assert page.status_code == 200
    assert "Redis did not answer" in page.text


def test_every_code_has_something_to_do() -> None:
    assert todo("no_such_code") == todo(None) != ""


def test_a_delivery_tells_its_tries_and_what_it_carries(concord: Concord, mails: Mails, bob: Browser) -> None:
    (message,) = mails.arrive(mail("Order"))
    (delivery,) = concord.outbox.deliveries()
    change(concord, "UPDATE deliveries SET state = 'dead', attempts = 3, error = 'The receiver did not take it'")

    page = bob.get(f"/admin/deliveries/{delivery.id}").text

    assert "given up" in page
    assert "The receiver did not take it" in page
    assert f"/admin/events/{message.event_id}" in page
    assert "Offer again" in page
    assert bob.get("/admin/deliveries/4711").status_code == 404


def test_a_delivery_is_offered_again_from_its_page(concord: Concord, mails: Mails, bob: Browser) -> None:
    mails.arrive(mail("Order"))
    (delivery,) = concord.outbox.deliveries()
    change(concord, "UPDATE deliveries SET state = 'dead'")

    page = bob.submit("/admin/deliveries/retry", id=str(delivery.id))

    assert page.url.path == f"/admin/deliveries/{delivery.id}"
    assert concord.outbox.delivery(delivery.id).state == "pending"


def test_a_run_tells_its_steps(concord: Concord, mails: Mails, bob: Browser) -> None:
    mails.arrive(mail("Order"))
    (run,) = concord.outbox.runs()

    page = bob.get(f"/admin/workflows/{run.id}").text

    assert "ticket" in page
    assert "Order" in page
    assert "celery" in page


def test_an_events_document_is_shown_and_saved_for_those_who_may(
    concord: Concord, mails: Mails, bob: Browser, carol: Browser
) -> None:
    (message,) = mails.arrive(mail("Order"))
    place = f"/admin/events/{message.event_id}"

    assert "concord.email.received" in bob.get(place).text
    saved = bob.get(f"{place}/document")
    assert saved.json()["id"] == str(message.event_id)
    assert saved.headers["content-disposition"].startswith("attachment")
    assert "specversion" not in carol.get(place).text
    assert carol.get(f"{place}/document").status_code == 403
    assert [one.action for one in concord.audit.entries()].count("event.read") == 2


def test_the_list_is_narrowed_by_state_and_says_how_many(mails: Mails, bob: Browser) -> None:
    mails.arrive(mail("Order"))
    mails.quarantine(mail("Lost"))

    page = bob.get("/admin/messages").text
    narrowed = bob.get("/admin/messages", params={"state": "quarantined"}).text

    assert 'quarantined <span class="amount bad">1</span>' in page
    assert "Lost" in narrowed
    assert "Order" not in narrowed


def test_a_viewer_has_nothing_to_press(mails: Mails, carol: Browser) -> None:
    mails.arrive(mail("Order"))
    mails.quarantine(mail("Lost"))

    for path in ("/admin/messages", "/admin/quarantine", "/admin/messages/1"):
        page = carol.get(path).text
        assert 'type="checkbox"' not in page, path
        assert "/retry" not in page, path


def test_the_trail_is_told_in_words(mails: Mails, bob: Browser) -> None:
    (message,) = mails.arrive(mail("Order"))

    page = bob.get(f"/admin/messages/{message.id}").text

    assert "Rules that match" in page
    assert "archive_key" not in page
    assert "uidvalidity" not in page


@pytest.mark.parametrize("path", ["/admin/nowhere", "/admin/messages/4711", "/admin/messages/x"])
def test_whoever_has_signed_in_finds_the_menu_where_nothing_is(bob: Browser, path: str) -> None:
    page = bob.get(path)

    assert page.status_code in (404, 422)
    assert 'href="/admin/quarantine"' in page.text


def test_a_stranger_finds_no_menu_where_nothing_is(mallory: Browser) -> None:
    page = mallory.get("/admin/nowhere")

    assert page.status_code == 404
    assert "/admin/quarantine" not in page.text


def test_a_senders_address_stands_beside_the_name_that_anybody_may_take(mails: Mails, bob: Browser) -> None:
    mails.arrive(mail("Order", sender="Your Bank <mallory@evil.example>"), mail("Plain", sender="ann@example.com"))

    for path in ("/admin/messages", "/admin/events"):
        page = bob.get(path).text
        assert "Your Bank<div" in page, path
        assert ">mallory@evil.example<" in page, path
        assert "ann@example.com" in page, path
        assert "&lt;ann@example.com" not in page, path
