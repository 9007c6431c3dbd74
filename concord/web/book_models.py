"""Handlers and workflows as the API takes and tells them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar
from uuid import UUID

from pydantic import AfterValidator, Field, SecretStr

from concord.bootstrap import Concord
from concord.errors import ConcordError
from concord.handlers.showing import shown
from concord.handlers.trial import Call, Trial
from concord.model.rule import HandlerSpec, Rule, WorkflowSpec
from concord.model.user import Permission
from concord.pipeline.book_document import plain
from concord.services import handlers, workflows
from concord.web import error_text
from concord.web.error_text import facts_of
from concord.web.handler_trial import remedy_of
from concord.web.i18n import gettext
from concord.web.options_form import json_mistake
from concord.web.rest import Model
from concord.web.visitor import Visitor


def _json(options: dict[str, Any]) -> dict[str, Any]:
    if wrong := json_mistake(options):
        raise ValueError(wrong)
    return options


Text = Annotated[str, Field(max_length=500)]
Options = Annotated[
    dict[str, Any],
    AfterValidator(_json),
    Field(description="As the kind wants them. A header that is told as `…` stays as it is where it comes back so."),
]
Secret = Annotated[SecretStr, Field(max_length=2000)]


class HandlerOut(Model):
    """A handler; of its secret only whether there is one, of its headers only their names.

    The whole URL is told to those who may change it.
    """

    name: str
    kind: str
    options: dict[str, Any]
    enabled: bool
    has_secret: bool
    rules: list[str] = Field(description="Those that name it.")

    @classmethod
    def of(cls, spec: HandlerSpec, parts: Concord, me: Visitor, *, rules: Sequence[Rule] | None = None) -> HandlerOut:
        """As the API tells it; `rules` where all are known already."""
        using = handlers.users_of(parts, spec.name) if rules is None else [r for r in rules if spec.name in r.handlers]
        return cls(
            name=spec.name,
            kind=spec.kind,
            options=shown(spec.kind, spec.options, with_url=me.may(Permission.CONFIGURE)),
            enabled=spec.enabled,
            has_secret=bool(spec.secret),
            rules=[rule.name for rule in using],
        )


class HandlerMade(HandlerOut):
    """A fresh handler."""

    shown_once: ClassVar = ("secret",)

    secret: str | None = Field(default=None, description="The one that was made: shown this once. Null: none was.")


class HandlerChange(Model):
    """The handler as it is to be. Without a secret the present one stays."""

    kind: Text = Field(description="`webhook`, `redis-stream`, `celery`, `log`, or an installed package's.")
    options: Options = Field(default_factory=dict)
    enabled: bool = True
    secret: Secret | None = Field(default=None, description="For webhooks `whsec_` and base64.")

    def document(self, name: str) -> dict[str, Any]:
        """Its written form."""
        return {"name": name, "kind": self.kind, "options": self.options, "enabled": self.enabled}

    @property
    def opened(self) -> str | None:
        """The secret, if one is given."""
        return self.secret.get_secret_value() if self.secret else None


class HandlerIn(HandlerChange):
    """A new handler."""

    name: Text
    make_secret: bool = Field(default=False, description="Make one for a webhook, and tell it in the answer.")


class SecretIn(Model):
    """How a new secret begins."""

    keep: bool = Field(default=True, description="Sign with those so far too, until they are forgotten.")


class SecretMade(Model):
    """A fresh secret: the only time that it is shown."""

    shown_once: ClassVar = ("secret",)

    secret: str
    in_use: int = Field(description="How many the handler signs with now.")


class TrialIn(Model):
    """What to send."""

    event: UUID | None = Field(default=None, description="An archived event, with the scope `mail`. Null: a sample.")


class CallOut(Model):
    """One request and its answer. Values of headers that were sent are not told."""

    host: str
    octets: int = Field(description="Sent.")
    sent: list[str] = Field(description="Names of the headers.")
    status: int
    headers: dict[str, str] = Field(description="The answer's, those that tell something.")
    body: str = Field(description="The answer's beginning.")
    cut: bool = Field(description="Whether it goes on.")
    milliseconds: int

    @classmethod
    def of(cls, call: Call) -> CallOut:
        """As the API tells it."""
        return cls.model_validate(call, from_attributes=True)


class FailureOut(Model):
    """Why the handler did not take it, and what to do."""

    type: str
    detail: str
    remedy: str
    facts: dict[str, str]

    @classmethod
    def of(cls, error: ConcordError) -> FailureOut:
        """In the request's language."""
        remedy = gettext(remedy_of(error))
        return cls(type=error.code, detail=error_text.sentence(error), remedy=remedy, facts=facts_of(error))


class TrialOut(Model):
    """What came of it."""

    delivered: bool
    milliseconds: int
    facts: dict[str, Any]
    error: FailureOut | None
    calls: list[CallOut] = Field(description="More than one where the receiver redirects.")

    @classmethod
    def of(cls, trial: Trial) -> TrialOut:
        """As the API tells it."""
        return cls(
            delivered=trial.error is None,
            milliseconds=trial.milliseconds,
            facts=plain(trial.facts),
            error=FailureOut.of(trial.error) if trial.error else None,
            calls=[CallOut.of(call) for call in trial.calls],
        )


class StepModel(Model):
    """One step."""

    name: Text
    kind: Text = Field(description="`webhook`, `celery`, or an installed package's.")
    options: Options = Field(default_factory=dict)


class WorkflowOut(Model):
    """A workflow, told as handlers are."""

    name: str
    enabled: bool
    steps: list[StepModel]
    rules: list[str] = Field(description="Those that start it.")

    @classmethod
    def of(
        cls, workflow: WorkflowSpec, parts: Concord, me: Visitor, *, rules: Sequence[Rule] | None = None
    ) -> WorkflowOut:
        """As the API tells it; `rules` where all are known already."""
        name, whole = workflow.name, me.may(Permission.CONFIGURE)
        using = workflows.users_of(parts, name) if rules is None else [rule for rule in rules if name in rule.workflows]
        steps = [
            StepModel.model_construct(
                name=step.name, kind=step.kind, options=shown(step.kind, step.options, with_url=whole)
            )
            for step in workflow.steps
        ]
        return cls.model_construct(
            name=name, enabled=workflow.enabled, steps=steps, rules=[rule.name for rule in using]
        )


class WorkflowChange(Model):
    """The workflow as it is to be."""

    steps: list[StepModel] = Field(max_length=200, description="In order; the names differ.")
    enabled: bool = True

    def document(self, name: str) -> Mapping[str, Any]:
        """Its written form."""
        return {"name": name, "enabled": self.enabled, "steps": [step.model_dump() for step in self.steps]}


class WorkflowIn(WorkflowChange):
    """A new workflow."""

    name: Text
