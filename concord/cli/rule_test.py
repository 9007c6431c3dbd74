"""`concord rule test`: what the rules would do, rule by rule, to archived mail or to a mail file. Changes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from concord.cli.border import problem
from concord.cli.files import read_mail
from concord.cli.find import find_message
from concord.cli.options import Json, OfAccount
from concord.cli.output import emit, plain, say, shown
from concord.cli.session import here
from concord.errors import ArchiveLossError, ConcordError, PermanentError, UsageError
from concord.model.account import Priority
from concord.model.message import AfterState, Message, MessageState
from concord.ports import MessageFilter
from concord.wording import english

if TYPE_CHECKING:
    from collections.abc import Sequence

    from concord.model.mail import ParsedMail
    from concord.model.rule import Decision
    from concord.pipeline.rules import RuleVerdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One mail, and what the rules say about it."""

    mail: str
    verdicts: Sequence[RuleVerdict]
    decision: Decision


def test(
    message: Annotated[
        list[str] | None, typer.Option("--message", metavar="ID", help="A message; may be repeated.")
    ] = None,
    account: OfAccount = None,
    last: Annotated[int | None, typer.Option("--last", min=1, max=1000, help="So many of the newest messages.")] = None,
    file: Annotated[str | None, typer.Option("--file", metavar="FILE", help="A mail file instead; - is stdin.")] = None,
    json: Json = False,
) -> None:
    """Show which rules match, which do not and why, and what would happen. Nothing is sent or changed."""
    if file and message:
        raise UsageError("rule_trial_mail")
    trials: list[Trial] = []
    failed: list[tuple[Message, ConcordError]] = []
    if file:
        trials.append(_of_file(file, account))
    else:
        for one in _chosen(message or [], account, last):
            try:
                trials.append(_of_message(one))
            except (PermanentError, ArchiveLossError) as error:
                failed.append((one, error))
    if json:
        emit([*map(_document, trials), *({"mail": _title(one), "error": problem(error)} for one, error in failed)])
    else:
        _tell(trials, failed)
    if failed:
        raise typer.Exit(1)


def _chosen(messages: Sequence[str], account: str | None, last: int | None) -> list[Message]:
    if messages:
        return [find_message(one) for one in messages]
    if account:
        here().accounts.get(account)
    return [one for one in here().ledger.search(MessageFilter(account=account, limit=last or 10)) if one.archive_key]


def _of_message(message: Message) -> Trial:
    reading = here().replayer.reading(message)
    return Trial(mail=_title(message), verdicts=_verdicts(message, reading.mail), decision=reading.decision)


def _of_file(name: str, account: str | None) -> Trial:
    from concord import mime
    from concord.pipeline.reading import Book

    raw = read_mail(name)
    mail = mime.read(raw)
    base = here().accounts.get(account) if account else None
    message = _as_if_received(len(raw), account_id=base.id if base else 0, account=account or "")
    book = Book.open(here().rulebook, here().accounts, default_handlers=here().settings.dispatch.default_handlers)
    return Trial(mail=name, verdicts=_verdicts(message, mail), decision=book.decide(message, mail))


def _verdicts(message: Message, mail: ParsedMail) -> Sequence[RuleVerdict]:
    from concord.pipeline.rules import explain, subject_of

    return explain(here().rulebook.rules(), subject_of(message, mail))


def _as_if_received(size: int, *, account_id: int, account: str) -> Message:
    """A row that the ledger never has: only account, folder and size matter to rules."""
    now = datetime.now(UTC)
    nothing: dict[str, Any] = dict.fromkeys(
        ["sha256", "archive_key", "internal_date", "message_id", "subject", "sender", "sent_at"]
    ) | dict.fromkeys(["error_code", "error", "due_at", "leased_until", "processed_at"])
    return Message(
        id=0,
        account_id=account_id,
        account=account,
        folder="INBOX",
        uidvalidity=0,
        uid=0,
        event_id=UUID(int=0),
        state=MessageState.ARCHIVED,
        priority=Priority.NORMAL,
        size=size,
        flags=(),
        attempts=0,
        failures=0,
        after=AfterState.NONE,
        seen_at=now,
        **nothing,
    )


def _title(message: Message) -> str:
    return f"{message.id}: {message.subject or '(no subject)'}"


def _document(trial: Trial) -> dict[str, Any]:
    return {"mail": trial.mail, "rules": plain(list(trial.verdicts)), "decision": plain(trial.decision)}


def _tell(trials: Sequence[Trial], failed: Sequence[tuple[Message, ConcordError]]) -> None:
    if not trials and not failed:
        say("No archived message to try the rules on. Try a file: concord rule test --file MAIL.eml")
    for trial in trials:
        say(trial.mail)
        for verdict in trial.verdicts:
            say(f"  {'✓' if verdict.matched else '·'} {verdict.name}: {_why(verdict)}")
            for warning in verdict.warnings:
                say(f"      {warning}")
        say(f"  → {_outcome(trial.decision)}")
    for message, error in failed:
        typer.echo(shown(f"{_title(message)}: {english.explain(error)}"), err=True)


def _why(verdict: RuleVerdict) -> str:
    if not verdict.reached:
        return "not asked, because a rule before it says stop"
    if verdict.matched:
        return "matches"
    return "is disabled" if verdict.failed == "enabled" else f"does not match: {verdict.failed}"


def _outcome(decision: Decision) -> str:
    if decision.skipped:
        return f"priority {decision.priority.value}; an event is made, and nobody is told"
    handlers = ", ".join(decision.handlers) or "no handler"
    workflows = f"; starts {', '.join(decision.workflows)}" if decision.workflows else ""
    return f"priority {decision.priority.value}; goes to {handlers}{workflows}"
