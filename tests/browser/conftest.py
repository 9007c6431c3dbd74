"""A Concord whose pages are looked at: the admin service as a real process, real mail of every kind behind it."""

from __future__ import annotations

import socket
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from concord.bootstrap import Concord, now
from concord.errors import ArchiveMissingError
from concord.model.account import Account
from concord.model.message import Message, MessageState
from concord.model.rule import HandlerSpec, Match, Rule, WorkflowSpec, WorkflowStepSpec
from concord.services.identity import Identity
from tests.browser.chromium import launch, window
from tests.browser.hostile import HOSTILE
from tests.factories import mail
from tests.polling import poll_whole
from tests.servers.dovecot import Dovecot
from tests.servers.redis import RedisServer, free_port
from tests.servers.stack import Stack
from tests.waiting import eventually
from tests.web_world import PASSWORD, PEOPLE, SHELL

MAILBOX = "billing"


@dataclass(frozen=True)
class Site:
    """The running site."""

    stack: Stack
    base: str
    account: Account

    def cookies(self, browser: Browser, name: str = "alice") -> list[Any]:
        """Of somebody who has signed in."""
        with window(browser, self.base) as door:
            door.sign_in(name, PASSWORD)
            return list(door.page.context.cookies())

    def message_ids(self) -> list[int]:
        return [message.id for message in self.stack.messages()]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Of one module: its driver has an event loop running in this thread, and other tests run loops of their own."""
    with sync_playwright() as playwright:
        made = launch(playwright)
        yield made
        made.close()


@pytest.fixture(scope="session")
def site(dovecot: Dovecot) -> Iterator[Site]:
    """With mailboxes, rules, handlers, events, a quarantined mail and a delivery that was given up."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="concord-site-") as folder, RedisServer() as redis:
        settings: dict[str, Any] = {"admin": {"port": port}, "dispatch": {"max_attempts": 1}}
        with Stack(Path(folder), redis_url=redis.url, **settings) as stack:
            (stack.folder / "workers").mkdir()
            for name, role in PEOPLE.items():
                Identity(stack.concord).add_user(name, role, PASSWORD, by=SHELL)
            account = _fill(stack, dovecot)
            stack.start("admin")
            assert eventually(lambda: answers(port), within=30), stack.log("admin")
            yield Site(stack, f"http://localhost:{port}", account)


@pytest.fixture(scope="module")
def alice(site: Site, browser: Browser) -> list[Any]:
    """Her cookies: she has signed in."""
    return site.cookies(browser)


def _fill(stack: Stack, dovecot: Dovecot) -> Account:
    dovecot.start()
    user = dovecot.add_user("billing-site")
    ca_file = dovecot.ca_file
    account = stack.add_account(
        MAILBOX, port=dovecot.imap_port, user=user, password=dovecot.passwords[user], ca_file=ca_file
    )
    stack.add_account("refused", port=dovecot.imap_port, user=user, password="wrong")
    stack.add_account("nowhere", port=1, user="nobody@example.com", password="x", enabled=False)
    book = stack.concord.rulebook
    book.save_handler(HandlerSpec(name="crm", kind="webhook", options={"url": "http://127.0.0.1:1/hook"}))
    steps = (WorkflowStepSpec(name="open-ticket", kind="webhook", options={"url": "http://127.0.0.1:1/t"}),)
    book.save_workflow(WorkflowSpec(name="ticket", steps=steps))
    book.save_rule(
        Rule(name="orders", match=Match(subject=("*order*",)), handlers=("log", "crm"), workflows=("ticket",))
    )
    mails = [mail(f"Order {number}", attachment=b"\0" * 2000) for number in range(8)]
    dovecot.append_many(user, [*mails, *(hostile.mail for hostile in HOSTILE)])
    parts = stack.concord
    for one in parts.accounts.all(enabled_only=True):
        poll_whole(parts, one.id, forced=True)
    waiting = [message for message in stack.messages() if message.state is MessageState.ARCHIVED]
    _set_aside(parts, min(waiting, key=lambda message: message.uid))
    parts.processor.process([message.id for message in waiting])
    parts.dispatcher.deliver([one.id for one in parts.outbox.deliveries(limit=200)])
    parts.workflows.advance([run.id for run in parts.outbox.runs(limit=200)])
    parts.recorder.record()
    return account


def _set_aside(parts: Concord, message: Message) -> None:
    """Put a message into quarantine, its bytes gone from the archive, as a version that blamed it for them left it."""
    (claim,) = parts.ledger.claim([message.id], until=now() + timedelta(minutes=5))
    key = message.archive_key or ""
    parts.archive.delete(key)
    parts.ledger.quarantine(claim, ArchiveMissingError("object", key=key))


def answers(port: int) -> bool:
    """Whether somebody listens there."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
