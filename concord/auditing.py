"""Whatever is asked for is written down: who asked, by which way, and what became of it.

What cannot be meant (a mistyped form or option) is refused before it comes here: it asked for nothing yet.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import structlog

from concord.errors import (
    ConcordError,
    ForbiddenError,
    InfrastructureError,
    SchemaError,
    SignInRefusedError,
    SupervisorRefusedError,
    TooManyAttemptsError,
    UsageError,
)
from concord.model.audit import AuditEntry
from concord.model.caller import Caller
from concord.model.fault import dump
from concord.ports import Audit, Clock

log = structlog.get_logger(__name__)

DONE: Final = "done"
REFUSED: Final = "refused"
FAILED: Final = "failed"
# Nobody did anything wrong, or nothing happened at all: it was not allowed, or not just now.
_REFUSALS: Final = (UsageError, ForbiddenError, SignInRefusedError, SupervisorRefusedError, TooManyAttemptsError)


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class Note:
    """What will be written of something under way, as far as whoever does it knows better. Never a secret."""

    subject: str
    detail: str = ""
    outcome: str = DONE

    def failed(self, detail: str) -> None:
        """It came to its end, and the end is not a good one."""
        self.outcome, self.detail = FAILED, detail


@contextmanager
def audited(
    audit: Audit, by: Caller, action: str, subject: str = "", *, detail: str = "", clock: Clock = _now
) -> Iterator[Note]:
    """Whatever becomes of what is done inside, it is written down. `action` is `noun.verb`: account.add.

    `detail` is what is written of it when it is done; the error's own words, where it is not.
    """
    note = Note(subject, detail)
    outcome, told = FAILED, "interrupted"
    try:
        yield note
    except ConcordError as error:
        outcome, told = REFUSED if isinstance(error, _REFUSALS) else FAILED, dump(error)
        raise
    except Exception as error:
        told = type(error).__name__
        raise
    else:
        outcome, told = note.outcome, note.detail
    finally:
        write(
            audit,
            AuditEntry(
                at=clock(),
                actor=by.actor,
                via=by.via,
                address=by.address,
                action=action,
                subject=note.subject,
                outcome=outcome,
                detail=told,
            ),
        )


def write(audit: Audit, entry: AuditEntry) -> None:
    """The database may be the very thing that is down: then the log has the row.

    The log also has the number and hash of each row that was written: somewhere that a forger of the database must
    forge too.
    """
    row = {name: getattr(entry, name) for name in ("actor", "via", "address", "action", "subject", "outcome")}
    try:
        written = audit.add(entry)
    except (InfrastructureError, SchemaError) as error:
        log.warning("audit.unwritten", error=error, **row, detail=entry.detail)
    else:
        log.info("audit.written", row=written.id, hash=written.hash, **row)
