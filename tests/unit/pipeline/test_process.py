"""Processing: one message is the unit; whatever it does, it does to itself alone (P6, P16)."""

from __future__ import annotations

import json

import pytest
from structlog.testing import capture_logs

from concord import mime
from concord.errors import ArchiveDownError
from concord.model.account import Priority
from concord.model.message import MessageState
from concord.model.rule import Match, Rule, WorkflowSpec, WorkflowStepSpec
from tests.factories import mail
from tests.fakes.world import World


def test_message_becomes_event_and_deliveries(world: World) -> None:
    """P6 to P8: event, record and deliveries are there once the message is processed, and are queued then."""
    world.deliver(mail("Hello", attachment=b"some bytes"))
    world.poll()

    assert world.process() == 1

    [message] = world.messages()
    event = world.outbox.event_of(message.id)
    assert event is not None
    assert (message.state, event.id, event.subject) == (MessageState.PROCESSED, message.event_id, "Hello")
    document = json.loads(world.archive.read(event.archive_key))
    [attachment] = document["data"]["attachments"]
    assert world.archive.read(attachment["key"]) == b"some bytes"
    assert [delivery.id for delivery in world.outbox.deliveries()] == world.queue.deliveries


def test_log_names_every_message_that_was_processed_and_its_account(world: World) -> None:
    """D4: journalctl CONCORD_MESSAGE=4711, one line for a whole chunk."""
    world.deliver(mail("One"))
    world.deliver(mail("Two"))
    world.poll()

    with capture_logs() as told:
        world.process()

    ids = [message.id for message in world.messages()]
    [line] = [line for line in told if line["event"] == "process.done"]
    assert (line["count"], sorted(line["message_ids"])) == (2, sorted(ids))
    assert line["accounts"] == [world.messages()[0].account]


def test_processing_twice_makes_one_event(world: World) -> None:
    world.deliver(mail())
    world.poll()
    ids = [message.id for message in world.messages()]

    first, second = world.processor.process(ids), world.processor.process(ids)

    assert (first, second) == (1, 0)
    assert len(world.outbox.events()) == 1
    assert len(world.outbox.deliveries()) == 1


def test_spoilt_mail_is_quarantined_and_neighbours_go_on(world: World) -> None:
    for number in range(5):
        world.deliver(mail(f"Mail {number}"))
    world.poll()
    world.archive.damage(world.messages()[2].archive_key or "")

    assert world.process() == 4

    states = [message.state for message in world.messages()]
    assert states.count(MessageState.PROCESSED) == 4
    [bad] = world.messages(MessageState.QUARANTINED)
    assert bad.error_code == "archive_damaged"


def test_archive_down_blames_no_mail(world: World) -> None:
    """Infrastructure never counts against a mail; it goes on by itself."""
    world.deliver(mail())
    world.poll()
    world.archive.down = True

    for _ in range(10):
        world.queue.messages = list(world.ledger.stale(queued_before=world.time, limit=10))
        world.process()
        world.wait(minutes=1)

    [message] = world.messages()
    assert (message.state, message.failures) == (MessageState.ARCHIVED, 0)
    world.archive.down = False
    world.sweeper.sweep()
    assert world.process() == 1


def test_archive_failing_while_storing_blames_no_mail(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.deliver(mail())
    world.poll()

    def refuse(_blobs: object) -> None:
        raise ArchiveDownError("The archive is down")

    monkeypatch.setattr(world.archive, "put", refuse)
    world.process()

    [message] = world.messages()
    assert (message.state, message.failures, message.error_code) == (MessageState.ARCHIVED, 0, "archive_down")


def test_bug_met_by_one_mail_counts_and_quarantines_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """P16: after N attempts, with the reason; the neighbour was processed at the first."""
    world.deliver(mail("Good"))
    world.deliver(mail("Bad"))
    world.poll()
    sound = mime.read

    def stumble(raw: bytes) -> object:
        if b"Subject: Bad" in raw:
            raise ZeroDivisionError("a bug of ours")
        return sound(raw)

    monkeypatch.setattr(mime, "read", stumble)
    for _ in range(3):
        world.process()
        world.wait(hours=1)
        world.sweeper.sweep()

    states = {message.subject: message.state for message in world.messages()}
    assert states == {"Good": MessageState.PROCESSED, "Bad": MessageState.QUARANTINED}
    [bad] = world.messages(MessageState.QUARANTINED)
    assert "a bug of ours" in (bad.error or "")


def test_message_that_kills_its_worker_is_quarantined(world: World) -> None:
    """P16: what kills every worker, alone in the parser, is set aside; it travels alone meanwhile."""
    world.deliver(mail())
    world.poll()
    ids = [message.id for message in world.messages()]
    for _ in range(4):
        [claim] = world.ledger.claim(ids, until=world.time)
        world.ledger.enter(claim, "parse")
        world.wait(hours=1)

    [ref] = world.ledger.stale(queued_before=world.time, limit=10)
    world.processor.process(ids)

    assert ref.suspect
    [message] = world.messages()
    assert (message.state, message.error_code) == (MessageState.QUARANTINED, "worker_lost")


def test_late_worker_writes_nothing(world: World) -> None:
    """The attempt number fences off a worker whose claim lapsed: forced, not hoped for."""
    world.deliver(mail())
    world.poll()
    ids = [message.id for message in world.messages()]
    late = world.processor
    slow = world.archive.read

    def lapse(key: str, *, sha256: str | None = None) -> bytes:
        world.archive.read = slow  # type: ignore[method-assign]  # only the first reading is slow
        world.wait(hours=1)
        assert world.processor.process(ids) == 1
        return slow(key, sha256=sha256)

    world.archive.read = lapse  # type: ignore[method-assign]  # stands for a worker that sleeps through its claim
    late.process(ids)

    assert len(world.outbox.events()) == 1
    assert len(world.outbox.deliveries()) == 1
    [message] = world.messages()
    assert message.state is MessageState.PROCESSED


# P10 and rules.


def test_skip_makes_the_event_and_tells_nobody(world: World) -> None:
    world.rulebook.save_rule(Rule(name="noise", match=Match(subject=("newsletter*",)), skip=True))
    world.deliver(mail("Newsletter 17"))
    world.poll()

    world.process()

    assert len(world.outbox.events()) == 1
    assert world.outbox.deliveries() == []


def test_rule_starts_each_workflow_once_per_event(world: World) -> None:
    """P9."""
    steps = (WorkflowStepSpec(name="one", kind="note"),)
    world.rulebook.save_workflow(WorkflowSpec(name="onboard", steps=steps))
    world.rulebook.save_rule(Rule(name="all", match=Match(account=("*",)), workflows=("onboard", "onboard")))
    world.deliver(mail())
    world.poll()

    world.process()

    [run] = world.outbox.runs()
    assert (run.workflow, [step.name for step in run.specs]) == ("onboard", ["one"])
    assert world.queue.runs == [run.id]


def test_rule_priority_reaches_event_and_row(world: World) -> None:
    world.rulebook.save_rule(Rule(name="files", match=Match(attachment_name=("*.bin",)), priority=Priority.HIGH))
    world.deliver(mail(attachment=b"x"))
    world.poll()

    world.process()

    [message] = world.messages()
    event = world.outbox.event_of(message.id)
    assert event is not None
    assert message.priority is Priority.HIGH
    assert json.loads(world.archive.read(event.archive_key))["data"]["priority"] == "high"


def test_upgrade_gives_the_quarantined_one_more_chance(world: World) -> None:
    """P16: a newer version may read what this one could not."""
    world.deliver(mail())
    world.poll()
    key = world.messages()[0].archive_key or ""
    good = world.archive.objects[key]
    world.archive.damage(key)
    world.process()
    world.archive.objects[key] = good

    assert world.ledger.retry_upgraded("0.1.0-next") != []
    assert world.ledger.retry_upgraded("0.1.0-next") == []


def test_trail_tells_every_step(world: World) -> None:
    """P19."""
    world.deliver(mail())
    world.poll()
    world.process()
    world.dispatch()

    steps = [step.what for step in world.ledger.trail(world.messages()[0].id)]

    assert steps == ["message.archived", "message.processed", "delivery.delivered"]
