"""Messages: giving those that were set aside another chance, and running any again from the archive (P16, P18)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Final

from concord.auditing import audited
from concord.errors import (
    ArchiveLossError,
    ConcordError,
    InfrastructureError,
    PermanentError,
    QueueDownError,
    UsageError,
    nearest,
)
from concord.model.caller import Caller
from concord.model.listing import Mark, MessagesWanted, View
from concord.model.message import Message, MessageState
from concord.model.progress import Told, untold
from concord.pipeline.dispatch import BUILT_IN
from concord.pipeline.replay import Replayed
from concord.services.retrying import Retried, listed, numbered

if TYPE_CHECKING:
    from concord.bootstrap import Concord

CAN_BE_RETRIED: Final = (MessageState.QUARANTINED, MessageState.SKIPPED)
_AT_ONCE: Final = 500
# Of these the results are told one by one; of the others, how many.
_MOST_TOLD: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayReport:
    """What running messages again did, or would do; and those that could not be, with the reason."""

    done: tuple[Replayed, ...]
    failed: tuple[tuple[int, ConcordError], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayTotals:
    """What running many messages again did, in numbers; and the first of those that could not be, with the reason."""

    messages: int = 0
    deliveries: int = 0
    reprocessed: int = 0  # had no event yet, and are processed like new mail
    failed: int = 0
    failures: tuple[tuple[int, ConcordError], ...] = ()


def every(parts: Concord, wanted: MessagesWanted, view: View | None = None) -> Iterator[Message]:
    """All that are like that, the newest first, however long it takes to find them."""
    before = view.before if view else None
    while True:
        page = parts.lists.messages(wanted, View(before=before, limit=_AT_ONCE))
        yield from page.items
        before = page.older
        if before is None:
            return


def first(parts: Concord, wanted: MessagesWanted, *, limit: int, before: int | None = None) -> list[Message]:
    """So many of them at most, the newest first, below a message's number. Raises NotFoundError where it is none's."""
    last = parts.ledger.get(before) if before is not None else None
    view = View(before=Mark(last.seen_at, last.id) if last else None)
    return list(islice(every(parts, wanted, view), limit))


def quarantined(parts: Concord, account: str | None = None) -> Iterator[Message]:
    """All of them, the newest first. Raises NotFoundError for an account that is not there."""
    if account:
        parts.accounts.get(account)
    return every(parts, MessagesWanted(account=account, state=MessageState.QUARANTINED))


def processed(parts: Concord, wanted: MessagesWanted) -> list[int]:
    """Numbers of those that can be replayed, the oldest first. Raises NotFoundError for an account that is not there.

    Only what was processed: other messages have their own way to go.
    """
    if wanted.account:
        parts.accounts.get(wanted.account)
    return [one.id for one in every(parts, replace(wanted, state=MessageState.PROCESSED))][::-1]


def retry(parts: Concord, messages: Sequence[Message], *, by: Caller) -> Retried:
    """Process quarantined or skipped ones again; others are left as they are."""
    with audited(parts.audit, by, "message.retry", numbered([one.id for one in messages], "message")) as note:
        done = _retry(parts, messages)
        note.detail = listed(done.changed)
    return done


def retry_all(parts: Concord, wanted: MessagesWanted, *, subject: str, by: Caller, told: Told = untold) -> Retried:
    """The same for all that are like that, some at a time. `subject` says which, for the audit."""
    changed: list[int] = []
    trouble = None
    with audited(parts.audit, by, "message.retry", subject) as note:
        found = every(parts, wanted)
        while some := list(islice(found, _AT_ONCE)):
            done = _retry(parts, some)
            changed += done.changed
            trouble = trouble or done.trouble
            told("%(done)s messages go back to be processed", done=len(changed))
        note.detail = numbered(changed, "message")
    return Retried(changed=tuple(changed), trouble=trouble)


def _retry(parts: Concord, messages: Sequence[Message]) -> Retried:
    can = [one.id for one in messages if one.state in CAN_BE_RETRIED]
    trouble = None
    for start in range(0, len(can), _AT_ONCE):
        refs = parts.ledger.retry(can[start : start + _AT_ONCE])
        try:
            parts.queue.process(refs)
        except QueueDownError as error:
            trouble = error
    return Retried.of((one.id for one in messages), can, trouble)


def preview(parts: Concord, ids: Iterable[int], handlers: Sequence[str] = ()) -> ReplayReport:
    """The dry run of `replay`: what the rules would do now. Changes nothing. Raises UsageError, InfrastructureError."""
    refuse_unknown(parts, handlers)
    return _report(_each(parts, ids, handlers, dry_run=True))


def replay(
    parts: Concord, ids: Iterable[int], handlers: Sequence[str] = (), *, subject: str, by: Caller
) -> ReplayReport:
    """Send messages to their handlers again, or to these only. `subject` says which, for the audit.

    Raises UsageError for an unknown handler; InfrastructureError says how many are on their way already.
    """
    refuse_unknown(parts, handlers)
    with audited(parts.audit, by, "message.replay", subject) as note:
        report = _report(_each(parts, ids, handlers, dry_run=False))
        deliveries = sum(len(one.deliveries) for one in report.done)
        note.detail = _detail(len(report.done), deliveries, len(report.failed), handlers)
        return report


def replay_many(
    parts: Concord, ids: Sequence[int], handlers: Sequence[str] = (), *, subject: str, by: Caller, told: Told = untold
) -> ReplayTotals:
    """The same where there are more than anybody reads one by one. Raises what `replay` does."""
    refuse_unknown(parts, handlers)
    done = deliveries = reprocessed = failed = 0
    failures: list[tuple[int, ConcordError]] = []
    with audited(parts.audit, by, "message.replay", subject) as note:
        for one in _each(parts, ids, handlers, dry_run=False):
            if isinstance(one, Replayed):
                done, deliveries = done + 1, deliveries + len(one.deliveries)
                reprocessed += one.reprocessed
            else:
                failed += 1
                failures += [one] if len(failures) < _MOST_TOLD else []
            if (done + failed) % 100 == 0:
                told("%(done)s of %(all)s messages replayed", done=done + failed, all=len(ids))
        note.detail = _detail(done, deliveries, failed, handlers)
    return ReplayTotals(
        messages=done, deliveries=deliveries, reprocessed=reprocessed, failed=failed, failures=tuple(failures)
    )


def refuse_unknown(parts: Concord, handlers: Sequence[str]) -> None:
    """Raises UsageError."""
    known = handler_names(parts)
    for name in handlers:
        if name not in known:
            raise UsageError("handler_unknown", handler=name, near=nearest(name, known))


def handler_names(parts: Concord) -> list[str]:
    """Where messages can be sent to: what is built in, and what was added."""
    return sorted({*BUILT_IN, *(spec.name for spec in parts.rulebook.handlers())})


def _detail(done: int, deliveries: int, failed: int, handlers: Sequence[str]) -> str:
    told = f"{done} replayed, {deliveries} deliveries, {failed} failed"
    return f"{told}; only to {', '.join(handlers)}" if handlers else told


_Failure = tuple[int, ConcordError]


def _report(each: Iterable[Replayed | _Failure]) -> ReplayReport:
    found = list(each)
    return ReplayReport(
        done=tuple(one for one in found if isinstance(one, Replayed)),
        failed=tuple(one for one in found if not isinstance(one, Replayed)),
    )


def _each(
    parts: Concord, ids: Iterable[int], handlers: Sequence[str], *, dry_run: bool
) -> Iterator[Replayed | _Failure]:
    run = parts.replayer.preview if dry_run else parts.replayer.replay
    book = parts.replayer.book()
    for done, message_id in enumerate(ids):
        try:
            yield run(parts.ledger.get(message_id), handlers, book=book)
        except (PermanentError, ArchiveLossError) as error:
            yield message_id, error
        except InfrastructureError as error:
            # Those before it are on their way: begun again, it must not repeat them.
            error.add(replayed=done, stopped_at_message=message_id)
            raise
