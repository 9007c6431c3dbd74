"""Messages: giving those that were set aside another chance, and running any again from the archive (P16, P18)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

from concord.auditing import audited
from concord.errors import InfrastructureError, PermanentError, QueueDownError, UsageError, did_you_mean
from concord.model.caller import Caller
from concord.model.message import Message, MessageState
from concord.pipeline.dispatch import BUILT_IN
from concord.pipeline.replay import Replayed
from concord.ports import MessageFilter
from concord.services.retrying import Retried, listed, numbered

if TYPE_CHECKING:
    from concord.bootstrap import Concord

CAN_BE_RETRIED: Final = (MessageState.QUARANTINED, MessageState.SKIPPED)
_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayReport:
    """What running messages again did, or would do; and those that could not be, with the reason."""

    done: tuple[Replayed, ...]
    failed: tuple[tuple[int, PermanentError], ...] = ()


def quarantined(parts: Concord, account: str | None = None) -> Iterator[Message]:
    """All of them, the newest first. Raises NotFoundError for an account that is not there."""
    if account:
        parts.accounts.get(account)
    return _all(parts, MessageFilter(account=account, state=MessageState.QUARANTINED, limit=_AT_ONCE))


def processed(
    parts: Concord, *, account: str | None = None, since: datetime | None = None, until: datetime | None = None
) -> list[int]:
    """Numbers of an account's or a time's messages that can be replayed, the oldest first. Raises NotFoundError.

    Only what was processed: other messages have their own way to go.
    """
    if account:
        parts.accounts.get(account)
    narrowed = MessageFilter(account=account, since=since, until=until, state=MessageState.PROCESSED, limit=_AT_ONCE)
    return [one.id for one in _all(parts, narrowed)][::-1]


def retry(parts: Concord, messages: Sequence[Message], *, by: Caller) -> Retried:
    """Process quarantined or skipped ones again; others are left as they are."""
    can = [one.id for one in messages if one.state in CAN_BE_RETRIED]
    trouble = None
    with audited(parts.audit, by, "message.retry", numbered([one.id for one in messages], "message")) as note:
        for start in range(0, len(can), _AT_ONCE):
            refs = parts.ledger.retry(can[start : start + _AT_ONCE])
            try:
                parts.queue.process(refs)
            except QueueDownError as error:
                trouble = error
        note.detail = listed(can)
    return Retried.of((one.id for one in messages), can, trouble)


def preview(parts: Concord, ids: Iterable[int], handlers: Sequence[str] = ()) -> ReplayReport:
    """The dry run of `replay`: what the rules would do now. Changes nothing. Raises UsageError, InfrastructureError."""
    refuse_unknown(parts, handlers)
    return _each(parts, ids, handlers, dry_run=True)


def replay(
    parts: Concord, ids: Iterable[int], handlers: Sequence[str] = (), *, subject: str, by: Caller
) -> ReplayReport:
    """Send messages to their handlers again, or to these only. `subject` says which, for the audit.

    Raises UsageError for an unknown handler; InfrastructureError says how many are on their way already.
    """
    refuse_unknown(parts, handlers)
    with audited(parts.audit, by, "message.replay", subject) as note:
        report = _each(parts, ids, handlers, dry_run=False)
        deliveries = sum(len(one.deliveries) for one in report.done)
        note.detail = f"{len(report.done)} replayed, {deliveries} deliveries, {len(report.failed)} failed"
        if handlers:
            note.detail += f"; only to {', '.join(handlers)}"
        return report


def refuse_unknown(parts: Concord, handlers: Sequence[str]) -> None:
    """Raises UsageError."""
    known = {*BUILT_IN, *(spec.name for spec in parts.rulebook.handlers())}
    for name in handlers:
        if name not in known:
            raise UsageError(
                "There is no such handler",
                handler=name,
                remedy=did_you_mean(name, known) or "See them with 'concord handler list'",
            )


def _all(parts: Concord, narrowed: MessageFilter) -> Iterator[Message]:
    while page := parts.ledger.search(narrowed):
        yield from page
        narrowed = replace(narrowed, before_id=page[-1].id)


def _each(parts: Concord, ids: Iterable[int], handlers: Sequence[str], *, dry_run: bool) -> ReplayReport:
    done: list[Replayed] = []
    failed: list[tuple[int, PermanentError]] = []
    run = parts.replayer.preview if dry_run else parts.replayer.replay
    for message_id in ids:
        try:
            done.append(run(parts.ledger.get(message_id), handlers))
        except PermanentError as error:
            failed.append((message_id, error))
        except InfrastructureError as error:
            # Those before it are on their way: begun again, it must not repeat them.
            error.fields |= {"replayed": len(done), "stopped_at_message": message_id}
            raise
    return ReplayReport(done=tuple(done), failed=tuple(failed))
