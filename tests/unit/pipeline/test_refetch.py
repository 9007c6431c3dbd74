"""Bytes that the archive lost are asked for again; until they are back the message waits, and is blamed for nothing."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import pytest

from concord.errors import ArchiveDownError, MailboxDownError
from concord.model.account import AccountState, AfterAction, AfterKind
from concord.model.delivery import DeliveryState
from concord.model.message import Message, MessageState
from concord.model.rule import Match, Rule, WorkflowSpec, WorkflowStepSpec
from concord.model.workflow import RunState
from concord.pipeline.poll import PollOutcome
from tests.factories import mail
from tests.fakes.handlers import MemoryHandler
from tests.fakes.mailbox import MemoryMessage
from tests.fakes.world import USER, World

RAW = mail("One", attachment=b"the same invoice")


@pytest.fixture(params=["lose", "damage"])
def harm(request: pytest.FixtureRequest, world: World) -> Callable[[str], None]:
    """What happened to an object."""
    harm: Callable[[str], None] = getattr(world.archive, request.param)
    return harm


def archived(world: World, raw: bytes = RAW) -> Message:
    """One mail, taken and not yet processed."""
    world.deliver(raw)
    world.poll()
    return world.messages()[-1]


def raw_key(message: Message) -> str:
    assert message.archive_key is not None
    return message.archive_key


def lost(world: World) -> int:
    return world.accounts.status(world.account.id).lost


def outlast(world: World, hours: int) -> None:
    """Let the daemons work for so long."""
    for _ in range(hours * 2):
        world.wait(minutes=30)
        world.poll()
        world.sweeper.sweep()
        world.process()
        world.dispatch()


# One mail.


def test_a_lost_mail_waits_with_a_typed_cause(world: World, harm: Callable[[str], None]) -> None:
    """Issue 9, B: a missing object was a permanent error, and its mail quarantined."""
    message = archived(world)
    harm(raw_key(message))

    assert world.process() == 0

    [message] = world.messages()
    assert (message.state, message.failures) == (MessageState.ARCHIVED, 0)
    assert message.error_code in {"archive_missing", "archive_damaged"}


def test_a_lost_mail_is_fetched_again_at_the_next_poll(world: World, harm: Callable[[str], None]) -> None:
    message = archived(world)
    harm(raw_key(message))
    world.process()
    assert lost(world) == 1

    world.poll()

    assert world.archive.read(raw_key(message), sha256=message.sha256) == RAW
    assert world.process() == 1
    assert lost(world) == 0
    steps = [step.what for step in world.ledger.trail(message.id)]
    assert steps == [
        "message.archived",
        "message.waiting",
        "message.lost",
        "message.restored",
        "message.processed",
    ]


def test_a_big_mail_is_fetched_again_as_a_file(world: World) -> None:
    big = mail("Big", body="x" * 600_000)
    message = archived(world, big)
    world.archive.lose(raw_key(message))
    world.process()

    world.poll()

    assert world.process() == 1


def test_a_mail_that_the_server_has_no_more_waits_and_is_counted(world: World, harm: Callable[[str], None]) -> None:
    message = archived(world)
    harm(raw_key(message))
    world.process()
    world.mailboxes.expunge(USER, [message.uid])

    outlast(world, hours=13)

    [message] = world.messages()
    assert (message.state, message.failures) == (MessageState.ARCHIVED, 0)
    status = world.accounts.status(world.account.id)
    assert (status.state, status.lost, status.unaccounted) == (AccountState.OK, 1, 1)


def test_other_bytes_under_the_same_uid_are_not_taken(world: World) -> None:
    message = archived(world)
    world.archive.lose(raw_key(message))
    world.process()
    world.mailbox.folders["INBOX"].messages[message.uid].raw = mail("Another one")

    world.poll()

    assert world.archive.stat(raw_key(message)) is None
    assert lost(world) == 1
    assert [step.detail for step in world.ledger.trail(message.id)][-1] == {"server": "changed"}


def test_a_renumbered_folder_gives_no_bytes_by_number(world: World) -> None:
    message = archived(world)
    world.archive.lose(raw_key(message))
    world.process()
    world.poll_settings = world.poll_settings.model_copy(update={"recheck": 0})
    folder = world.mailbox.folders["INBOX"]
    folder.uidvalidity += 1
    folder.messages.clear()
    folder.messages[message.uid] = folder_message(world, mail("Another one"))

    world.poll()

    assert world.archive.stat(raw_key(message)) is None
    assert lost(world) == 1


def folder_message(world: World, raw: bytes) -> MemoryMessage:
    world.mailboxes.deliver(USER, raw, "Aside")
    [message] = world.mailbox.folders["Aside"].messages.values()
    return message


def test_a_folder_that_is_gone_leaves_the_account_alone(world: World) -> None:
    world.deliver(RAW, "Old")
    world.change_account(folders=("INBOX", "Old"))
    world.poll()
    [message] = world.messages()
    world.archive.lose(raw_key(message))
    world.process()
    world.change_account(folders=("INBOX",))
    del world.mailbox.folders["Old"]

    assert world.poll().outcome is PollOutcome.DONE
    assert lost(world) == 1


def test_a_restored_backup_heals_without_a_command(world: World, harm: Callable[[str], None]) -> None:
    message = archived(world)
    backup = world.archive.objects[raw_key(message)]
    harm(raw_key(message))
    world.process()
    world.mailboxes.expunge(USER, [message.uid])
    outlast(world, hours=7)
    world.archive.objects[raw_key(message)] = backup

    outlast(world, hours=1)

    assert world.messages()[0].state is MessageState.PROCESSED
    assert lost(world) == 0


def test_a_restored_backup_of_a_processed_mail_is_noticed(world: World) -> None:
    message = archived(world)
    world.process()
    [event] = world.outbox.events()
    backup = dict(world.archive.objects)
    world.archive.objects.clear()
    world.dispatch()
    world.mailboxes.expunge(USER, [message.uid])
    assert lost(world) == 1
    world.archive.objects.update(backup)

    outlast(world, hours=7)

    assert lost(world) == 0
    assert world.outbox.deliveries(event_id=event.id)[0].state is DeliveryState.DELIVERED


def test_a_session_that_dies_over_a_lost_mail_dies_seldom(world: World) -> None:
    message = archived(world)
    world.archive.lose(raw_key(message))
    world.process()

    asked = 0

    def cut(uid: int) -> None:
        nonlocal asked
        if uid == message.uid:
            asked += 1
            raise MailboxDownError("hung_up")

    world.mailbox.before_fetch = cut
    for _ in range(10):
        world.wait(minutes=1)
        assert world.poll(forced=True).outcome is PollOutcome.DONE

    assert asked == 1
    world.mailbox.before_fetch = None
    outlast(world, hours=1)
    assert world.messages()[0].state is MessageState.PROCESSED


def test_a_mail_that_cannot_be_handed_over_is_asked_for_later(world: World) -> None:
    message = archived(world)
    world.archive.lose(raw_key(message))
    world.process()
    world.mailbox.unreadable.add(message.uid)
    world.poll()
    assert lost(world) == 1
    world.mailbox.unreadable.clear()

    outlast(world, hours=1)

    assert world.messages()[0].state is MessageState.PROCESSED


def test_one_lost_mail_stops_no_other(world: World) -> None:
    first = archived(world)
    world.archive.lose(raw_key(first))
    world.deliver(mail("Two"))
    world.poll()

    assert world.process() == 1


def test_a_rotten_raw_object_does_not_stop_its_mailbox(world: World) -> None:
    """Issue 9, B: the poll that met it raised for ever, with the account's state `ok`."""
    digest = hashlib.sha256(RAW).hexdigest()
    world.deliver(RAW)
    key = f"raw/{world.account.id}/2026/11/{digest}.eml"
    world.archive.objects[key] = b"rotten"
    world.deliver(mail("Two"))

    report = world.poll()

    assert (report.outcome, report.archived) == (PollOutcome.DONE, 2)
    assert world.process() == 2


# What follows from a mail.


def test_a_rotten_attachment_harms_no_later_mail_that_carries_it(world: World) -> None:
    """Issue 9, B: one rotten shared attachment quarantined every later mail that carried it."""
    archived(world)
    world.process()
    [part] = world.archive.keys("parts/")
    world.archive.damage(part)
    for number in range(3):
        world.deliver(mail(f"Later {number}", attachment=b"the same invoice"))
    world.poll()

    assert world.process() == 3

    assert world.archive.read(part) == b"the same invoice"
    assert world.messages(MessageState.QUARANTINED) == []


def test_a_lost_document_is_made_again(world: World, harm: Callable[[str], None]) -> None:
    archived(world)
    world.process()
    [event] = world.outbox.events()
    document = world.archive.read(event.archive_key)
    harm(event.archive_key)

    assert world.dispatch() == 1

    assert world.archive.read(event.archive_key) == document
    inbox = world.handlers["inbox"]
    assert isinstance(inbox, MemoryHandler)
    assert inbox.taken[0].document == document


def test_a_delivery_waits_where_the_raw_bytes_are_lost_too(world: World) -> None:
    archived(world)
    world.process()
    world.archive.objects.clear()

    assert world.dispatch() == 0

    [delivery] = world.outbox.deliveries()
    assert (delivery.state, delivery.failures) == (DeliveryState.PENDING, 0)
    assert lost(world) == 1
    outlast(world, hours=1)
    assert world.outbox.deliveries()[0].state is DeliveryState.DELIVERED
    assert lost(world) == 0


def test_a_delivery_never_dies_for_a_lost_document(world: World) -> None:
    message = archived(world)
    world.process()
    world.archive.objects.clear()
    world.mailboxes.expunge(USER, [message.uid])

    outlast(world, hours=24)

    [delivery] = world.outbox.deliveries()
    assert (delivery.state, delivery.failures) == (DeliveryState.PENDING, 0)


def test_a_document_that_is_read_otherwise_today_is_kept_under_its_own_name(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    archived(world)
    world.process()
    [before] = world.outbox.events()
    world.archive.lose(before.archive_key)
    monkeypatch.setattr("concord.pipeline.event.SCHEMA", "urn:concord:schema:email-received:v2")

    assert world.dispatch() == 1

    [after] = world.outbox.events()
    assert after.archive_key != before.archive_key
    assert json.loads(world.archive.read(after.archive_key))["dataschema"].endswith("v2")


def test_a_workflow_goes_on_where_its_document_was_lost(world: World) -> None:
    class Noting:
        def run(self, event: object, *_: object, **__: object) -> dict[str, object]:
            return {"seen": bool(event)}

    world.steps["noting"] = Noting()
    spec = WorkflowSpec(name="file", steps=(WorkflowStepSpec(name="note", kind="noting", options={}),))
    world.rulebook.save_workflow(spec)
    world.rulebook.save_rule(Rule(name="all", match=Match(), workflows=("file",)))
    archived(world)
    world.process()
    world.archive.lose(world.outbox.events()[0].archive_key)

    world.workflows.advance([world.outbox.runs()[0].id])

    assert world.outbox.runs()[0].state is RunState.SUCCEEDED


# While the archive as a whole is away.


def test_polls_fetch_nothing_while_the_archive_is_away(world: World) -> None:
    """Issue 9, section 2: every poll fetched and threw away, 3,000 fetches an hour for 50 mails."""
    world.change_account(after=AfterAction(kind=AfterKind.SEEN))
    for number in range(5):
        world.deliver(mail(f"Mail {number}"))
    fetched: list[int] = []
    world.mailbox.before_fetch = fetched.append
    world.archive.down = True

    for _ in range(10):
        with pytest.raises(ArchiveDownError):
            world.poll()
        world.wait(minutes=1)

    assert fetched == []
    assert world.mailbox.opened == 0
    assert world.accounts.status(world.account.id).state is AccountState.NEW
    world.archive.down = False
    assert world.poll().archived == 5


def test_nothing_is_claimed_while_the_archive_is_away(world: World) -> None:
    archived(world)
    world.archive.down = True

    assert world.process() == 0

    [message] = world.messages()
    assert (message.attempts, [step.what for step in world.ledger.trail(message.id)]) == (0, ["message.archived"])
    world.archive.down = False
    world.wait(minutes=1)
    world.sweeper.sweep()
    assert world.process() == 1


def test_no_delivery_is_claimed_while_the_archive_is_away(world: World) -> None:
    archived(world)
    world.process()
    world.archive.down = True

    assert world.dispatch() == 0

    assert world.outbox.deliveries()[0].attempts == 0
    world.archive.down = False
    world.wait(minutes=1)
    world.sweeper.sweep()
    assert world.dispatch() == 1
