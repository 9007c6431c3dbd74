"""What a month leaves beside a million mails: numbers by minute, the audit, how mailboxes do, rules; mails to open."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, bindparam, text, update

from concord import mime
from concord.adapters.sql.outbox_tables import events
from concord.adapters.sql.tables import messages
from concord.adapters.sql.types import UtcDateTime
from concord.bootstrap import Concord
from concord.model.audit import AuditEntry, canonical, link
from concord.model.message import Message, MessageState
from concord.model.number import COUNTED, HOUR, HOURS_KEPT, MINUTE, MINUTES_KEPT, SAMPLED, SERIES, floored
from concord.model.rule import HandlerSpec, Match, Rule, WorkflowSpec, WorkflowStepSpec
from concord.pipeline import event
from concord.ports import Blob, MessageFilter
from tests.bench.corpus import mails
from tests.bench.million import ACCOUNTS, MOMENT, put

# Mails that are opened: the others have no octets in the archive.
OPENED: Final = 60
AUDITED: Final = 100_000
_RULES: Final = 30
_HANDLERS: Final = ("log", "crm", "old-crm", *(f"handler{number}" for number in range(9)))
_WORKFLOWS: Final = ("file", *(f"workflow{number}" for number in range(4)))
# What nearly every minute has; the others come now and then.
_EVERY_MINUTE: Final = (
    COUNTED, SAMPLED, "mail.archived", "mail.processed", "event.made", "delivery.delivered", "lag.p50", "lag.p95",
    "poll.ok", "now.mail.waiting", "now.mail.quarantined", "now.delivery.dead", "now.workflow.failed", "wait.mail",
    "wait.poll", "account.ok", "account.unreachable", "queue.email", "queue.email-poll", "queue.unacked", "redis.used",
    "redis.limit",
)  # fmt: skip
_RARELY: Final = 0.02
_AUDIT_EVERY: Final = timedelta(seconds=26)  # AUDITED in a month


def furnish(concord: Concord, *, until: datetime | None = None) -> None:
    """All of it, up to that moment: now, if not given."""
    end = until or datetime.now(UTC)
    chance = random.Random(2)  # noqa: S311 - not secret
    with concord.engine.begin() as connection:
        put(connection, "numbers", ("step", "series", "at", "value"), _numbers(chance, end))
        _audit(connection, chance, end)
        connection.execute(_STATES, {"now": end})
    _rulebook(concord)
    _archive(concord)


def _numbers(chance: random.Random, until: datetime) -> Iterator[tuple[Any, ...]]:
    for step, kept in ((MINUTE, MINUTES_KEPT), (HOUR, HOURS_KEPT)):
        end, length = floored(until, step), timedelta(seconds=step)
        for number in range(kept // length):
            at = (end - number * length).strftime(MOMENT)
            for name in SERIES:
                if name in _EVERY_MINUTE or step == HOUR or chance.random() < _RARELY:
                    yield step, name, at, float(chance.randrange(1, 50))


def _audit(connection: Connection, chance: random.Random, until: datetime) -> None:
    """A chain that holds, in an audit without a row."""
    former, rows, names = "", [], [*canonical(_entry(chance, 0, until)), "hash"]
    for number in range(1, AUDITED + 1):
        entry = _entry(chance, number, until - _AUDIT_EVERY * (AUDITED - number))
        former = link(former, entry)
        at = entry.at.replace(tzinfo=None).strftime(MOMENT)
        rows.append((*(canonical(entry) | {"at": at}).values(), former))
    put(connection, "audit", names, rows)
    mark = {"mark": f"{AUDITED} {former}"}
    connection.execute(text("UPDATE meta SET value = :mark WHERE key = 'audit_mark'"), mark)
    if connection.dialect.name == "postgresql":
        connection.execute(text("SELECT setval('audit_id_seq', (SELECT MAX(id) FROM audit))"))


def _entry(chance: random.Random, number: int, at: datetime) -> AuditEntry:
    person, way = chance.choice((("alice", "admin"), ("bob", "admin"), ("carol", "api"), ("root", "cli")))
    done = chance.choice(("message.read", "message.read", "message.read", "delivery.retry", "account.edit"))
    return AuditEntry(
        id=number,
        at=at,
        actor=person,
        via=way,
        address="" if way == "cli" else f"192.0.2.{chance.randrange(1, 255)}",
        action=done,
        subject=f"message {chance.randrange(1, 10**6)}" if done == "message.read" else f"team{number % ACCOUNTS:03}",
        outcome=chance.choice(("done",) * 18 + ("refused", "failed")),
    )


_STATES: Final = text("""
UPDATE account_states SET
    state = CASE WHEN account_id % 40 = 0 THEN 'unreachable' ELSE 'ok' END,
    failures = CASE WHEN account_id % 40 = 0 THEN 3 ELSE 0 END,
    last_error = CASE WHEN account_id % 40 = 0 THEN 'The server did not answer (host=imap.example.com)' END,
    last_error_at = CASE WHEN account_id % 40 = 0 THEN :now END,
    last_poll = :now, last_success = :now,
    unaccounted = 0, reconciled_at = :now
""").bindparams(bindparam("now", type_=UtcDateTime))


def _rulebook(concord: Concord) -> None:
    book = concord.rulebook
    for name in _HANDLERS:
        kind, options = ("log", {}) if name == "log" else ("webhook", {"url": f"https://{name}.example.com/hook"})
        book.save_handler(HandlerSpec(name=name, kind=kind, options=options))
    for name in _WORKFLOWS:
        place = {"url": f"https://{name}.example.com/step"}
        steps = tuple(WorkflowStepSpec(name=f"step {at}", kind="webhook", options=place) for at in range(2))
        book.save_workflow(WorkflowSpec(name=name, steps=steps))
    for number in range(_RULES):
        match = Match(from_=(f"*@customer{number}.example", "*@partner.example"), subject=("*invoice*", "*订单*"))
        book.save_rule(Rule(name=f"rule {number}", position=10 * number, match=match, handlers=("crm",)))


def _archive(concord: Concord) -> None:
    """The newest that were processed get a mail of the corpus, and the event that it makes."""
    newest = concord.ledger.search(MessageFilter(state=MessageState.PROCESSED, limit=OPENED))
    blobs: list[Blob] = []
    with concord.engine.begin() as connection:
        for message, raw in zip(newest, mails(len(newest), seed=7), strict=True):
            blobs += _kept(connection, message, raw)
    concord.archive.put(blobs)


def _kept(connection: Connection, message: Message, raw: bytes) -> Iterator[Blob]:
    mail, when = mime.read(raw), message.internal_date
    place = event.raw_key(message.account_id, _digest(raw), when)
    parts = {one.sha256: event.part_key(message.account_id, one.sha256, when) for one in mail.attachments}
    kept = replace(message, sha256=_digest(raw), size=len(raw), archive_key=place, subject=mail.subject)
    made = event.build(kept, mail, priority=message.priority, attachment_keys=parts)
    document = event.serialise(made)
    its_place = event.event_key(message.account_id, message.event_id, _digest(document), when)
    own = {"sha256": kept.sha256, "size": kept.size, "archive_key": place, "subject": mail.subject}
    connection.execute(update(messages).where(messages.c.id == message.id).values(own))
    its_own = {"archive_key": its_place, "subject": mail.subject}
    connection.execute(update(events).where(events.c.message_id == message.id).values(its_own))
    yield _blob(place, raw)
    yield _blob(its_place, document)
    for one in mail.attachments:
        yield _blob(parts[one.sha256], one.content)


def _blob(key: str, content: bytes) -> Blob:
    return Blob(key=key, sha256=_digest(content), size=len(content), content=content)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
