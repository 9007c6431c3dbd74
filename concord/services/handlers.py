"""Handlers: where events go. Their secrets are sealed here and shown nowhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, uuid4

from concord.auditing import audited
from concord.errors import (
    ConcordError,
    ConflictError,
    ExistsError,
    Mistake,
    NotFoundError,
    QueueDownError,
    SecretKeyError,
    UsageError,
    nearest,
)
from concord.handlers import Handlers, WorkflowSteps, reach
from concord.handlers.showing import HIDDEN, restored, shown
from concord.handlers.trial import Trial, attempt
from concord.model.binding import of_handler
from concord.model.caller import Caller
from concord.model.fault import dump
from concord.model.rule import HandlerSpec, Rule, WorkflowStepSpec
from concord.pipeline.book_document import handler_to_document, read_handler
from concord.pipeline.dispatch import BUILT_IN
from concord.pipeline.event import preview
from concord.ports import Consignment, Vault
from concord.services.differences import differing

if TYPE_CHECKING:
    from concord.bootstrap import Concord

# Deliveries that go on at once when their handler is enabled; the sweep takes the others along.
_AT_ONCE: Final = 2000
_SAMPLE: Final = (
    b"From: Concord <concord@example.com>\r\nTo: you@example.com\r\nSubject: A sample event from Concord\r\n"
    b"Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nMessage-ID: <sample@example.com>\r\n\r\n"
    b"This is a sample: no mail arrived.\r\n"
)


class HandlerChecks:
    """What the handlers themselves say about their options. Keeps `pipeline.apply.Checks`."""

    def handler(self, handler: HandlerSpec, secret: str | None) -> None:
        """Raises UsageError, which names the handler."""
        try:
            Handlers.check(handler.kind, handler.options, has_secret=bool(handler.secret or secret))
            if secret is not None:
                Handlers.check_secret(handler.kind, secret)
        except ConcordError as error:
            raise error.recast(UsageError, handler=handler.name) from error

    def step(self, step: WorkflowStepSpec) -> None:
        """Raises UsageError, which names the step."""
        try:
            WorkflowSteps.check(step.kind, step.options)
        except ConcordError as error:
            raise error.recast(UsageError, step=step.name) from error


def specs(parts: Concord) -> list[HandlerSpec]:
    """Built-in ones first, unless one of the same name is configured."""
    return list(({**BUILT_IN} | {spec.name: spec for spec in parts.rulebook.handlers()}).values())


def find(parts: Concord, name: str) -> HandlerSpec:
    """Raises NotFoundError."""
    known = {spec.name: spec for spec in specs(parts)}
    if name not in known:
        raise NotFoundError("handler", handler=name, near=nearest(name, known))
    return known[name]


def read_form(
    parts: Concord, document: Mapping[str, Any], *, secret: str | None = None, before: HandlerSpec | None = None
) -> tuple[HandlerSpec, list[Mistake]]:
    """A handler as a form says it, and every mistake with its field; a URL that must not be called is one, too.

    `secret` is a new one; without it, that of `before` stays, as do values of headers that were not shown.
    """
    spec, mistakes = read_handler(document)
    spec = replace(spec, secret=before.secret) if before else spec
    options, hidden = revealed(spec.kind, spec.options, before.options if before else {})
    spec = replace(spec, options=options)
    mistakes += hidden
    if spec.kind:
        mistakes += Handlers.mistakes(spec.kind, spec.options, has_secret=bool(spec.secret or secret))
    if secret is not None and not any(one.path == ("secret",) for one in mistakes):
        try:
            Handlers.check_secret(spec.kind, secret)
        except UsageError as error:
            mistakes.append(Mistake(("secret",), error))
    unread = any(one.path[:2] == ("options", "url") for one in mistakes)
    refused = None if unread else reach.refusal(spec.kind, spec.options, parts.tools)
    if refused:
        mistakes.append(Mistake(("options", "url"), refused.recast(UsageError)))
    return spec, mistakes


def revealed(kind: str, options: Mapping[str, Any], kept: Mapping[str, Any]) -> tuple[Mapping[str, Any], list[Mistake]]:
    """Options with what a form did not show put back; else without it, and what is wrong."""
    try:
        return restored(kind, options, kept), []
    except UsageError as error:
        shown_ones = {name: value for name, value in options["headers"].items() if value != HIDDEN}
        return {**options, "headers": shown_ones}, [Mistake(("options", "headers"), error)]


def prepared(parts: Concord, spec: HandlerSpec, *, replacing: bool = False) -> HandlerSpec:
    """The handler as it would be kept: checked, with the secret of the one it takes the place of.

    Raises UsageError, and ExistsError where one of that name must not be replaced.
    """
    known = {one.name: one for one in parts.rulebook.handlers()}
    if spec.name in known and not replacing:
        raise ExistsError("handler", handler=spec.name)
    spec = replace(spec, secret=known[spec.name].secret) if spec.name in known else spec
    HandlerChecks().handler(spec, None)
    if refused := reach.refusal(spec.kind, spec.options, parts.tools):
        raise refused.recast(UsageError, handler=spec.name)
    return spec


def save(
    parts: Concord, spec: HandlerSpec, *, secret: str | None = None, replacing: bool = False, by: Caller
) -> HandlerSpec:
    """Keep a new one, or in place of the one of that name; without a secret, that one's stays.

    Raises UsageError, ExistsError, SecretKeyError.
    """
    spec = prepared(parts, spec, replacing=replacing)
    if secret is not None:
        HandlerChecks().handler(spec, secret)
    before = next((one for one in parts.rulebook.handlers() if one.name == spec.name), None)
    detail = _differing(before, spec, *(() if secret is None else ("secret",)))
    with audited(parts.audit, by, "handler.edit" if before else "handler.add", spec.name, detail=detail):
        if secret is not None:
            spec = replace(spec, secret=parts.sealing().seal(secret, of_handler(spec)))
        elif before and before.secret:
            spec = replace(spec, secret=rebound(parts.sealing(), before, spec))
        spec = parts.rulebook.save_handler(spec)
    _let_go(parts, spec)
    return spec


def rebound(vault: Vault, before: HandlerSpec, after: HandlerSpec) -> bytes:
    """Seal the kept secret for the changed handler; return it unchanged where it does not open."""
    there, here = of_handler(before), of_handler(after)
    try:
        if there == here:
            return vault.reseal(before.secret, here)
        return vault.seal(vault.unseal(before.secret, there), here)
    except SecretKeyError:
        return before.secret


def switch(parts: Concord, name: str, *, enabled: bool, by: Caller) -> HandlerSpec:
    """Send it events from now on, or not any more: its deliveries then wait. Raises NotFoundError."""
    with audited(parts.audit, by, "handler.enable" if enabled else "handler.disable", name):
        spec = parts.rulebook.save_handler(replace(find(parts, name), enabled=enabled))
    _let_go(parts, spec)
    return spec


def _let_go(parts: Concord, spec: HandlerSpec) -> None:
    """What was held for it goes on at once. What cannot be queued now, or is too much, the sweep queues."""
    if spec.enabled:
        with suppress(QueueDownError):
            parts.queue.deliver(parts.outbox.unhold([spec.name], limit=_AT_ONCE))


def waiting_for(parts: Concord, name: str) -> int:
    """How many deliveries wait for it."""
    return parts.outbox.waiting_for(name)


def users_of(parts: Concord, name: str) -> list[Rule]:
    """The rules that name it."""
    return [rule for rule in parts.rulebook.rules() if name in rule.handlers]


def remove(parts: Concord, name: str, *, by: Caller) -> int:
    """Forget it; how many deliveries go on waiting, for a handler of that name to come back.

    Raises NotFoundError, and ConflictError where rules name it.
    """
    with audited(parts.audit, by, "handler.remove", name):
        find(parts, name)
        if users := users_of(parts, name):
            raise ConflictError("handler_used", handler=name, rules=", ".join(rule.name for rule in users))
        if not any(one.name == name for one in parts.rulebook.handlers()):
            raise ConflictError("handler_built_in", handler=name)
        parts.rulebook.remove_handler(name)
    return waiting_for(parts, name)


def try_out(parts: Concord, name: str, *, event: UUID | None = None, by: Caller) -> Trial:
    """Send it an archived event, or a sample, now, in this process; what came of it.

    Raises NotFoundError, and what reading the event from the archive raises.
    """
    return try_draft(parts, find(parts, name), event=event, by=by)


def try_draft(
    parts: Concord, spec: HandlerSpec, *, secret: str | None = None, event: UUID | None = None, by: Caller
) -> Trial:
    """The same with one that need not be kept. Raises SecretKeyError too."""
    detail = f"event {event}" if event else "a sample"
    with audited(parts.audit, by, "handler.test", spec.name or spec.kind, detail=detail) as note:
        spec = replace(spec, secret=_secret_of_draft(parts, spec, secret))
        document = _document(parts, event) if event else _sample()
        consignment = Consignment(id=str(uuid4()), event=json.loads(document), document=document)
        trial = attempt(spec, consignment, parts.tools)
        if trial.error:
            note.failed(dump(trial.error))
        return trial


def _secret_of_draft(parts: Concord, spec: HandlerSpec, secret: str | None) -> bytes:
    """Sealed for where the draft would send it."""
    if secret is not None:
        return parts.sealing().seal(secret, of_handler(spec))
    return rebound(parts.sealing(), find(parts, spec.name), spec) if spec.secret else b""


def _document(parts: Concord, event: UUID) -> bytes:
    row = parts.outbox.event(event)
    return parts.documents.read(row.id, row.message_id, row.archive_key)


def _sample() -> bytes:
    return json.dumps(preview(_SAMPLE), ensure_ascii=False, separators=(",", ":")).encode()


def _differing(before: HandlerSpec | None, after: HandlerSpec, *others: str) -> str:
    """For the audit: URLs without what may be a token, headers by name."""
    told = differing(_shown(before) if before else {}, _shown(after), *others)
    if before and before.options != after.options and "options:" not in told:
        told = "; ".join(filter(None, [told, "options"]))
    return told


def _shown(spec: HandlerSpec) -> dict[str, Any]:
    return {**handler_to_document(spec), "options": shown(spec.kind, spec.options)}
