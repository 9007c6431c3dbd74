"""The webhook handler's options, and its judgement of answers."""

from __future__ import annotations

from datetime import timedelta
from email.utils import format_datetime

import pytest

from concord.errors import HandlerError, HandlerRefusedError, UsageError
from concord.handlers.endpoint import Answer
from concord.handlers.options import read
from concord.handlers.webhook import WebhookOptions, judge
from concord.wording import english
from tests.fakes.handlers import NOW


def answered(status: int, body: bytes = b"", **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(host="hooks.example.com", status=status, headers=named, body=body, whole=True)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_any_2xx_is_success(status: int) -> None:
    judge(answered(status), NOW)


@pytest.mark.parametrize("status", [301, 302, 303, 304, 400, 401, 403, 404, 408, 422, 425, 429, 500, 502, 503, 504])
def test_everything_else_is_tried_again(status: int) -> None:
    with pytest.raises(HandlerError) as caught:
        judge(answered(status), NOW)

    assert caught.value.facts["status"] == status


def test_gone_is_for_good() -> None:
    with pytest.raises(HandlerRefusedError):
        judge(answered(410), NOW)


@pytest.mark.parametrize(
    ("status", "asked", "seconds"),
    [
        (429, "17", 17),
        (503, "0", 0),
        (503, "999999", 3600),
        (503, "9" * 5000, 3600),
        (503, format_datetime(NOW + timedelta(seconds=90)), 90),
        (503, format_datetime(NOW - timedelta(seconds=90)), 0),
        (503, "soon", None),
        (503, "-5", None),
        (503, "", None),
        (500, "17", None),
    ],
)
def test_the_asked_wait_is_honoured_up_to_an_hour(status: int, asked: str, seconds: float | None) -> None:
    with pytest.raises(HandlerError) as caught:
        judge(answered(status, retry_after=asked), NOW)

    assert caught.value.retry_after == seconds


def test_the_answer_is_shown_short_and_on_one_line() -> None:
    with pytest.raises(HandlerError) as caught:
        judge(answered(400, b"bad\r\nsignature \xff" + b"x" * 5000), NOW)

    shown = str(caught.value.facts["answer"])
    assert shown.startswith("bad signature \N{REPLACEMENT CHARACTER}")
    assert len(shown) == 200


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "Give 'url'"),
        ({"url": "ftp://hooks.example.com/"}, "https:// or http://"),
        ({"url": "hooks.example.com/path"}, "https:// or http://"),
        ({"url": "https:///path"}, "names no host"),
        ({"url": "https://user:hunter2@hooks.example.com/"}, "must not hold a user or password"),
        ({"url": "https://hooks.example.com:99999/"}, "between 1 and 65535"),
        ({"url": "file:///etc/passwd"}, "https:// or http://"),
        ({"uri": "https://hooks.example.com/"}, "Did you mean 'url'?"),
        ({"url": "https://hooks.example.com/", "timeout": 0}, "too small"),
        ({"url": "https://hooks.example.com/", "timeout": 600}, "too big"),
        ({"url": "https://hooks.example.com/", "headers": {"Host": "other"}}, "set by Concord itself"),
        ({"url": "https://hooks.example.com/", "headers": {"Webhook-Id": "1"}}, "set by Concord itself"),
        ({"url": "https://hooks.example.com/", "headers": {"X-A": "1\r\nX-B: 2"}}, "cannot be sent"),
        ({"url": "https://hooks.example.com/", "headers": {"X A": "1"}}, "cannot be sent"),
    ],
)
def test_options_that_cannot_be_meant_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        read(WebhookOptions, options, kind="webhook")

    assert said in english.explain(caught.value)
    assert "hunter2" not in english.explain(caught.value)


def test_good_options_are_taken() -> None:
    options = read(
        WebhookOptions,
        {"url": "https://例え.example/hook?x=1", "headers": {"X-Team": "sales"}, "timeout": 3},
        kind="webhook",
    )

    assert options.timeout == 3
