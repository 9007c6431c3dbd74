"""Whatever is asked for is written down, and what became of it (U5)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import structlog

from concord.auditing import audited
from concord.errors import ConflictError, ForbiddenError, MailboxDownError, SignInRefusedError
from concord.model.caller import Caller
from tests.fakes.audit import MemoryAudit

BY = Caller(actor="alice", via="api", address="203.0.113.7")
NOON = datetime(2026, 11, 25, 12, tzinfo=UTC)


@pytest.fixture
def audit() -> MemoryAudit:
    return MemoryAudit()


def test_who_and_what_are_written_with_the_time_of_the_end(audit: MemoryAudit) -> None:
    with audited(audit, BY, "account.add", "sales", detail="by hand", clock=lambda: NOON) as note:
        note.subject = "sales 2"

    (row,) = audit.entries()
    assert (row.at, row.actor, row.via, row.address) == (NOON, "alice", "api", "203.0.113.7")
    assert (row.action, row.subject, row.outcome, row.detail) == ("account.add", "sales 2", "done", "by hand")


@pytest.mark.parametrize(
    ("error", "outcome", "detail"),
    [
        (
            ConflictError("handler_used", rule="orders"),
            "refused",
            '{"code": "conflict.handler_used", "facts": {"rule": "orders"}}',
        ),
        (ForbiddenError("role"), "refused", '{"code": "forbidden.role", "facts": {}}'),
        (SignInRefusedError("wrong"), "refused", '{"code": "sign_in_refused.wrong", "facts": {}}'),
        (MailboxDownError("hung_up"), "failed", '{"code": "mailbox_down.hung_up", "facts": {}}'),
        (ValueError("a secret, perhaps"), "failed", "ValueError"),
        (KeyboardInterrupt(), "failed", "interrupted"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_bad_end_is_written_as_code_and_facts(
    audit: MemoryAudit, error: BaseException, outcome: str, detail: str
) -> None:
    """A bug's words are not: nobody can say that no secret is among them."""
    with pytest.raises(type(error)), audited(audit, BY, "account.edit", "sales", detail="host: a → b"):
        raise error

    (row,) = audit.entries()
    assert (row.outcome, row.detail) == (outcome, detail)


def test_an_end_can_be_bad_without_an_error(audit: MemoryAudit) -> None:
    with audited(audit, BY, "account.test", "sales") as note:
        note.failed("login: refused")

    (row,) = audit.entries()
    assert (row.outcome, row.detail) == ("failed", "login: refused")


def test_what_is_left_half_way_is_written_too(audit: MemoryAudit) -> None:
    """A browser that goes away in the middle of a test's steps."""

    def steps() -> Iterator[int]:
        with audited(audit, BY, "account.test", "sales"):
            yield 1
            yield 2

    going = steps()
    next(going)
    going.close()  # type: ignore[attr-defined]  # a generator, told as an iterator

    assert audit.entries()[0].detail == "interrupted"


def test_the_log_has_the_number_and_hash_of_each_row(audit: MemoryAudit) -> None:
    """Somewhere that a forger of the database must forge too."""
    with structlog.testing.capture_logs() as logged, audited(audit, BY, "rule.add", "spam"):
        pass

    (row,) = audit.entries()
    (line,) = logged
    assert (line["event"], line["row"], line["hash"], line["action"]) == ("audit.written", row.id, row.hash, "rule.add")


def test_without_a_database_the_log_has_the_row(audit: MemoryAudit) -> None:
    audit.down = True

    with structlog.testing.capture_logs() as logged, audited(audit, BY, "service.stop", "beat", detail="warm"):
        pass

    (line,) = logged
    assert (line["event"], line["log_level"], line["actor"], line["action"], line["detail"]) == (
        "audit.unwritten",
        "warning",
        "alice",
        "service.stop",
        "warm",
    )
