"""Messages, quarantine, events, deliveries and workflow runs through the API (U3, U7, P16, P18, P19)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from httpx2 import Response

from concord.bootstrap import Concord
from concord.errors import HandlerRefusedError
from concord.model.message import Message
from concord.model.rule import Match, Rule, WorkflowSpec, WorkflowStepSpec
from concord.model.user import Permission
from concord.web.rest import cursor
from tests.factories import mail
from tests.fakes.handlers import make_tools, public
from tests.web.mails import Mails
from tests.web_world import Browser, token_of

API = "/api/v1"


class Program:
    """Speaks the API with a token of Bob's, an operator's."""

    def __init__(self, concord: Concord, browser: Browser, *scopes: Permission) -> None:
        self._browser = browser
        self._headers = token_of(concord, "bob", *scopes) | {"Accept": "*/*"}

    def raw(self, verb: str, place: str, **options: Any) -> Response:
        return self._browser.request(verb, f"{API}{place}", headers=self._headers, **options)

    def __call__(self, verb: str, place: str, status: int = 200, **options: Any) -> Any:
        """What is answered: JSON; the status must be that."""
        answer = self.raw(verb, place, **options)
        assert answer.status_code == status, answer.text
        return answer.json()


@pytest.fixture
def mails(concord: Concord) -> Mails:
    made = Mails(concord)
    vars(concord)["tools"] = make_tools(resolve=public)
    return made


@pytest.fixture
def ask(concord: Concord, mallory: Browser) -> Program:
    return Program(concord, mallory)


@pytest.fixture
def reader(concord: Concord, mallory: Browser) -> Program:
    """May see all but what mails say."""
    return Program(concord, mallory, Permission.READ)


@pytest.fixture
def order(concord: Concord, mails: Mails) -> Message:
    """A mail that became an event, was delivered to the log, and began a workflow that fails."""
    book = concord.rulebook
    book.save_workflow(WorkflowSpec(name="ticket", steps=(WorkflowStepSpec(name="open", kind="gone"),)))
    book.save_rule(Rule(name="orders", match=Match(subject=("*order*",)), handlers=("log",), workflows=("ticket",)))
    (message,) = mails.arrive(mail("Order 7", body="Ten of them\n", attachment=b"\x00\x01", Cc="Eve <eve@example.com>"))
    concord.dispatcher.deliver([one.id for one in concord.outbox.deliveries()])
    concord.workflows.advance([one.id for one in concord.outbox.runs()])
    return concord.ledger.get(message.id)


def pages(ask: Program, place: str, **filters: Any) -> list[list[Any]]:
    """All pages of a list."""
    found, mark = [], None
    while True:
        page = ask("GET", place, params=filters | ({"cursor": mark} if mark else {}))
        found.append([one["id"] for one in page["items"]])
        mark = page["next"]
        if mark is None:
            return found


def readings(concord: Concord) -> list[tuple[str, str, str]]:
    return [(one.via, one.action, one.outcome) for one in concord.audit.entries() if one.action.endswith(".read")]


def test_messages_are_paged_searched_and_narrowed(ask: Program, mails: Mails) -> None:
    known = [one.id for one in mails.arrive(*(mail(f"Mail {number}") for number in range(5)))]
    (lost,) = mails.quarantine(mail("Lost and found"))

    assert pages(ask, "/messages", limit=2) == [[lost.id, known[4]], [known[3], known[2]], [known[1], known[0]]]
    assert pages(ask, "/messages", state="quarantined") == [[lost.id]]
    assert pages(ask, "/messages", reason="archive_missing") == [[lost.id]]
    assert pages(ask, "/messages", q="found") == [[lost.id]]
    assert pages(ask, "/messages", account="nobody") == [[]]
    assert pages(ask, "/messages", folder="INBOX", until="2020-01-01") == [[]]
    assert len(pages(ask, "/messages", since="2020-01-01T00:00:00+08:00")[0]) == 6


def test_what_is_copied_into_the_search_finds_the_message(ask: Program, bob: Browser, mails: Mails) -> None:
    one, other = mails.arrive(mail("One"), mail("Other"))

    for text in (f"#{one.id}", one.message_id, str(one.event_id), one.sha256):
        told = ask("GET", "/messages", params={"q": text})
        assert [found["id"] for found in told["named"]] == [one.id]
        assert told["items"] == []
        assert bob.get("/admin/messages", params={"q": text}).status_code == 200
    assert [found["id"] for found in ask("GET", "/messages", params={"q": "Other"})["items"]] == [other.id]


@pytest.mark.parametrize("place", ["/messages", "/events", "/deliveries", "/workflow-runs"])
@pytest.mark.parametrize(
    "mark",
    [
        "x",
        cursor("2026-01-01T00:00:00+00:00"),
        cursor("never", 1),
        cursor("2026-01-01T00:00:00+00:00", -1),
        cursor("2026-01-01T00:00:00+00:00", 2**70),
        cursor("0001-01-01T00:00:00+23:00", 1),
    ],
)
def test_a_mark_that_is_none_is_refused(ask: Program, place: str, mark: str) -> None:
    assert "cursor" in ask("GET", place, 422, params={"cursor": mark})["detail"]


def test_a_mark_of_one_list_is_none_of_another(ask: Program, bob: Browser, order: Message) -> None:
    """A number is no event's id, and an event's id no number."""
    numbered = cursor("2026-01-01T00:00:00+00:00", order.id)
    named = cursor("2026-01-01T00:00:00+00:00", order.event_id)

    assert ask("GET", "/events", 422, params={"cursor": numbered})
    assert ask("GET", "/messages", 422, params={"cursor": named})
    assert bob.get("/admin/events", params={"before": numbered}).status_code == 422
    assert bob.get("/admin/messages", params={"before": named}).status_code == 422


@pytest.mark.parametrize("value", ["yesterday", "2026-13-01", "9999-12-31T23:59:59-23:00"])
def test_a_day_that_is_none_is_told(ask: Program, value: str) -> None:
    assert ask("GET", "/messages", 422, params={"since": value})["detail"] == "This cannot be a day"


def test_a_message_is_told_with_all_that_became_of_it(reader: Program, order: Message) -> None:
    """P19. What it says is not told to whoever may not read mails."""
    told = reader("GET", f"/messages/{order.id}")

    assert (told["state"], told["subject"], told["has_content"], told["can_retry"]) == (
        "processed",
        "Order 7",
        True,
        False,
    )
    assert told["event"]["id"] == str(order.event_id)
    assert [(one["handler"], one["state"]) for one in told["deliveries"]] == [("log", "delivered")]
    assert [(one["workflow"], one["state"]) for one in told["runs"]] == [("ticket", "failed")]
    assert [one["what"] for one in told["steps"]][:2] == ["message.archived", "message.processed"]
    assert told["steps"][0]["text"] == "Its bytes are safe in the archive"
    assert "Ten of them" not in str(told)
    assert "archive_key" not in told


def test_a_mail_is_read_whole_and_that_is_written_down(ask: Program, concord: Concord, order: Message) -> None:
    told = ask("GET", f"/messages/{order.id}/content")

    assert (told["subject"], told["text"], told["html"]) == ("Order 7", "Ten of them\n", None)
    assert told["from"] == [{"name": "", "address": "alice@example.com"}]
    assert told["cc"] == [{"name": "Eve", "address": "eve@example.com"}]
    assert ["Cc", "Eve <eve@example.com>"] in told["headers"]
    (part,) = told["attachments"]
    assert (part["number"], part["name"], part["size"]) == (0, "data.bin", 2)
    assert ask.raw("GET", part["href"].removeprefix(API)).content == b"\x00\x01"
    assert readings(concord) == [("api", "attachment.read", "done"), ("api", "message.read", "done")]


def test_files_are_saved_and_never_opened(ask: Program, concord: Concord, mails: Mails) -> None:
    raw = mail("Order", attachment=b"<script>1</script>")
    (message,) = mails.arrive(raw)

    whole, part = (ask.raw("GET", f"/messages/{message.id}/{what}") for what in ("raw", "attachments/0"))

    assert (whole.content, part.content) == (raw, b"<script>1</script>")
    for answer in (whole, part):
        assert answer.headers["content-type"] == "application/octet-stream"
        assert answer.headers["content-disposition"].startswith("attachment; ")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
        assert answer.headers["cache-control"] == "no-store"
    assert f'filename="message-{message.id}.eml"' in whole.headers["content-disposition"]


@pytest.mark.parametrize("what", ["content", "raw", "attachments/0"])
def test_content_is_for_those_who_may_read_mails(reader: Program, order: Message, what: str) -> None:
    assert "scope" in reader("GET", f"/messages/{order.id}/{what}", 403)["facts"]


def test_what_is_not_there_is_told(ask: Program, mails: Mails, order: Message) -> None:
    (lost,) = mails.quarantine(mail("Lost"))

    for place in ("/messages/999", "/messages/999/content", "/messages/999/raw", f"/messages/{order.id}/attachments/7"):
        assert ask("GET", place, 404)["type"] == "urn:concord:problem:not_found"
    for place in (f"/events/{uuid4()}", f"/events/{uuid4()}/document", "/workflow-runs/999"):
        assert ask("GET", place, 404)["type"] == "urn:concord:problem:not_found"
    assert "archive" in ask("GET", f"/messages/{lost.id}/raw", 422)["type"]
    assert ask("GET", f"/messages/{2**63}", 422)


def test_the_event_and_its_document(ask: Program, reader: Program, order: Message, concord: Concord) -> None:
    place = f"/events/{order.event_id}"

    assert pages(ask, "/events", q="order", account="sales") == [[str(order.event_id)]]
    assert [one["handler"] for one in reader("GET", place)["deliveries"]] == ["log"]
    document = ask("GET", f"{place}/document")
    assert (document["specversion"], document["data"]["subject"]) == ("1.0", "Order 7")
    assert readings(concord) == [("api", "event.read", "done")]
    assert reader("GET", f"{place}/document", 403)


# Another chance.


def test_what_was_set_aside_is_told_by_reason_and_tried_again(ask: Program, mails: Mails, concord: Concord) -> None:
    lost = mails.quarantine(mail("Lost 1"), mail("Lost 2"), mail("Lost 3"))
    told = ask("GET", "/quarantine")
    assert [(one["code"], one["amount"], one["accounts"]) for one in told["reasons"]] == [
        ("archive_missing", 3, ["sales"])
    ]

    some = ask("POST", "/messages/retry", json={"ids": [lost[0].id, 999, lost[0].id]})
    assert (some["changed"], some["unchanged"], some["queued"]) == ([lost[0].id], [999], True)
    assert ask("POST", "/quarantine/retry", json={"reason": "other"})["changed"] == []
    assert sorted(ask("POST", "/quarantine/retry", json={"account": "sales"})["changed"]) == [lost[1].id, lost[2].id]
    assert ask("GET", "/quarantine")["reasons"] == []
    assert (concord.audit.entries()[0].action, concord.audit.entries()[0].subject) == (
        "message.retry",
        "all quarantined of account sales",
    )


def test_without_redis_they_wait_and_that_is_told(ask: Program, mails: Mails) -> None:
    (lost,) = mails.quarantine(mail("Lost"))
    mails.queue.down = True

    assert ask("POST", "/messages/retry", json={"ids": [lost.id]}) == {
        "changed": [lost.id],
        "unchanged": [],
        "queued": False,
    }


def test_deliveries_are_listed_and_offered_again(ask: Program, mails: Mails, concord: Concord) -> None:
    concord.rulebook.save_rule(Rule(name="all", handlers=("nobody",)))
    mails.arrive(mail("One"), mail("Two"))
    known = [one.id for one in concord.outbox.deliveries()]
    concord.dispatcher.deliver(known)
    held = ask("GET", "/deliveries", params={"state": "pending", "handler": "nobody"})["items"]
    assert {(one["held"], one["error_code"], one["priority"]) for one in held} == {(True, "handler_missing", "normal")}
    concord.outbox.retry_deliveries(known)
    for claimed in concord.outbox.claim_deliveries(known, until=datetime.now(UTC) + timedelta(minutes=1)):
        concord.outbox.delivery_dead(claimed, HandlerRefusedError("gone"))

    page = ask("GET", "/deliveries", params={"state": "dead", "handler": "nobody"})
    assert [(one["id"], one["account"], one["subject"]) for one in page["items"]] == [
        (known[0], "sales", "Two"),
        (known[1], "sales", "One"),
    ]
    assert all(one["error"] for one in page["items"])
    event = page["items"][0]["event_id"]
    assert pages(ask, "/deliveries", event=event) == [[known[0]]]
    assert ask("POST", "/deliveries/retry", json={"ids": [known[0]]})["changed"] == [known[0]]
    assert ask("POST", "/deliveries/retry-dead", json={"handler": "other"})["changed"] == []
    assert ask("POST", "/deliveries/retry-dead", json={})["changed"] == [known[1]]
    assert mails.queue.deliveries[-2:] == known
    assert pages(ask, "/deliveries", state="dead") == [[]]


def test_runs_are_listed_step_by_step_and_go_on(ask: Program, order: Message, mails: Mails) -> None:
    (listed,) = ask("GET", "/workflow-runs", params={"state": "failed", "workflow": "ticket"})["items"]
    told = ask("GET", f"/workflow-runs/{listed['id']}")

    assert (told["account"], told["subject"], told["position"]) == ("sales", "Order 7", 0)
    assert [(one["name"], one["kind"]) for one in told["steps"]] == [("open", "gone")]
    assert told["error"]
    assert "options" not in str(told)
    assert ask("POST", "/workflow-runs/retry", json={"ids": [listed["id"], 99]})["changed"] == [listed["id"]]
    assert mails.queue.runs[-1] == listed["id"]


# Running again.


def test_a_dry_run_says_what_would_be_done_and_does_nothing(ask: Program, concord: Concord, order: Message) -> None:
    """P18."""
    before = len(concord.outbox.deliveries())

    told = ask("POST", "/messages/replay", json={"ids": [order.id, 999], "dry_run": True})

    assert told["dry_run"]
    assert [(one["message_id"], one["matched"], one["handlers"], one["deliveries"]) for one in told["done"]] == [
        (order.id, ["orders"], ["log"], [])
    ]
    assert [(one["message_id"], bool(one["detail"])) for one in told["failed"]] == [(999, True)]
    assert len(concord.outbox.deliveries()) == before


def test_messages_are_run_again(ask: Program, concord: Concord, order: Message, mails: Mails) -> None:
    (waiting,) = mails.arrive(mail("Fresh"), processed=False)

    told = ask("POST", "/messages/replay", json={"ids": [order.id, waiting.id], "handlers": ["log"]})

    assert len(told["done"][0]["deliveries"]) == 1
    assert told["done"][1]["reprocessed"]
    assert concord.audit.entries()[0].action == "message.replay"
    assert "no such handler" in ask("POST", "/messages/replay", 422, json={"ids": [1], "handlers": ["lgo"]})["detail"]


@pytest.mark.parametrize("place", ["/messages/retry", "/messages/replay", "/deliveries/retry", "/workflow-runs/retry"])
@pytest.mark.parametrize("ids", [[], [0], [-1], [2**63], ["x"], [1.5], None])
def test_numbers_that_are_none_are_refused(ask: Program, mails: Mails, place: str, ids: object) -> None:
    assert ask("POST", place, 422, json={"ids": ids})["errors"]
