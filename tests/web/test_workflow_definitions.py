"""Workflows on pages and through the API: steps are put together by buttons, mistakes stand at their step (U2, P9)."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import pytest
from httpx2 import Response

from concord.bootstrap import Concord
from concord.model.rule import Match, Rule, WorkflowSpec, WorkflowStepSpec
from concord.model.user import Permission
from concord.pipeline.book_document import MOST_STEPS
from tests.fakes.handlers import public
from tests.web_world import Browser, token_of

LIST = "/admin/settings/workflows"
NEW = f"{LIST}?add=1"
API = "/api/v1/workflow-definitions"
URL = "https://tickets.example.com/T0/secret-path"


@pytest.fixture(autouse=True)
def names(concord: Concord) -> None:
    """Names are resolved without a network."""
    vars(concord)["tools"] = replace(concord.tools, resolve=public)


@pytest.fixture
def ticket(concord: Concord) -> WorkflowSpec:
    """A webhook with a header, then a task."""
    steps = (
        WorkflowStepSpec(name="open", kind="webhook", options={"url": URL, "headers": {"X-Key": "open-sesame"}}),
        WorkflowStepSpec(name="tell", kind="celery", options={"task": "team.tell", "queue": "team"}),
    )
    return concord.rulebook.save_workflow(WorkflowSpec(name="ticket", steps=steps))


def place(name: str, verb: str = "") -> str:
    return f"{LIST}/{quote(name, safe='')}{verb}"


def step(number: int, kind: str, name: str, was: str = "", **texts: str) -> dict[str, str]:
    fields = {"kind": kind, "name": name, "was": was, **texts}
    return {f"step-{number}-{field}": text for field, text in fields.items()}


TWO = {**step(0, "webhook", "open", url=URL), **step(1, "celery", "tell", task="team.tell", queue="team")}


def send(browser: Browser, to: str = LIST, page: str = NEW, **fields: Any) -> Response:
    return browser.submit(to, page, **{"name": "ticket", "enabled": "1", "do": "save", **fields})


def told_at(page: Response, field: str) -> str:
    found = re.search(rf'<p id="h-{field}" class="help"><strong>(.*?)</strong>', page.text)
    return html.unescape(found[1]) if found else ""


def names_in(page: Response) -> list[str]:
    """The steps of the form, in order."""
    return re.findall(r'name="step-\d+-name" type="text" value="([^"]*)"', page.text)


def mark_of(browser: Browser, name: str = "ticket") -> str:
    found = re.search(r'name="mark" value="([0-9a-f]+)"', browser.get(place(name, "/edit")).text)
    assert found
    return found[1]


def edit(browser: Browser, **fields: Any) -> Response:
    to = place("ticket", "/edit")
    return send(browser, to, to, **{"mark": mark_of(browser), **fields})


# The form.


def test_steps_are_added_moved_and_taken_out_without_losing_what_was_typed(bob: Browser) -> None:
    one = send(bob, do="add-webhook")
    assert names_in(one) == ["webhook"]
    three = send(bob, do="add-webhook", **TWO)
    assert names_in(three) == ["open", "tell", "webhook"]
    assert URL in three.text
    again = send(bob, do="add-webhook", **step(0, "webhook", "webhook"))
    assert names_in(again) == ["webhook", "webhook-2"]

    assert names_in(send(bob, do="down-0", **TWO)) == ["tell", "open"]
    assert names_in(send(bob, do="up-1", **TWO)) == ["tell", "open"]
    assert names_in(send(bob, do="up-0", **TWO)) == ["open", "tell"]
    assert names_in(send(bob, do="out-0", **TWO)) == ["tell"]
    assert three.status_code == 200


@pytest.mark.parametrize("do", ["", "out", "out-2", "up--1", "down-99999999", "add-shell", "add-", "up-²", "fly-1"])
def test_a_button_that_means_nothing_changes_nothing(bob: Browser, concord: Concord, do: str) -> None:
    assert names_in(send(bob, do=do, **TWO)) == ["open", "tell"]
    assert concord.rulebook.workflows() == []


def test_enter_in_a_field_saves(bob: Browser) -> None:
    """A browser presses the first button of the form."""
    page = send(bob, do="add-webhook").text.partition('<form class="card"')[2]

    assert 'name="do" value="save"' in page.partition("</button>")[0]


def test_a_workflow_is_kept_with_its_steps_in_order(bob: Browser, concord: Concord) -> None:
    kept = send(bob, **TWO)

    assert kept.url.path == place("ticket")
    assert "A rule must name it" in kept.text
    (workflow,) = concord.rulebook.workflows()
    assert [(one.name, one.kind, one.options) for one in workflow.steps] == [
        ("open", "webhook", {"url": URL}),
        ("tell", "celery", {"task": "team.tell", "queue": "team"}),
    ]


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"name": ""}, "name", "no name"),
        ({"name": "."}, "name", "cannot have this name"),
        ({"step-0-name": ""}, "step-0-name", "no name"),
        ({"step-1-name": "open"}, "step-1-name", "Two steps have one name"),
        ({"step-0-url": ""}, "step-0-url", "This is needed."),
        ({"step-0-url": "http://10.0.0.1/"}, "step-0-url", "webhook.allow_networks"),
        ({"step-0-headers": "nothing"}, "step-0-headers", "is no header"),
        ({"step-0-headers": "X: …"}, "step-0-headers", "has no value"),
        ({"step-0-timeout": "never"}, "step-0-timeout", "not a number"),
        ({"step-1-queue": "email"}, "step-1-queue", "Concord's own"),
        ({"step-1-task": ""}, "step-1-task", "This is needed."),
    ],
)
def test_mistakes_stand_at_the_field_of_their_step(
    bob: Browser, concord: Concord, fields: Mapping[str, str], field: str, said: str
) -> None:
    answer = send(bob, **{**TWO, **fields})

    assert answer.status_code == 422
    assert said in told_at(answer, field)
    assert concord.rulebook.workflows() == []


def test_a_workflow_has_steps_of_known_kinds_and_not_too_many(bob: Browser, concord: Concord) -> None:
    none = send(bob)
    assert none.status_code == 422
    assert "Add one below" in none.text
    strange = send(bob, **step(0, "shell", "rm", options="{}"))
    assert strange.status_code == 422
    assert "There is no such kind of step" in strange.text
    many = {key: text for number in range(60) for key, text in step(number, "webhook", f"s{number}").items()}
    full = send(bob, do="add-webhook", **many)
    assert len(names_in(full)) == MOST_STEPS
    assert f"{MOST_STEPS} steps at most" in full.text
    assert concord.rulebook.workflows() == []


def test_a_name_that_is_taken_is_told_at_its_field(bob: Browser, ticket: WorkflowSpec) -> None:
    assert "There is a workflow of that name already" in told_at(send(bob, **TWO), "name")


@pytest.mark.parametrize("name", ["<img src=x onerror=alert(1)>", "a?b#c&d", "50%", "add", "名称", 'it\'s "so"'])
def test_names_of_any_kind_are_text_and_have_their_page(bob: Browser, concord: Concord, name: str) -> None:
    send(bob, **{**TWO, "name": name, "step-0-name": name})

    for page in (bob.get(LIST), *(bob.get(place(name, verb)) for verb in ("", "/edit", "/remove"))):
        assert page.status_code == 200
        assert "<img" not in page.text.partition("<main")[2]
        assert html.escape(name).replace("&#x27;", "&#39;").replace("&quot;", "&#34;") in page.text
    assert "is removed" in bob.submit(place(name, "/remove"), place(name)).text
    assert concord.rulebook.workflows() == []


# Changing.


def test_what_is_not_shown_stays_where_a_step_is_moved_and_renamed(
    bob: Browser, concord: Concord, ticket: WorkflowSpec
) -> None:
    assert "open-sesame" not in bob.get(place("ticket", "/edit")).text
    tell = step(0, "celery", "tell", was="tell", task="team.tell", queue="team")
    begin = step(1, "webhook", "begin", was="open", url=URL, headers="X-Key: …")

    assert "is changed" in edit(bob, **tell, **begin).text

    (workflow,) = concord.rulebook.workflows()
    assert [one.name for one in workflow.steps] == ["tell", "begin"]
    assert workflow.steps[1].options["headers"] == {"X-Key": "open-sesame"}


def test_another_receiver_gets_no_header_of_the_one_before(
    bob: Browser, concord: Concord, ticket: WorkflowSpec
) -> None:
    away = step(0, "webhook", "open", was="open", url="https://evil.example.com/", headers="X-Key: …")

    assert "The receiver is another one" in told_at(edit(bob, **away), "step-0-headers")
    assert concord.rulebook.workflows() == [ticket]


def test_what_somebody_else_changed_is_not_overwritten(bob: Browser, concord: Concord, ticket: WorkflowSpec) -> None:
    moved = edit(bob, mark="0123456789abcdef", do="down-0", **TWO)
    saved = edit(bob, mark="0123456789abcdef", **TWO)

    assert (moved.status_code, saved.status_code) == (409, 409)
    assert names_in(moved) == ["tell", "open"]
    assert "Somebody else changed this workflow" in saved.text
    assert concord.rulebook.workflows() == [ticket]


# One, switching and removing.


def test_one_is_told_without_what_may_be_a_token(carol: Browser, concord: Concord, ticket: WorkflowSpec) -> None:
    concord.rulebook.save_rule(Rule(name="orders", match=Match(subject=("*",)), workflows=("ticket",)))

    page = carol.get(place("ticket")).text

    assert "https://tickets.example.com/…" in page
    assert "secret-path" not in page
    assert "open-sesame" not in page
    assert "orders" in page
    assert "It did not run yet" in page
    assert "<button" not in page.partition("<main")[2]


def test_it_is_switched_off_and_on(bob: Browser, concord: Concord, ticket: WorkflowSpec) -> None:
    assert "not started any more" in bob.submit(place("ticket", "/disable"), place("ticket")).text
    assert not concord.rulebook.workflows()[0].enabled
    assert "from now on" in bob.submit(place("ticket", "/enable"), place("ticket")).text


def test_one_that_rules_start_stays_and_the_rules_are_linked(
    bob: Browser, concord: Concord, ticket: WorkflowSpec
) -> None:
    rule = concord.rulebook.save_rule(Rule(name="orders", match=Match(subject=("*",)), workflows=("ticket",)))

    for page in (bob.get(place("ticket", "/remove")), bob.submit(place("ticket", "/remove"), place("ticket"))):
        assert f'href="/admin/settings/rules/{rule.id}"' in page.text
        assert "Remove the workflow" not in page.text
    assert page.status_code == 409
    assert concord.rulebook.workflows() == [ticket]


@pytest.mark.parametrize("verb", ["", "/edit", "/remove"])
def test_what_is_not_there_is_told_so(bob: Browser, verb: str) -> None:
    assert bob.get(place("nobody", verb)).status_code == 404


def test_a_viewer_changes_nothing(carol: Browser, concord: Concord, ticket: WorkflowSpec) -> None:
    assert "Add a step" not in carol.get(NEW).text
    assert carol.get(place("ticket", "/edit")).status_code == 403
    for verb in ("/edit", "/enable", "/disable", "/remove"):
        assert carol.submit(place("ticket", verb), do="save", **TWO).status_code == 403
    assert send(carol, page="/admin/profile", **TWO).status_code == 403
    assert concord.rulebook.workflows() == [ticket]


# The API.


def test_a_workflows_life_through_the_api(mallory: Browser, concord: Concord) -> None:
    header = token_of(concord, "bob")
    steps = [
        {"name": "open", "kind": "webhook", "options": {"url": URL, "headers": {"X-Key": "open-sesame"}}},
        {"name": "tell", "kind": "celery", "options": {"task": "team.tell", "queue": "team"}},
    ]

    made = mallory.post(API, headers=header, json={"name": "ticket", "steps": steps})
    assert made.status_code == 201
    told = made.json()
    assert told["steps"][0]["options"] == {"url": URL, "headers": {"X-Key": "…"}}
    assert mallory.post(API, headers=header, json={"name": "ticket", "steps": steps}).status_code == 409

    back = {"steps": told["steps"][::-1], "enabled": False}
    changed = mallory.put(f"{API}/ticket", headers=header, json=back).json()
    assert ([one["name"] for one in changed["steps"]], changed["enabled"]) == (["tell", "open"], False)
    assert concord.rulebook.workflows()[0].steps[1].options["headers"] == {"X-Key": "open-sesame"}
    assert mallory.post(f"{API}/ticket/enable", headers=header).json()["enabled"]
    assert not mallory.post(f"{API}/ticket/disable", headers=header).json()["enabled"]
    assert mallory.get(API, headers=header).json()["items"] == [mallory.get(f"{API}/ticket", headers=header).json()]
    reader = token_of(concord, "carol")
    assert "secret-path" not in mallory.get(f"{API}/ticket", headers=reader).text

    concord.rulebook.save_rule(Rule(name="orders", match=Match(subject=("*",)), workflows=("ticket",)))
    assert mallory.delete(f"{API}/ticket", headers=header).json()["facts"]["rules"] == "orders"
    concord.rulebook.remove_rule("orders")
    assert mallory.delete(f"{API}/ticket", headers=header).status_code == 204
    assert mallory.get(f"{API}/ticket", headers=header).status_code == 404


def test_the_api_tells_every_mistake_with_its_place(mallory: Browser, concord: Concord) -> None:
    steps = [
        {"name": "a", "kind": "webhook", "options": {"url": "http://127.0.0.1/"}},
        {"name": "a", "kind": "shell"},
        {"name": "b", "kind": "celery", "options": {"colour": "green"}},
    ]

    answer = mallory.post(API, headers=token_of(concord, "bob"), json={"name": "x", "steps": steps})

    assert answer.status_code == 422
    assert {one["pointer"] for one in answer.json()["errors"]} == {
        "/steps/0/options/url",
        "/steps/1/name",
        "/steps/1/kind",
        "/steps/2/options/task",
        "/steps/2/options/queue",
        "/steps/2/options/colour",
    }
    empty = mallory.post(API, headers=token_of(concord, "bob"), json={"name": "x", "steps": []})
    assert [one["pointer"] for one in empty.json()["errors"]] == ["/steps"]


def test_what_a_token_may_not_it_does_not(mallory: Browser, concord: Concord, ticket: WorkflowSpec) -> None:
    reader = token_of(concord, "bob", Permission.READ)

    for verb, path in (("POST", ""), ("PUT", "/ticket"), ("DELETE", "/ticket"), ("POST", "/ticket/enable")):
        assert mallory.request(verb, API + path, headers=reader).status_code == 403
    assert concord.rulebook.workflows() == [ticket]
