"""Running mail again from the archive (P18)."""

from __future__ import annotations

from concord.model.account import Priority
from concord.model.message import MessageState
from concord.model.rule import HandlerSpec, Match, Rule
from tests.factories import mail
from tests.fakes.handlers import MemoryHandler
from tests.fakes.world import World


def taken(world: World, name: str = "inbox") -> int:
    found = world.handlers[name]
    assert isinstance(found, MemoryHandler)
    return len(found.taken)


def finished(world: World) -> World:
    world.deliver(mail("Once more"))
    world.poll()
    world.process()
    world.dispatch()
    return world


def test_replay_delivers_the_same_event_anew(world: World) -> None:
    finished(world)
    [message] = world.messages()

    replayed = world.replayer.replay(message)
    world.dispatch()

    assert replayed.handlers == ("inbox",)
    assert taken(world) == 2
    assert len(world.outbox.events()) == 1


def test_replay_can_be_to_one_handler(world: World) -> None:
    finished(world)
    world.handlers["audit"] = MemoryHandler()
    world.rulebook.save_handler(HandlerSpec(name="audit", kind="audit"))

    world.replayer.replay(world.messages()[0], ["audit"])
    world.dispatch()

    assert (taken(world), taken(world, "audit")) == (1, 1)


def test_dry_run_tells_what_present_rules_would_do(world: World) -> None:
    finished(world)
    world.rulebook.save_rule(Rule(name="crm", match=Match(subject=("once*",)), handlers=("crm",)))

    preview = world.replayer.preview(world.messages()[0])

    assert (preview.matched, preview.handlers) == (("crm",), ("crm",))
    assert len(world.outbox.deliveries()) == 1


def test_replayed_event_says_what_present_rules_say(world: World) -> None:
    """The mail is read anew: its document is another object, durable before anybody is told."""
    finished(world)
    world.rulebook.save_rule(Rule(name="urgent", match=Match(subject=("once*",)), priority=Priority.HIGH))

    world.replayer.replay(world.messages()[0])
    world.dispatch()

    inbox = world.handlers["inbox"]
    assert isinstance(inbox, MemoryHandler)
    before, after = inbox.taken
    assert (before.event["data"]["priority"], after.event["data"]["priority"]) == ("normal", "high")
    assert before.event["id"] == after.event["id"]
    assert before.id != after.id


def test_skipped_mail_can_be_replayed_to_a_handler(world: World) -> None:
    """A rule skipped it; whoever asks for it by name gets it all the same."""
    world.rulebook.save_rule(Rule(name="noise", match=Match(subject=("once*",)), skip=True))
    finished(world)
    assert taken(world) == 0

    world.replayer.replay(world.messages()[0], ["inbox"])
    world.dispatch()

    assert taken(world) == 1


def test_quarantined_mail_goes_back_to_be_processed(world: World) -> None:
    world.deliver(mail())
    world.poll()
    world.quarantine()

    assert world.replayer.replay(world.messages()[0]).reprocessed
    world.process()

    assert world.messages()[0].state is MessageState.PROCESSED
