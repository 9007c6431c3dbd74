"""Processing: one message is the unit; whatever it does, it does to itself alone (P6, P16)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from concord import mime
from concord.errors import ArchiveDownError, DatabaseDownError, InfrastructureError
from concord.model.account import AfterAction, AfterKind, Priority
from concord.model.fault import in_english
from concord.model.message import AfterState, MessageState
from concord.model.rule import Match, Rule, WorkflowSpec, WorkflowStepSpec
from concord.pipeline.process import OutOfTimeError, Processor
from concord.pipeline.reading import Book
from concord.ports import Blob, Claim
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


def test_spoilt_mail_waits_unblamed_and_neighbours_go_on(world: World) -> None:
    """Issue 9, B: what the disk did is not the mail's fault."""
    for number in range(5):
        world.deliver(mail(f"Mail {number}"))
    world.poll()
    world.archive.damage(world.messages()[2].archive_key or "")

    assert world.process() == 4

    states = [message.state for message in world.messages()]
    assert states.count(MessageState.PROCESSED) == 4
    [bad] = world.messages(MessageState.ARCHIVED)
    assert (bad.error_code, bad.failures) == ("archive_damaged", 0)


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
        raise ArchiveDownError("io")

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
    assert "a bug of ours" in (in_english(bad.error) or "")


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


@pytest.mark.parametrize(
    ("after", "expected"),
    [
        (AfterAction(kind=AfterKind.DELETE), AfterState.NONE),
        (AfterAction(kind=AfterKind.MOVE, folder="Done"), AfterState.PENDING),
        (AfterAction(kind=AfterKind.SEEN), AfterState.PENDING),
    ],
)
def test_mail_that_a_rule_skips_is_never_deleted(world: World, after: AfterAction, expected: AfterState) -> None:
    """P12: no handler has it, so the server's copy stays; what can be taken back is done."""
    world.change_account(after=after)
    world.rulebook.save_rule(Rule(name="noise", match=Match(subject=("newsletter*",)), skip=True))
    world.deliver(mail("Newsletter 17"))
    world.poll()

    world.process()

    assert [message.after for message in world.messages()] == [expected]


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
    world.quarantine()

    assert world.ledger.retry_upgraded("99.0") != []
    assert world.ledger.retry_upgraded("99.0") == []


def test_trail_tells_every_step(world: World) -> None:
    """P19."""
    world.deliver(mail())
    world.poll()
    world.process()
    world.dispatch()

    steps = [step.what for step in world.ledger.trail(world.messages()[0].id)]

    assert steps == ["message.archived", "message.processed", "delivery.delivered"]


# Whose fault it is: whatever way the stage is left, what it has not settled goes back uncounted.


class LimitReachedError(Exception):
    """What a time limit raises, wherever the worker is."""


def processor(world: World, **changes: Any) -> Processor:
    """One process's."""
    return replace(world.processor, interrupts=(LimitReachedError,), **changes)


def ids_of(world: World) -> list[int]:
    return [message.id for message in world.messages()]


def fetch(world: World, *subjects: str) -> list[int]:
    """Mails that wait to be processed."""
    for subject in subjects:
        world.deliver(mail(subject))
    world.poll()
    world.queue.clear()
    return ids_of(world)


def stumble(monkeypatch: pytest.MonkeyPatch, subject: str, error: BaseException) -> None:
    """Let the parser end so with one mail."""
    sound = mime.read

    def read(raw: bytes) -> object:
        if f"Subject: {subject}".encode() in raw:
            raise error
        return sound(raw)

    monkeypatch.setattr(mime, "read", read)


LEAVES = [LimitReachedError(), SystemExit(0), KeyboardInterrupt(), MemoryError()]


@pytest.mark.parametrize("error", LEAVES, ids=lambda error: type(error).__name__)
def test_a_stage_that_is_left_gives_all_its_claims_back_uncounted(
    world: World, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    ids = fetch(world, "One", "Slow", "Three")
    stumble(monkeypatch, "Slow", error)

    with pytest.raises((type(error), InfrastructureError)):
        processor(world).process(ids)

    for message in world.messages():
        assert (message.state, message.failures, message.leased_until) == (MessageState.ARCHIVED, 0, None)


@pytest.mark.parametrize("error", [LimitReachedError(), MemoryError()], ids=["time", "memory"])
def test_in_company_the_one_in_the_parser_travels_alone_next(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """The limit may have been used up by its neighbours: it is only suspect, and they are not."""
    ids = fetch(world, "One", "Slow", "Three")
    stumble(monkeypatch, "Slow", error)

    with pytest.raises((OutOfTimeError, MemoryError)):
        processor(world).process(ids)

    suspects = {message.subject: message.suspect for message in world.messages()}
    assert suspects == {"One": False, "Slow": True, "Three": False}
    world.wait(minutes=1)
    refs = {ref.id: ref.suspect for ref in world.ledger.stale(queued_before=world.time, limit=10)}
    assert refs == dict(zip(ids, (False, True, False), strict=True))


@pytest.mark.parametrize(
    ("error", "code"), [(LimitReachedError(), "too_slow"), (MemoryError(), "too_much_memory")], ids=["time", "memory"]
)
def test_alone_in_the_parser_a_limit_counts_and_says_so(
    world: World, monkeypatch: pytest.MonkeyPatch, error: Exception, code: str
) -> None:
    ids = fetch(world, "Slow")
    stumble(monkeypatch, "Slow", error)

    for _ in range(3):
        assert processor(world).process(ids) == 0
        world.wait(hours=1)

    [message] = world.messages()
    assert (message.state, message.failures, message.error_code) == (MessageState.QUARANTINED, 3, code)


def test_alone_in_a_rule_a_limit_counts(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = fetch(world, "Slow")

    def judge(*_: object, **__: object) -> None:
        raise LimitReachedError

    monkeypatch.setattr(Book, "decide", judge)
    processor(world).process(ids)

    [message] = world.messages()
    assert (message.failures, message.error_code) == (1, "too_slow")


@pytest.mark.parametrize("verb", ["read", "put"])
@pytest.mark.parametrize("error", [LimitReachedError(), OSError("a driver's own"), ArchiveDownError("io")], ids=str)
def test_what_the_archive_does_blames_no_mail(
    world: World, monkeypatch: pytest.MonkeyPatch, verb: str, error: Exception
) -> None:
    """Alone or not, time-out, bug or refusal: a call to the archive is not the mail's doing."""
    ids = fetch(world, "One")

    def hang(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(world.archive, verb, hang)
    for _ in range(10):
        with suppress(OutOfTimeError):
            assert processor(world).process(ids) == 0
        world.wait(minutes=2)

    [message] = world.messages()
    assert (message.state, message.failures) == (MessageState.ARCHIVED, 0)
    monkeypatch.undo()
    assert processor(world).process(ids) == 1


def test_a_stop_makes_no_message_suspect(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = fetch(world, "One", "Two")
    stumble(monkeypatch, "Two", SystemExit(0))

    with pytest.raises(SystemExit):
        processor(world).process(ids)

    assert [message.suspect for message in world.messages()] == [False, False]
    assert {message.error_code for message in world.messages()} == {"worker_stopped"}
    monkeypatch.undo()
    assert processor(world).process(ids) == 2


def test_a_stage_is_written_only_for_a_suspect_and_around_foreign_code(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = fetch(world, "One")
    entered: list[str | None] = []
    at_work: list[list[str | None]] = []
    enter, put = world.ledger.enter, world.archive.put

    def note(claim: Claim, stage: str | None) -> bool:
        entered.append(stage)
        return enter(claim, stage)

    def store(blobs: Sequence[Blob]) -> None:
        at_work.append(list(entered))
        put(blobs)

    monkeypatch.setattr(world.ledger, "enter", note)
    monkeypatch.setattr(world.archive, "put", store)
    world.ledger.claim(ids, until=world.time)
    world.wait(hours=1)

    assert processor(world).process(ids) == 1

    assert at_work == [["parse", "rule", None]]
    fetch(world, "Two")
    processor(world).process(ids_of(world))
    assert entered == ["parse", "rule", None]


def test_claims_that_the_database_does_not_take_back_are_given_back_before_the_next(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table that is locked for half an hour: the process remembers, and claims nothing meanwhile."""
    ids = fetch(world, "One", "Two")
    one = processor(world)

    def locked(*_: object, **__: object) -> None:
        raise DatabaseDownError("refused")

    monkeypatch.setattr(world.ledger, "finish", locked)
    monkeypatch.setattr(world.ledger, "give_back", locked)
    for _ in range(3):
        with pytest.raises(DatabaseDownError):
            one.process(ids)
    assert {message.attempts for message in world.messages()} == {1}
    assert {message.state for message in world.messages()} == {MessageState.PROCESSING}

    monkeypatch.undo()
    world.wait(minutes=1)

    assert one.process(ids) == 2


def test_a_defect_in_giving_back_does_not_stop_the_process(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = fetch(world, "One")
    one = processor(world)

    def stumble_over_it(*_: object, **__: object) -> None:
        raise TypeError("a defect of ours")

    monkeypatch.setattr(world.ledger, "finish", stumble_over_it)
    monkeypatch.setattr(world.ledger, "give_back", stumble_over_it)
    with pytest.raises(TypeError):
        one.process(ids)
    monkeypatch.delattr(world.ledger, "finish")
    world.wait(hours=1)

    assert one.process(ids) == 1


def test_what_was_kept_harms_nobody_who_took_it_meanwhile(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ids = fetch(world, "One")
    one = processor(world)

    def away(*_: object, **__: object) -> None:
        raise DatabaseDownError("refused")

    monkeypatch.setattr(world.ledger, "finish", away)
    monkeypatch.setattr(world.ledger, "give_back", away)
    with pytest.raises(DatabaseDownError):
        one.process(ids)
    monkeypatch.undo()
    world.wait(hours=1)
    assert processor(world).process(ids) == 1

    assert one.process(ids) == 0

    [message] = world.messages()
    assert message.state is MessageState.PROCESSED


def test_slow_mails_leave_the_rest_for_the_next_task(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """They would run into the time limit together, and none of them would ever be done."""
    ids = fetch(world, "One", "Two", "Three", "Four")
    sound = mime.read

    def slow(raw: bytes) -> object:
        world.wait(seconds=70)
        return sound(raw)

    monkeypatch.setattr(mime, "read", slow)

    assert processor(world).process(ids) == 2

    rest = world.messages(MessageState.ARCHIVED)
    assert {(message.error_code, message.failures, message.suspect) for message in rest} == {("out_of_time", 0, False)}
    assert processor(world).process(ids) == 2


def test_one_that_hangs_every_chunk_is_left_behind_by_its_neighbours(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One object that the store never hands over must not hold up the mails that are queued with it."""
    fetch(world, "One", "Rotten", "Three")
    rotten = next(message.archive_key for message in world.messages() if message.subject == "Rotten")
    sound = world.archive.read

    def read(key: str, *, sha256: str | None = None) -> bytes:
        if key == rotten:
            raise ArchiveDownError("io")
        return sound(key, sha256=sha256)

    monkeypatch.setattr(world.archive, "read", read)
    for _ in range(3):
        world.wait(minutes=2)
        world.sweeper.sweep()
        alone = [ref.id for ref in world.queue.messages if ref.suspect]
        chunk = [ref.id for ref in world.queue.messages if not ref.suspect]
        world.queue.clear()
        for some in (chunk, *([known] for known in alone)):
            processor(world).process(some)

    states = {message.subject: message.state for message in world.messages()}
    assert states == {
        "One": MessageState.PROCESSED,
        "Rotten": MessageState.ARCHIVED,
        "Three": MessageState.PROCESSED,
    }


def test_waits_for_infrastructure_grow_up_to_a_minute_and_are_one_step(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However often the archive goes away with a claim in hand, the trail stays short and the row says why it waits."""
    ids = fetch(world, "One")
    world.archive.down = True
    monkeypatch.setattr(world.archive, "require", lambda: None)  # it answers until the claim is taken
    waits = []
    for _ in range(12):
        processor(world).process(ids)
        [message] = world.messages()
        assert message.due_at is not None
        waits.append((message.due_at - world.time).total_seconds())
        world.wait(minutes=1)

    assert waits[0] <= 15
    assert 45 <= waits[-1] <= 60
    steps = world.ledger.trail(ids[0])
    assert [step.what for step in steps] == ["message.archived", "message.waiting"]
    assert (steps[-1].detail["times"], steps[-1].detail["error_code"]) == (12, "archive_down")
    assert str(steps[-1].detail["since"]) < steps[-1].at.isoformat()
