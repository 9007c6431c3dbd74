"""Mail in, events out, with every daemon running (W8, P1 to P8)."""

from __future__ import annotations

import json
import sys
from http import HTTPStatus

import httpx

from concord.model.delivery import DeliveryState
from concord.model.message import MessageState
from tests.acceptance.conftest import add_mailbox
from tests.factories import mail
from tests.servers.dovecot import Dovecot
from tests.servers.redis import free_port
from tests.servers.stack import Stack
from tests.waiting import eventually


def test_mail_delivered_while_running_becomes_events(any_stack: Stack, dovecot: Dovecot, mailbox_user: str) -> None:
    """P1, P3 to P8: equal bytes in the archive, one event a mail, each delivered."""
    stack = any_stack
    add_mailbox(stack, dovecot, mailbox_user)
    stack.start("beat", "poll", "mail", "deliver")
    mails = [mail(f"Order {number}", attachment=b"\0" * number) for number in range(12)]

    for raw in mails:
        dovecot.deliver(mailbox_user, raw)

    assert eventually(lambda: stack.count(MessageState.PROCESSED) == len(mails), within=60), stack.log("mail")
    kept = sorted(stack.concord.archive.read(row.archive_key or "") for row in stack.messages())
    assert kept == sorted(mails)
    events = stack.concord.outbox.events(limit=100)
    assert sorted(event.subject for event in events) == sorted(f"Order {number}" for number in range(12))
    assert eventually(lambda: len(stack.concord.outbox.deliveries(state=DeliveryState.DELIVERED)) == len(mails))
    document = json.loads(stack.concord.archive.read(events[0].archive_key))
    assert document["type"] == "concord.email.received"
    assert document["data"]["account"] == mailbox_user


def test_plain_celery_commands_do_the_same(stack: Stack, dovecot: Dovecot, mailbox_user: str) -> None:
    """W8: beat, one worker for both queues and Flower, started by hand. Flower is behind its login all the same."""
    port = free_port()
    celery = [sys.executable, "-m", "celery", "-A", "concord.celery_app"]
    add_mailbox(stack, dovecot, mailbox_user)
    stack.spawn("beat", [*celery, "beat"])
    stack.spawn("worker", [*celery, "worker", "-Q", "email-poll,email", "-c", "2"])
    stack.spawn("flower", [*celery, "flower", f"--port={port}"])

    dovecot.deliver(mailbox_user, mail("By hand"))

    assert eventually(lambda: stack.count(MessageState.PROCESSED) == 1, within=60), stack.log("worker")
    assert eventually(lambda: status_of_flower(port) == HTTPStatus.UNAUTHORIZED, within=60), stack.log("flower")


def status_of_flower(port: int) -> int | None:
    """What a visitor without a login is answered; None while nobody answers."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/workers", timeout=10).status_code
    except httpx.ConnectError:
        return None


def test_mail_spoilt_in_the_archive_is_fetched_again_and_neighbours_go_on(
    stack: Stack, dovecot: Dovecot, mailbox: str
) -> None:
    """P4, P16: what the disk did is not the mail's fault, and the server still has it."""
    stack.start("beat", "poll")
    for number in range(5):
        dovecot.deliver(mailbox, mail(f"Neighbour {number}"))
    assert eventually(lambda: stack.count(MessageState.ARCHIVED) == 5), stack.log("poll")
    victim = stack.messages()[2]
    place = stack.folder / "archive" / (victim.archive_key or "")
    good = place.read_bytes()
    place.chmod(0o600)
    place.write_bytes(good[:-10])

    stack.start("mail")

    assert eventually(lambda: stack.count(MessageState.PROCESSED) == 5), stack.log("mail")
    assert place.read_bytes() == good
    steps = [step.what for step in stack.concord.ledger.trail(victim.id)]
    assert steps[-2:] == ["message.restored", "message.processed"]
