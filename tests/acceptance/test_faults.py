"""What operators fear: a worker killed, Redis emptied, a receiver down. Mail may be late; none is lost or doubled."""

from __future__ import annotations

from pathlib import Path

from concord.model.delivery import DeliveryState
from concord.model.message import MessageState
from concord.model.rule import HandlerSpec, Match, Rule
from tests.acceptance.conftest import add_mailbox
from tests.factories import mail
from tests.servers.dovecot import Dovecot
from tests.servers.redis import RedisServer
from tests.servers.stack import Stack
from tests.servers.webhook import WebhookReceiver, answer
from tests.waiting import eventually

MANY = 200


def deliver_many(dovecot: Dovecot, user: str) -> None:
    dovecot.append_many(user, [mail(f"Mail {number}") for number in range(MANY)])


def each_mail_made_one_event(stack: Stack) -> None:
    """One row, one event, one delivery for each mail."""
    finished = eventually(lambda: stack.count(MessageState.PROCESSED) == MANY, within=90)
    assert finished, f"{stack.concord.ledger.counts()}\n{stack.log('mail')[-4000:]}"
    events = stack.concord.outbox.events(limit=10 * MANY)
    assert len(stack.messages()) == MANY
    assert sorted(event.subject for event in events) == sorted(f"Mail {number}" for number in range(MANY))

    def delivered() -> int:
        return len(stack.concord.outbox.deliveries(state=DeliveryState.DELIVERED, limit=10 * MANY))

    assert eventually(lambda: delivered() == MANY, within=60), stack.log("deliver")[-4000:]
    assert len(stack.concord.outbox.deliveries(limit=10 * MANY)) == MANY


def test_killed_workers_lose_and_double_nothing(stack: Stack, dovecot: Dovecot, mailbox: str) -> None:
    """P5, P6: kill -9 in the middle of 200 mails, of the poll worker and of the mail worker, then a restart."""
    deliver_many(dovecot, mailbox)
    stack.start("beat", "poll", "mail", "deliver")
    assert eventually(lambda: len(stack.messages()) > 0, within=60), stack.log("poll")
    stack.kill("poll")
    stack.start("poll")
    assert eventually(lambda: 0 < stack.count(MessageState.PROCESSED) < MANY, within=60), stack.log("mail")

    stack.kill("mail")
    stack.start("mail")

    each_mail_made_one_event(stack)


def test_emptied_redis_loses_and_doubles_nothing(
    stack: Stack, dovecot: Dovecot, mailbox_user: str, own_redis: RedisServer
) -> None:
    """P5: FLUSHALL takes the queue, the schedule and beat's lock; the database brings all of it back."""
    add_mailbox(stack, dovecot, mailbox_user)
    stack.start("beat", "poll")
    deliver_many(dovecot, mailbox_user)
    assert eventually(lambda: len(stack.messages()) > 0, within=60), stack.log("poll")

    own_redis.flushall()
    stack.start("mail", "deliver")

    each_mail_made_one_event(stack)


def test_receiver_failing_three_times_gets_it_on_the_fourth(
    tmp_path: Path, own_redis: RedisServer, dovecot: Dovecot, mailbox_user: str, receiver: WebhookReceiver
) -> None:
    """P8: once, with the same id at every try."""
    receiver.script(answer(503), answer(500), answer(503))
    with Stack(tmp_path, redis_url=own_redis.url, webhook={"allow_networks": ["127.0.0.0/8"]}) as stack:
        stack.concord.rulebook.save_handler(HandlerSpec(name="crm", kind="webhook", options={"url": receiver.url()}))
        stack.concord.rulebook.save_rule(Rule(name="all", match=Match(account=("*",)), handlers=("crm",)))
        add_mailbox(stack, dovecot, mailbox_user)
        stack.start("beat", "poll", "mail", "deliver")

        dovecot.deliver(mailbox_user, mail("To the receiver"))

        outbox = stack.concord.outbox
        arrived = eventually(lambda: bool(outbox.deliveries(state=DeliveryState.DELIVERED)), within=90)
        assert arrived, stack.log("deliver")[-4000:]
    assert len(receiver.received) == 4
    assert len({request.headers["webhook-id"] for request in receiver.received}) == 1
    assert {request.document["data"]["subject"] for request in receiver.received} == {"To the receiver"}
