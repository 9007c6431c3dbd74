"""The kinds of workflow steps: a call to a URL, a Celery task, or a function that another package brings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from concord.errors import HandlerError, HandlerRefusedError, Mistake, UsageError, nearest
from concord.handlers import plugins
from concord.handlers.address import address_of
from concord.handlers.body import fit
from concord.handlers.celery_task import CeleryOptions, send
from concord.handlers.endpoint import Answer, Endpoint
from concord.handlers.options import Options, option_mistakes, read
from concord.handlers.tools import HandlerTools
from concord.handlers.webhook import WebhookOptions, judge, signed
from concord.ports import StepHandler

Document = Mapping[str, Any]
Outputs = Mapping[str, Mapping[str, Any]]

_OPTIONS: Final[Mapping[str, type[Options]]] = {"webhook": WebhookOptions, "celery": CeleryOptions}


class WorkflowSteps:
    """Finds the code for a kind of step."""

    def __init__(self, tools: HandlerTools) -> None:
        own = (WebhookStep(tools), CeleryStep(tools))
        self._own: dict[str, StepHandler] = {step.kind: step for step in own}

    @staticmethod
    def kinds() -> tuple[str, ...]:
        """All that a workflow can be made of."""
        brought = (name for name in plugins.names(plugins.WORKFLOWS) if name not in _OPTIONS)
        return (*_OPTIONS, *brought)

    def get(self, kind: str) -> StepHandler:
        """Raises HandlerRefusedError for an unknown kind or a broken package."""
        if kind in self._own:
            return self._own[kind]
        if kind in self.kinds():
            return FunctionStep(kind, plugins.load_step(kind))
        raise HandlerRefusedError("step_kind", kind=kind, **_kinds(kind, self.kinds()))

    @classmethod
    def check(cls, kind: str, options: Mapping[str, Any]) -> None:
        """Refuse what cannot be used before it is kept. Raises UsageError; HandlerRefusedError for a broken package."""
        if kind not in cls.kinds():
            raise UsageError("step_kind", kind=kind, **_kinds(kind, cls.kinds()))
        if kind in _OPTIONS:
            read(_OPTIONS[kind], options, kind=kind)
        else:
            plugins.check(plugins.WORKFLOWS, kind)

    @classmethod
    def mistakes(cls, kind: str, options: Mapping[str, Any]) -> list[Mistake]:
        """The same for a form: all at once, each with its place in the step's written form."""
        if kind in _OPTIONS:
            found = option_mistakes(_OPTIONS[kind], options, kind=kind)
            return [Mistake(("options", *one.path), one.error) for one in found]
        try:
            cls.check(kind, options)
        except (UsageError, HandlerRefusedError) as error:
            return [Mistake(("kind",), error.recast(UsageError))]
        return []


class WebhookStep:
    """Posts the event and the earlier steps' outputs; what the receiver answers in JSON is the step's output."""

    kind = "webhook"

    def __init__(self, tools: HandlerTools) -> None:
        self._tools = tools

    def run(self, event: Document, outputs: Outputs, options: Document, *, key: str) -> Mapping[str, object]:
        given = read(WebhookOptions, options, kind=self.kind)
        body = self._body(event, outputs)
        headers = signed(body, key, None, self._tools.clock)
        endpoint = Endpoint(self._tools, given.url, timeout=given.timeout)
        answer = endpoint.post(body, {**given.headers, "content-type": "application/json", **headers})
        judge(answer, self._tools.clock())
        return {"status": answer.status, "answer": _json(answer)}

    def _body(self, event: Document, outputs: Outputs) -> bytes:
        limit = self._tools.webhook.max_body_bytes
        around = len(_document({"event": {}, "outputs": outputs}))
        load = fit(event, _document(event), limit - around)
        return _document({"event": load.event, "outputs": outputs})


class CeleryStep:
    """Starts a task with the event and the earlier steps' outputs; it does not wait for the result."""

    kind = "celery"

    def __init__(self, tools: HandlerTools) -> None:
        self._tools = tools

    def run(self, event: Document, outputs: Outputs, options: Document, *, key: str) -> Mapping[str, object]:
        given = read(CeleryOptions, options, kind=self.kind)
        load = fit(event, _document(event), given.max_bytes)
        send(given, address_of(given.url, None), self._tools, [load.event, dict(outputs)], key)
        return {"task": given.task, "queue": given.queue, "task_id": key}


class FunctionStep:
    """Calls a function from another package with the event, the outputs so far and the step's options.

    Among the options is `idempotency_key`, the same at every try of one step.
    """

    def __init__(self, kind: str, function: plugins.StepFunction) -> None:
        self._kind = kind
        self._function = function

    def run(self, event: Document, outputs: Outputs, options: Document, *, key: str) -> Mapping[str, object]:
        output: object = self._function(event, outputs, {**options, "idempotency_key": key})
        if output is None:
            return {}
        if not isinstance(output, Mapping) or not _is_json(output):
            raise HandlerRefusedError(
                "step_answer", kind=self._kind, cause="a step answers with a mapping that JSON can hold, or None"
            )
        return output


def _document(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _json(answer: Answer) -> object:
    """What the receiver answered, where it is whole and JSON. HandlerError where it announced JSON and broke off."""
    if "json" not in answer.headers.get("content-type", ""):
        return None
    if not answer.whole:
        raise HandlerError("answer_length", host=answer.host, octets=len(answer.body))
    try:
        return json.loads(answer.body)
    except ValueError as error:
        raise HandlerError("answer_no_json", host=answer.host, cause=error) from error


def _is_json(output: Mapping[str, object]) -> bool:
    try:
        json.dumps(output)
    except (TypeError, ValueError):
        return False
    return True


def _kinds(kind: str, known: tuple[str, ...]) -> dict[str, str | None]:
    return {"near": nearest(kind, known), "known": ", ".join(known)}
