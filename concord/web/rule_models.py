"""Rules as the API takes and gives them, and what came of trying one."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from concord.model.account import Priority
from concord.model.rule import Decision, Rule
from concord.pipeline.naming import LONGEST as LONGEST_NAME
from concord.pipeline.pattern import LONGEST
from concord.services.rule_trial import MOST, Chosen, RuleTrial, Tried
from concord.web import error_text
from concord.web.rest import Model

Number = Annotated[int, Field(ge=1, le=2**63 - 1)]
Name = Annotated[str, Field(min_length=1, max_length=LONGEST_NAME)]
Names = Annotated[list[Name], Field(max_length=100)]
Patterns = Annotated[
    list[Annotated[str, Field(max_length=LONGEST)]],
    Field(max_length=200, description="Globs (`*@example.com`), or regular expressions after `re:`. One is enough."),
]
Headers = Annotated[
    dict[Annotated[str, Field(max_length=200)], Patterns],
    Field(max_length=50, description="By header name; each header given must be there and fit."),
]
Size = Annotated[
    Annotated[int, Field(ge=0, le=2**63 - 1)] | Annotated[str, Field(max_length=30)] | None,
    Field(description="Octets; `500kB`, `10MB` and `1GiB` are understood too."),
]
# Somebody pastes a Message-ID; PostgreSQL takes no NUL.
Pasted = Annotated[str, Field(max_length=1000, pattern=r"^[^\x00]*$")]


class RuleMatch(Model):
    """All conditions given must hold. None given: every mail."""

    account: Patterns = Field(default_factory=list)
    folder: Patterns = Field(default_factory=list)
    from_: Patterns = Field(default_factory=list, alias="from")
    to: Patterns = Field(default_factory=list)
    cc: Patterns = Field(default_factory=list)
    subject: Patterns = Field(default_factory=list)
    header: Headers = Field(default_factory=dict)
    larger: Size = None
    smaller: Size = None
    attachment_name: Patterns = Field(default_factory=list)
    attachment_type: Patterns = Field(default_factory=list)


class RuleDraft(Model):
    """A rule that is tried and not kept: it needs no name."""

    name: Annotated[str, Field(max_length=LONGEST_NAME)] = ""
    position: Annotated[int, Field(gt=-(2**31), lt=2**31)] | None = Field(
        default=None, description="Rules are asked in order of position. Null: a new one last, a changed one in place."
    )
    enabled: bool | None = Field(default=None, description="Null: a new one is on, a changed one stays as it is.")
    match: RuleMatch = Field(default_factory=RuleMatch)
    priority: Priority | None = None
    handlers: Names = Field(default_factory=list, description="Who gets the event.")
    workflows: Names = Field(default_factory=list, description="What it starts.")
    skip: bool = Field(default=False, description="The event is made, and nobody is told.")
    stop: bool = Field(default=False, description="No later rule is asked about a mail that this one matches.")

    def document(self, before: Rule | None, last: int) -> dict[str, Any]:
        """The written form, in place of `before`, or as a new one at the position `last`."""
        said = self.model_dump(mode="json", by_alias=True)
        if said["position"] is None:
            said["position"] = before.position if before else last
        if said["enabled"] is None:
            said["enabled"] = before.enabled if before else True
        return said


class RuleIn(RuleDraft):
    """A rule, whole: what is left out is not there."""

    name: Name


class RuleMatchOut(Model):
    """All conditions that are not empty must hold."""

    model_config = ConfigDict(extra="forbid", from_attributes=True, populate_by_name=True)

    account: list[str]
    folder: list[str]
    from_: list[str] = Field(alias="from")
    to: list[str]
    cc: list[str]
    subject: list[str]
    header: dict[str, list[str]]
    larger: int | None = Field(description="Octets.")
    smaller: int | None = Field(description="Octets.")
    attachment_name: list[str]
    attachment_type: list[str]


class RuleOut(Model):
    """A rule that is kept."""

    id: int
    name: str
    position: int
    enabled: bool
    match: RuleMatchOut
    priority: Priority | None
    handlers: list[str]
    workflows: list[str]
    skip: bool
    stop: bool

    @classmethod
    def of(cls, rule: Rule) -> RuleOut:
        """As the API tells it."""
        return cls.model_validate(rule)


class OrderIn(Model):
    """All rules, in the order in which they are to be asked."""

    rules: Annotated[list[Number], Field(max_length=10_000, description="Their ids, each once.")]


class DryRunIn(Model):
    """A rule, and the archived mails to try it on: one, or the newest of a mailbox or of all."""

    rule: RuleDraft
    replaces: Number | None = Field(default=None, description="The id of the rule whose place it takes.")
    message: Pasted = Field(default="", description="A message's number, Message-ID or event.")
    account: Pasted = Field(default="", description="A mailbox's name; empty: all.")
    last: Annotated[int, Field(ge=1, le=MOST)] = 50

    @property
    def chosen(self) -> Chosen:
        """As the service wants it."""
        return Chosen(message=self.message, account=self.account, last=self.last)


class Outcome(Model):
    """What all rules together decide for a mail."""

    matched: list[str] = Field(description="Names of the rules that match; a tried one without a name has none here.")
    priority: Priority
    handlers: list[str]
    workflows: list[str]
    skipped: bool

    @classmethod
    def of(cls, decision: Decision) -> Outcome:
        """As the API tells it."""
        return cls(
            matched=[name for name in decision.matched if name],
            priority=decision.priority,
            handlers=list(decision.handlers),
            workflows=list(decision.workflows),
            skipped=decision.skipped,
        )


class TriedOut(Model):
    """One mail."""

    message: int
    account: str
    subject: str | None
    sender: str | None
    matches: bool
    reached: bool = Field(description="False: a rule before it says stop.")
    failed: str | None = Field(description="The condition that does not hold: `from`, `header List-Id`, …")
    slow: list[str] = Field(description="Patterns that took too long, and count as no match.")
    changes: bool = Field(description="Whether anything would be different.")
    before: Outcome
    after: Outcome

    @classmethod
    def of(cls, one: Tried) -> TriedOut:
        """As the API tells it."""
        return cls(
            message=one.message.id,
            account=one.message.account,
            subject=one.message.subject,
            sender=one.message.sender,
            matches=one.verdict.matched,
            reached=one.verdict.reached,
            failed=one.verdict.failed,
            slow=list(one.verdict.slow),
            changes=one.changes,
            before=Outcome.of(one.before),
            after=Outcome.of(one.after),
        )


class UnreadOut(Model):
    """A mail that cannot be read from the archive."""

    message: int
    detail: str


class DryRunOut(Model):
    """What the rule would do."""

    chosen: int = Field(description="How many mails were to be looked at.")
    looked_at: int = Field(description="How many were, within three seconds.")
    matches: int
    changes: int
    mails: list[TriedOut]
    unread: list[UnreadOut]

    @classmethod
    def of(cls, trial: RuleTrial) -> DryRunOut:
        """As the API tells it."""
        unread = [UnreadOut(message=one.id, detail=error_text.sentence(error)) for one, error in trial.unread]
        return cls(
            chosen=trial.chosen,
            looked_at=trial.looked_at,
            matches=trial.matches,
            changes=trial.changes,
            mails=[TriedOut.of(one) for one in trial.tried],
            unread=unread,
        )
