"""The celery handler."""

from __future__ import annotations

import pytest

from concord.errors import QueueDownError, UsageError
from concord.handlers.celery_task import CeleryHandler, CeleryOptions
from concord.handlers.options import read
from concord.wording import english
from tests.fakes.handlers import SentTasks, make_consignment, make_event, make_tools


def test_the_task_gets_the_document_under_a_stable_id() -> None:
    broker, given = SentTasks(), make_consignment()

    facts = CeleryHandler(CeleryOptions(task="crm.take", queue="crm"), make_tools(send_task=broker)).deliver(given)

    assert broker.sent == [("crm.take", [given.event], "crm", given.id)]
    assert facts == {"task": "crm.take", "queue": "crm", "task_id": given.id}


def test_a_big_event_goes_without_its_html() -> None:
    broker = SentTasks()
    options = CeleryOptions(task="crm.take", queue="crm", max_bytes=2000)

    CeleryHandler(options, make_tools(send_task=broker)).deliver(make_consignment(make_event(html="x" * 5000)))

    assert broker.sent[0][1][0]["data"]["truncated"] is True


def test_a_broker_that_is_away_is_our_own_trouble() -> None:
    with pytest.raises(QueueDownError):
        CeleryHandler(CeleryOptions(task="crm.take", queue="crm"), make_tools(send_task=SentTasks(down=True))).deliver(
            make_consignment()
        )


@pytest.mark.parametrize("queue", ["email", "email-poll", "email-deliver", "email\x06\x163"])
def test_our_own_queues_are_refused(queue: str) -> None:
    with pytest.raises(UsageError, match="cannot be used") as caught:
        read(CeleryOptions, {"task": "crm.take", "queue": queue}, kind="celery")

    assert "Concord's own" in english.explain(caught.value) or "cannot be seen" in english.explain(caught.value)
