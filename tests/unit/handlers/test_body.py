"""Fitting an event where it is sent."""

from __future__ import annotations

import json

import pytest

from concord.errors import HandlerRefusedError
from concord.handlers.body import fit
from tests.fakes.handlers import make_consignment, make_event


def test_what_fits_is_sent_octet_for_octet() -> None:
    given = make_consignment()

    load = fit(given.event, given.document, len(given.document))

    assert load.document == given.document
    assert load.dropped == ()


def test_html_goes_first_and_the_event_says_so() -> None:
    given = make_consignment(make_event(html="x" * 5000, text="short"))

    load = fit(given.event, given.document, 2000)

    data = json.loads(load.document)["data"]
    assert (data["html"], data["text"], data["truncated"]) == (None, "short", True)
    assert load.event["data"] == data
    assert load.dropped == ("html",)


def test_text_goes_when_html_was_not_enough() -> None:
    given = make_consignment(make_event(html="x" * 5000, text="y" * 5000))

    load = fit(given.event, given.document, 2000)

    assert load.dropped == ("html", "text")
    assert len(load.document) <= 2000


def test_the_archived_event_is_left_as_it_is() -> None:
    event = make_event(html="x" * 5000)

    fit(event, make_consignment(event).document, 2000)

    assert event["data"]["html"] == "x" * 5000


def test_a_frame_that_is_too_big_is_refused() -> None:
    given = make_consignment(make_event(subject="s" * 5000))

    with pytest.raises(HandlerRefusedError) as caught:
        fit(given.event, given.document, 2000)

    assert caught.value.facts["limit"] == 2000
