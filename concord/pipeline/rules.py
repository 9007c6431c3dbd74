"""What the rules say about a mail: every enabled rule that matches adds its part, in order, until one says `stop`.

Judging reads and writes nothing, so that `concord rule test` and a replay's dry run judge just as the pipeline does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from concord.model.account import Priority
from concord.model.mail import Address, ParsedMail
from concord.model.message import Message, Peek
from concord.model.rule import Decision, Match, Rule
from concord.pipeline.pattern import Matcher
from concord.pipeline.rule_check import check_rule
from concord.pipeline.rule_document import rule_from_document, rule_to_document

__all__ = [
    "RuleVerdict",
    "Subject",
    "check_rule",
    "decide",
    "early_priority",
    "explain",
    "rule_from_document",
    "rule_to_document",
    "subject_of",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What rules look at. Each person is given in every form a pattern may be written for."""

    account: str
    folder: str
    from_: tuple[str, ...] = ()
    to: tuple[str, ...] = ()
    cc: tuple[str, ...] = ()
    subject: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    size: int = 0  # octets
    attachments: tuple[tuple[str, str], ...] = ()  # name, content type
    priority: Priority | None = None  # the mail's own


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleVerdict:
    """What came of one rule, and which condition failed if one did."""

    name: str
    matched: bool
    reached: bool = True  # False where a rule before it said `stop`
    failed: str | None = None  # enabled, account, header X-Spam, larger, …
    slow: tuple[str, ...] = ()  # patterns that took too long and count as no match
    warnings: tuple[str, ...] = ()  # the same in words


def subject_of(message: Message, mail: ParsedMail) -> Subject:
    """What the rules see of a mail that has been read."""
    return Subject(
        account=message.account,
        folder=message.folder,
        from_=_forms(mail.from_),
        to=_forms(mail.to),
        cc=_forms(mail.cc),
        subject=mail.subject,
        headers=mail.headers,
        size=message.size or 0,
        attachments=tuple((part.name, part.content_type) for part in mail.attachments),
        priority=mail.priority,
    )


def decide(rules: Sequence[Rule], subject: Subject, *, default_handlers: tuple[str, ...], base: Priority) -> Decision:
    """Ask all rules. The first that matches and names a priority sets it; the mail's own and then `base` follow."""
    matcher = Matcher()
    matched = list(_matching(rules, subject, matcher))
    skipped = any(rule.skip for rule in matched)
    named = _each_once(name for rule in matched for name in rule.handlers)
    ruled = next((rule.priority for rule in matched if rule.priority), None)
    return Decision(
        matched=tuple(rule.name for rule in matched),
        priority=ruled or subject.priority or base,
        rule_priority=ruled,
        handlers=() if skipped else named or _each_once(default_handlers),
        workflows=() if skipped else _each_once(name for rule in matched for name in rule.workflows),
        skipped=skipped,
        warnings=_warnings(matcher),
    )


def early_priority(  # noqa: PLR0913 - what is known of a mail before it is read
    rules: Sequence[Rule], peek: Peek, *, account: str, folder: str, size: int, base: Priority, late: bool = False
) -> Priority:
    """How urgent a mail is before it is read: rules that ask for attachments cannot be judged and are passed over.

    Old mail (`late`) waits behind new mail (P13), however urgent it once was, unless a rule says otherwise.
    """
    subject = Subject(
        account=account,
        folder=folder,
        from_=_typed_forms([peek.sender] if peek.sender else []),
        to=_typed_forms(peek.recipients),
        cc=_typed_forms(peek.cc),
        subject=peek.subject or "",
        headers=peek.headers,
        size=size,
        priority=peek.priority,
    )
    early = [rule for rule in rules if not (rule.match.attachment_name or rule.match.attachment_type)]
    matched = _matching(early, subject, Matcher())
    return _priority(matched, None, Priority.LOW) if late else _priority(matched, peek.priority, base)


def explain(rules: Sequence[Rule], subject: Subject) -> list[RuleVerdict]:
    """Rule by rule, which matched, and which condition failed where one did not."""
    verdicts, stopped = [], False
    for rule in _in_order(rules):
        matcher = Matcher()
        failed = first_failure(rule, subject, matcher)
        verdicts.append(
            RuleVerdict(
                name=rule.name,
                matched=failed is None and not stopped,
                reached=not stopped,
                failed=failed,
                slow=tuple(matcher.slow),
                warnings=_warnings(matcher),
            )
        )
        stopped = stopped or (failed is None and rule.stop)
    return verdicts


def first_failure(rule: Rule, subject: Subject, matcher: Matcher) -> str | None:
    """The first condition that does not hold; None where the rule matches."""
    if not rule.enabled:
        return "enabled"
    failures = (name for name, holds in _CONDITIONS.items() if not holds(rule.match, subject, matcher))
    return next(failures, None) or _failing_header(rule.match, subject, matcher)


def _matching(rules: Sequence[Rule], subject: Subject, matcher: Matcher) -> Iterator[Rule]:
    for rule in _in_order(rules):
        if first_failure(rule, subject, matcher) is None:
            yield rule
            if rule.stop:
                return


def _in_order(rules: Sequence[Rule]) -> list[Rule]:
    return sorted(rules, key=lambda rule: (rule.position, rule.name))


def _attachments_hold(match: Match, subject: Subject, matcher: Matcher) -> bool:
    """Name and type are asked of the same attachment: a rule for PDF invoices means one file, not two."""
    if not (match.attachment_name or match.attachment_type):
        return True
    return any(
        matcher.any(match.attachment_name, [name]) and matcher.any(match.attachment_type, [kind])
        for name, kind in subject.attachments
    )


def _failing_header(match: Match, subject: Subject, matcher: Matcher) -> str | None:
    for wanted, patterns in match.header.items():
        values = [value for name, value in subject.headers if name.lower() == wanted.lower()]
        if not values or not matcher.any(patterns, values):
            return f"header {wanted}"
    return None


# Cheapest first.
_CONDITIONS: Final[dict[str, Callable[[Match, Subject, Matcher], bool]]] = {
    "larger": lambda match, subject, _: match.larger is None or subject.size > match.larger,
    "smaller": lambda match, subject, _: match.smaller is None or subject.size < match.smaller,
    "account": lambda match, subject, matcher: matcher.any(match.account, [subject.account]),
    "folder": lambda match, subject, matcher: matcher.any(match.folder, [subject.folder]),
    "from": lambda match, subject, matcher: matcher.any(match.from_, subject.from_),
    "to": lambda match, subject, matcher: matcher.any(match.to, subject.to),
    "cc": lambda match, subject, matcher: matcher.any(match.cc, subject.cc),
    "subject": lambda match, subject, matcher: matcher.any(match.subject, [subject.subject]),
    "attachment": _attachments_hold,
}


def _priority(matched: Iterable[Rule], own: Priority | None, base: Priority) -> Priority:
    return next((rule.priority for rule in matched if rule.priority), None) or own or base


def _each_once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))


def _warnings(matcher: Matcher) -> tuple[str, ...]:
    return tuple(f"The pattern '{pattern}' took too long and was taken not to match" for pattern in matcher.slow)


def _forms(people: Sequence[Address]) -> tuple[str, ...]:
    bare = [person.address for person in people]
    return tuple(bare + [f"{person.name} <{person.address}>" for person in people if person.name])


def _typed_forms(people: Iterable[str]) -> tuple[str, ...]:
    """The same for people written as `Name <address>`."""
    whole = list(people)
    inner = [person.rpartition("<")[2].rstrip("> ") for person in whole if person.endswith(">")]
    return tuple(inner + whole)
