"""The webhook step of a workflow against a real receiver (P9)."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from concord.errors import AddressForbiddenError, HandlerError, HandlerRefusedError
from concord.handlers import WorkflowSteps
from concord.ports import StepHandler
from concord.settings import WebhookSettings
from tests.fakes.handlers import make_event, make_tools
from tests.servers.webhook import WebhookReceiver, answer, drip


@pytest.fixture
def step() -> StepHandler:
    settings = WebhookSettings(allow_networks=(ip_network("127.0.0.0/8"),), max_body_bytes=10_000)
    return WorkflowSteps(make_tools(webhook=settings)).get("webhook")


def test_the_answer_is_the_steps_output(receiver: WebhookReceiver, step: StepHandler) -> None:
    receiver.script(answer(201, b'{"ticket": 7}', Content_Type="application/json; charset=utf-8"))
    event = make_event()

    output = step.run(event, {"before": {"a": 1}}, {"url": receiver.url()}, key="step-1")

    assert output == {"status": 201, "answer": {"ticket": 7}}
    assert receiver.received[0].document == {"event": event, "outputs": {"before": {"a": 1}}}
    assert receiver.received[0].headers["webhook-id"] == "step-1"


def test_an_answer_that_is_not_json_is_no_output(receiver: WebhookReceiver, step: StepHandler) -> None:
    receiver.script(answer(200, b"thanks", Content_Type="text/plain"))

    assert step.run(make_event(), {}, {"url": receiver.url()}, key="k") == {"status": 200, "answer": None}


@pytest.mark.parametrize(
    "head", [b"Content-Length: 9\r\n\r\n{", b"Connection: close\r\n\r\n{", b"Connection: close\r\n\r\n"]
)
def test_an_answer_that_breaks_off_is_asked_for_again(
    receiver: WebhookReceiver, step: StepHandler, head: bytes
) -> None:
    receiver.script(drip(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" + head))

    with pytest.raises(HandlerError):
        step.run(make_event(), {}, {"url": receiver.url(), "timeout": 0.4}, key="k")


def test_a_big_event_goes_without_its_html(receiver: WebhookReceiver, step: StepHandler) -> None:
    outputs = {"before": {"a": "y" * 5000}}

    step.run(make_event(html="x" * 5000), outputs, {"url": receiver.url()}, key="k")

    assert receiver.received[0].document["event"]["data"]["truncated"] is True
    assert receiver.received[0].document["outputs"] == outputs
    assert len(receiver.received[0].body) <= 10_000


def test_failures_are_the_handlers(receiver: WebhookReceiver, step: StepHandler) -> None:
    receiver.script(answer(500), answer(410))

    with pytest.raises(HandlerError):
        step.run(make_event(), {}, {"url": receiver.url()}, key="k")
    with pytest.raises(HandlerRefusedError):
        step.run(make_event(), {}, {"url": receiver.url()}, key="k")


def test_the_guard_watches_steps_too(receiver: WebhookReceiver) -> None:
    with pytest.raises(AddressForbiddenError):
        WorkflowSteps(make_tools()).get("webhook").run(make_event(), {}, {"url": receiver.url()}, key="k")

    assert receiver.connections == 0
