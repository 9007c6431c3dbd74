"""One account's entry: anchored, and stored as RedBeat stores its own."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from celery import Celery
from redbeat import RedBeatSchedulerEntry

from concord.adapters.celery import make_app
from concord.adapters.redbeat_entry import AnchoredEntry
from concord.ports import ScheduledPoll
from concord.settings import Settings


@pytest.fixture
def app() -> Iterator[Celery]:
    made = make_app(Settings())
    yield made
    made.close()


@pytest.fixture
def entry(app: Celery) -> AnchoredEntry:
    return AnchoredEntry.for_poll(ScheduledPoll(account_id=7, interval=60), app)


@pytest.mark.parametrize("moment", [1_700_000_000.0, 1_800_000_000.3, 2_100_000_000.7])
def test_run_at_its_very_point_is_not_due_again(app: Celery, moment: float) -> None:
    """P1: stored times are whole microseconds, and the fraction lost made a point fire for ever."""
    for account in range(100):
        entry = AnchoredEntry.for_poll(ScheduledPoll(account_id=account, interval=60), app)
        point = entry.due_timestamp(moment)

        entry.ran(point)

        assert entry.due_timestamp(point) > point


def test_poll_stands_level_and_never_expires(entry: AnchoredEntry) -> None:
    """P1: an expiry would hang on the clocks of two hosts."""
    assert entry.options == {"queue": "email-poll", "priority": 3}


def test_entry_reads_back_as_it_was_written(entry: AnchoredEntry, app: Celery) -> None:
    entry.ran(1_800_000_000.25)

    again = AnchoredEntry.stored(entry.definition(), entry.meta(), app)

    assert again == entry
    assert again.last_run_at == entry.last_run_at
    assert again.definition() == entry.definition()


def test_redbeats_own_tools_can_read_it(entry: AnchoredEntry) -> None:
    facts = RedBeatSchedulerEntry.decode_definition(entry.definition())

    assert facts["task"] == "concord.poll_email_account"
    assert facts["schedule"].run_every.total_seconds() == 60


def test_entry_that_never_ran_says_so(entry: AnchoredEntry) -> None:
    assert json.loads(entry.meta())["last_run_at"] is None
