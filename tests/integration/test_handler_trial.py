"""Trying a webhook against a real receiver (U2): what was sent, what came back, and never a secret."""

from __future__ import annotations

import json
from ipaddress import ip_network
from typing import Any

import pytest

from concord.errors import AddressForbiddenError, HandlerError
from concord.handlers import HandlerTools
from concord.handlers.trial import SHOWN, Trial, attempt
from concord.model.rule import HandlerSpec
from concord.settings import WebhookSettings
from tests.fakes.handlers import SentTasks, make_consignment, make_tools, sealed
from tests.servers.webhook import Conversation, WebhookReceiver, answer, drip, flood, hang_up, redirect

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
TOKEN = "Bearer very-secret-token"


def tools(**settings: Any) -> HandlerTools:
    return make_tools(webhook=WebhookSettings(**{"allow_networks": (ip_network("127.0.0.0/8"),)} | settings))


def tried(url: str, given: HandlerTools | None = None, **options: Any) -> Trial:
    spec = HandlerSpec(name="hook", kind="webhook", options={"url": url} | options, secret=sealed(SECRET))
    return attempt(spec, make_consignment(), given or tools())


def test_a_trial_tells_what_was_sent_and_what_came_back(receiver: WebhookReceiver) -> None:
    receiver.script(answer(200, b'{"taken": true}', Content_Type="application/json", Set_Cookie="session=1"))

    trial = tried(receiver.url(), headers={"X-Team": "sales"})

    (call,) = trial.calls
    (received,) = receiver.received
    assert trial.error is None
    assert trial.facts == {"host": "127.0.0.1", "status": 200}
    assert (call.status, call.body, call.cut) == (200, '{"taken": true}', False)
    assert call.headers == {"content-type": "application/json"}
    assert call.octets == len(received.body)
    assert {"x-team", "webhook-signature"} <= {name.lower() for name in call.sent}
    assert 0 <= call.milliseconds <= trial.milliseconds < 5000


def test_a_refusal_is_told_with_the_receivers_words_once(receiver: WebhookReceiver) -> None:
    receiver.script(answer(400, b"bad signature"))

    trial = tried(receiver.url())

    assert isinstance(trial.error, HandlerError)
    assert "answer" not in trial.error.facts
    assert [(call.status, call.body) for call in trial.calls] == [(400, "bad signature")]


def test_a_receiver_that_repeats_what_it_got_betrays_nothing(receiver: WebhookReceiver) -> None:
    def echo(talk: Conversation) -> None:
        told = json.dumps([dict(talk.request.headers), SECRET]).encode()
        answer(500, told, WWW_Authenticate=f"said {TOKEN}")(talk)

    receiver.script(echo)

    shown = repr(tried(receiver.url(), headers={"Authorization": TOKEN}))

    assert receiver.received[0].headers["authorization"] == TOKEN
    assert TOKEN not in shown
    assert SECRET not in shown


def test_redirects_are_shown_one_by_one(receiver: WebhookReceiver) -> None:
    receiver.script(redirect("/moved"))

    assert [call.status for call in tried(receiver.url()).calls] == [307, 204]


@pytest.mark.parametrize("location", ["http://169.254.169.254/latest/meta-data/", "http://localhost:6379/"])
def test_a_redirect_elsewhere_is_shown_and_not_followed(receiver: WebhookReceiver, location: str) -> None:
    receiver.script(redirect(location))

    trial = tried(receiver.url())

    assert [call.status for call in trial.calls] == [307]
    assert trial.error
    assert "does not follow" in str(trial.error)


def test_a_name_that_answers_otherwise_the_second_time_is_refused(receiver: WebhookReceiver) -> None:
    """DNS rebinding: public when the form is saved, this machine when the call is made."""
    answers = iter([["192.0.46.8"], ["127.0.0.1"]])
    given = make_tools(resolve=lambda _host, _port: next(answers))
    given.resolve("rebound.example.com", 443)

    trial = tried(receiver.url(host="rebound.example.com"), given)

    assert isinstance(trial.error, AddressForbiddenError)
    assert receiver.connections == 0


def test_long_answers_are_cut(receiver: WebhookReceiver) -> None:
    receiver.script(flood, answer(200, b"x" * (SHOWN + 1)), answer(200, b"\xff\xfe<script>"))

    endless, long, strange = (tried(receiver.url()).calls[0] for _ in range(3))

    assert (len(endless.body), endless.cut) == (SHOWN, True)
    assert (len(long.body), long.cut) == (SHOWN, True)
    assert strange.body.endswith("<script>")


def test_patience_ends_whatever_the_handlers_own_time_out_says(
    receiver: WebhookReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("concord.handlers.trial.PATIENCE", 0.5)
    receiver.script(drip())

    trial = tried(receiver.url(), timeout=100)

    assert trial.error
    assert "did not answer in time" in str(trial.error)
    assert trial.milliseconds < 5000


def test_a_receiver_that_hangs_up_is_an_answer_too(receiver: WebhookReceiver) -> None:
    receiver.script(hang_up)

    trial = tried(receiver.url())

    assert trial.error
    assert trial.calls == ()


def test_other_kinds_tell_what_they_did() -> None:
    spec = HandlerSpec(name="crm", kind="celery", options={"task": "crm.take", "queue": "crm"})

    trial = attempt(spec, make_consignment(), make_tools(send_task=SentTasks()))
    refused = attempt(spec, make_consignment(), make_tools(send_task=SentTasks(down=True)))

    assert trial.facts["task"] == "crm.take"
    assert refused.error
    assert "Redis" in str(refused.error)
