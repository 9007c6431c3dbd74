"""Mails per second through each stage, and end to end with real daemons, beside a plain IMAP reader.

Everything runs in this one run on the same servers and the same mails; each figure is the median of three rounds, and
what counts is its ratio to the baseline: these machines are noisy.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import imapclient

from concord import log
from concord.model.delivery import DeliveryState
from concord.model.message import MessageState
from concord.ports import MessageFilter
from tests.bench.corpus import mails
from tests.bench.table import say
from tests.fakes.queue import MemoryQueue
from tests.servers.dovecot import Dovecot
from tests.servers.redis import RedisServer
from tests.servers.stack import Stack
from tests.waiting import eventually

ROUNDS = 3
MAILBOXES = 20
PER_MAILBOX = 50
TOTAL = MAILBOXES * PER_MAILBOX
CHUNK = 50


def measure() -> None:
    """Measure, and print a table: some four minutes."""
    with Dovecot() as dovecot, RedisServer() as redis:
        users = [dovecot.add_user(f"bench{number}") for number in range(MAILBOXES)]
        octets = 0
        for number, user in enumerate(users):
            raw = list(mails(PER_MAILBOX, seed=number))
            octets += sum(map(len, raw))
            dovecot.append_many(user, raw)
        say(f"{TOTAL} mails in {MAILBOXES} mailboxes, {octets / 1e6:.1f} MB, median of {ROUNDS} rounds")
        figures: dict[str, list[float]] = {}
        for _ in range(ROUNDS):
            for name, seconds in one_round(dovecot, redis, users).items():
                figures.setdefault(name, []).append(seconds)
    report(figures)


def one_round(dovecot: Dovecot, redis: RedisServer, users: list[str]) -> dict[str, float]:
    """Every measurement once, each on a fresh database and archive."""
    figures = {"plain IMAP reader to files (baseline)": seconds_of(lambda: read_plainly(dovecot, users))}
    with fresh(redis, dovecot, users) as stack:
        figures |= stages(stack)
    with fresh(redis, dovecot, users) as stack:
        figures["end to end, real daemons"] = end_to_end(stack)
    return figures


@contextmanager
def fresh(redis: RedisServer, dovecot: Dovecot, users: list[str]) -> Iterator[Stack]:
    """A Concord that has seen nothing yet, with an account for each user."""
    redis.flushall()
    tree: dict[str, Any] = {
        "poll": {"budget": 300, "interval": 5},
        "process": {"soft_time_limit": 240, "time_limit": 300},
    }
    with (
        tempfile.TemporaryDirectory() as folder,
        Stack(Path(folder), redis_url=redis.url, **tree, log={"level": "warning"}) as stack,
    ):
        for user in users:
            stack.add_account(user, port=dovecot.imap_port, user=user, password=dovecot.passwords[user])
        yield stack


def stages(stack: Stack) -> dict[str, float]:
    """One stage after the other in this process, without Celery: what each costs."""
    concord = stack.concord
    queue = MemoryQueue()
    poller = replace(concord.poller, ports=replace(concord.poller.ports, queue=queue))
    processor = replace(concord.processor, queue=queue)
    accounts = [account.id for account in concord.accounts.all()]
    figures = {"poll: fetch, archive, record": seconds_of(lambda: [poller.poll(account) for account in accounts])}
    ids = [row.id for row in concord.ledger.search(MessageFilter(state=MessageState.ARCHIVED, limit=10 * TOTAL))]
    assert len(ids) == TOTAL, len(ids)
    chunks = [ids[start : start + CHUNK] for start in range(0, TOTAL, CHUNK)]
    figures["process: read, parse, decide, commit"] = seconds_of(lambda: [processor.process(chunk) for chunk in chunks])
    waiting = [row.id for row in concord.outbox.deliveries(limit=10 * TOTAL)]
    rounds = [waiting[start : start + CHUNK] for start in range(0, len(waiting), CHUNK)]
    figures["deliver: to the log handler"] = seconds_of(lambda: [concord.dispatcher.deliver(chunk) for chunk in rounds])
    return figures


def end_to_end(stack: Stack) -> float:
    """From the first poll asked for to the last delivery, beat, both workers and Redis included."""
    stack.start("poll", "mail", "deliver")
    inspect = stack.concord.celery.control.inspect
    assert eventually(lambda: len(inspect(timeout=1).ping() or {}) == 2, within=60), stack.log("poll")

    def delivered() -> int:
        return len(stack.concord.outbox.deliveries(state=DeliveryState.DELIVERED, limit=10 * TOTAL))

    started = time.monotonic()
    for account in stack.concord.accounts.all():
        stack.concord.queue.poll(account.id)
    assert eventually(lambda: delivered() == TOTAL, within=300), stack.log("mail")[-2000:]
    return time.monotonic() - started


def read_plainly(dovecot: Dovecot, users: list[str]) -> None:
    """Fetch everything in batches into files: no ledger, no verification, no parsing."""
    with tempfile.TemporaryDirectory() as folder:
        for user in users:
            client = imapclient.IMAPClient("127.0.0.1", dovecot.imap_port, ssl=False, timeout=60)
            client._imap.debug = 0
            client.login(user, dovecot.passwords[user])
            client.select_folder("INBOX", readonly=True)
            uids = client.search()
            for start in range(0, len(uids), CHUNK):
                for uid, item in client.fetch(uids[start : start + CHUNK], ["BODY.PEEK[]"]).items():
                    (Path(folder) / f"{user}-{uid}").write_bytes(item[b"BODY[]"])
            client.logout()


def seconds_of(work: Callable[[], object]) -> float:
    """How long it takes by the wall clock."""
    started = time.monotonic()
    work()
    return time.monotonic() - started


def report(figures: dict[str, list[float]]) -> None:
    """A line for each measurement."""
    baseline = statistics.median(next(iter(figures.values())))
    say(f"{'':40}{'mails/s':>10}{'ms/mail':>10}{'of baseline':>13}")
    for name, rounds in figures.items():
        seconds = statistics.median(rounds)
        say(f"{name:40}{TOTAL / seconds:10.0f}{1000 * seconds / TOTAL:10.2f}{baseline / seconds:13.2f}")


if __name__ == "__main__":
    log.configure("pretty", "warning")
    measure()
