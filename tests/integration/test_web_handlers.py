"""Test deliveries from pages and the API to a real receiver: what is shown, and what it cannot make Concord do."""

from __future__ import annotations

import html
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from httpx2 import Response

from concord.bootstrap import Concord
from concord.handlers.trial import SHOWN
from concord.model.rule import HandlerSpec
from concord.settings import WebhookSettings
from tests.factories import sealed_for
from tests.servers.webhook import Conversation, WebhookReceiver, answer, flood, hang_up, redirect
from tests.web_world import Browser, token_of, web_concord

LIST = "/admin/settings/handlers"
PLACE = f"{LIST}/crm"
API = "/api/v1/handlers/crm/test"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TOKEN = "Bearer very-secret-token"


@pytest.fixture
def concord(tmp_path: Path) -> Iterator[Concord]:
    allowed = WebhookSettings(allow_networks=(ip_network("127.0.0.1/32"),))
    with web_concord(tmp_path, webhook=allowed) as made:
        yield made


@pytest.fixture
def bob(concord: Concord) -> Browser:
    """An operator."""
    browser = Browser(concord)
    browser.sign_in("bob")
    return browser


@pytest.fixture
def hook(concord: Concord, receiver: WebhookReceiver) -> HandlerSpec:
    """A webhook to the receiver."""
    options = {"url": receiver.url("/hook?key=abc"), "headers": {"Authorization": TOKEN}}
    return concord.rulebook.save_handler(
        sealed_for(concord.vault, HandlerSpec(name="crm", kind="webhook", options=options), SECRET)
    )


def send(browser: Browser, **fields: Any) -> Response:
    return browser.submit(f"{PLACE}/test", PLACE, **fields)


def resolving(concord: Concord, resolve: Callable[[str, int], Sequence[str]], **settings: Any) -> None:
    """Names mean what the test says."""
    webhook = concord.settings.webhook.model_copy(update=settings)
    vars(concord)["tools"] = replace(concord.tools, resolve=resolve, webhook=webhook)


def test_what_was_sent_and_what_came_back_is_shown(bob: Browser, hook: HandlerSpec, receiver: WebhookReceiver) -> None:
    receiver.script(answer(200, b'{"taken": true}', Content_Type="application/json"))

    page = send(bob).text

    (received,) = receiver.received
    assert received.document["data"]["subject"] == "A sample event from Concord"
    assert "webhook-signature" in received.headers
    assert "The handler took the event." in page
    assert html.escape('{"taken": true}', quote=False).replace('"', "&#34;") in page
    assert ">200<" in page
    assert " ms<" in page
    for secret in (SECRET, TOKEN, "key=abc"):
        assert secret not in page


@pytest.mark.parametrize(
    ("status", "remedy"),
    [
        (302, "Put the address that the receiver answers with"),
        (400, "What the receiver answers below says why"),
        (401, "Give the receiver the signing secret"),
        (404, "Compare the path of the URL"),
        (410, "Ask the receiver&#39;s people for its new URL"),
        (503, "The receiver itself failed"),
    ],
)
def test_a_refusal_has_its_cause_and_what_to_do(
    bob: Browser, hook: HandlerSpec, receiver: WebhookReceiver, status: int, remedy: str
) -> None:
    receiver.script(answer(status, b"sorry, no"))

    page = send(bob)

    assert page.status_code == 200
    assert f">{status}<" in page.text
    assert "sorry, no" in page.text
    assert remedy in page.text


def test_a_receiver_that_is_silent_has_a_remedy_too(bob: Browser, hook: HandlerSpec, receiver: WebhookReceiver) -> None:
    receiver.script(hang_up)

    assert "Check that the receiver runs" in send(bob).text


def test_an_answer_is_a_strangers_text_and_no_more_than_a_page_of_it(
    bob: Browser, hook: HandlerSpec, receiver: WebhookReceiver
) -> None:
    receiver.script(
        answer(500, b"</pre><script>alert(1)</script>", Server="<img src=x>", WWW_Authenticate="<b>"), flood
    )

    hostile, long = send(bob).text, send(bob).text

    for page in (hostile, long):
        assert "<script>alert" not in page
        assert "<img src=x" not in page
    assert "&lt;/pre&gt;&lt;script&gt;" in hostile
    assert "x" * SHOWN in long
    assert "x" * (SHOWN + 1) not in long
    assert "Only the beginning is shown." in long


def test_a_receiver_that_repeats_what_it_got_betrays_nothing(
    bob: Browser, concord: Concord, hook: HandlerSpec, receiver: WebhookReceiver
) -> None:
    def echo(talk: Conversation) -> None:
        answer(500, json.dumps([dict(talk.request.headers), SECRET]).encode(), Server=TOKEN)(talk)

    receiver.script(echo, echo)

    page = send(bob)
    told = Browser(concord).post(API, headers=token_of(concord, "bob"))

    assert len(receiver.received) == 2
    for shown in (page.text, told.text):
        assert TOKEN not in shown
        assert SECRET not in shown


def test_redirects_go_nowhere_else(bob: Browser, hook: HandlerSpec, receiver: WebhookReceiver) -> None:
    """SSRF: the metadata service, another port of this machine by another name, another scheme."""
    for location in ("http://169.254.169.254/latest/meta-data/", f"http://localhost:{receiver.port}/", "file:///etc"):
        receiver.script(redirect(location))
        page = send(bob).text
        assert len(receiver.received) == 1
        assert "redirects to" in page
    receiver.script(redirect("/moved"))
    assert "Call 2 to" in send(bob).text
    assert [one.path for one in receiver.received] == ["/hook?key=abc", "/moved"]


def test_an_address_that_is_private_is_refused_at_the_field_and_not_called(
    bob: Browser, concord: Concord, receiver: WebhookReceiver
) -> None:
    resolving(concord, concord.tools.resolve, allow_networks=())
    receiver.script()
    for url in (receiver.url(), receiver.url(host="localhost"), f"http://[::ffff:127.0.0.1]:{receiver.port}/"):
        fields = {"kind": "webhook", "name": "crm", "url": url, "signing": "none", "enabled": "1"}
        for to in (LIST, f"{LIST}/try"):
            answered = bob.submit(to, f"{LIST}?add=webhook", **fields)
            assert answered.status_code == 422
            assert "webhook.allow_networks" in answered.text
    assert receiver.connections == 0
    assert concord.rulebook.handlers() == []


def test_a_name_that_means_something_else_when_it_is_called_is_not_called(
    bob: Browser, concord: Concord, receiver: WebhookReceiver
) -> None:
    """DNS rebinding: public when the form is read, this machine when the call is made."""
    asked: list[str] = []

    def rebinding(host: str, _port: int) -> Sequence[str]:
        asked.append(host)
        return ["192.0.46.8"] if len(asked) % 2 else ["127.0.0.1"]

    resolving(concord, rebinding, allow_networks=())
    receiver.script()
    url = receiver.url(host="rebound.example.com")
    fields = {"kind": "webhook", "name": "crm", "url": url, "signing": "none", "enabled": "1"}

    tried = bob.submit(f"{LIST}/try", f"{LIST}?add=webhook", **fields)

    assert tried.status_code == 200
    assert "Calling this address is not allowed" in tried.text
    assert "webhook.allow_networks" in tried.text
    assert len(asked) == 2
    assert receiver.connections == 0


def test_what_the_form_says_is_tried_before_it_is_kept(
    bob: Browser, concord: Concord, receiver: WebhookReceiver
) -> None:
    receiver.script(answer(204))
    fields = {"kind": "webhook", "name": "", "url": receiver.url(), "signing": "new", "headers": "X-Team: sales"}

    page = bob.submit(f"{LIST}/try", f"{LIST}?add=webhook", **fields)

    (received,) = receiver.received
    assert received.headers["x-team"] == "sales"
    assert "webhook-signature" in received.headers
    assert "The handler took the event." in page.text
    assert concord.rulebook.handlers() == []


def test_a_trial_through_the_api_tells_the_same(concord: Concord, hook: HandlerSpec, receiver: WebhookReceiver) -> None:
    receiver.script(answer(503, b"<later>", Retry_After="7"))

    told = Browser(concord).post(API, headers=token_of(concord, "bob")).json()

    assert told["delivered"] is False
    assert told["error"]["type"] == "handler"
    assert told["error"]["facts"]["status"] == "503"
    assert "its log says why" in told["error"]["remedy"]
    (call,) = told["calls"]
    assert (call["status"], call["body"], call["cut"]) == (503, "<later>", False)
    assert call["headers"] == {"retry-after": "7"}
