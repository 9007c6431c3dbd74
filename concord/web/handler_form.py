"""A handler as the fields of a form, and back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from concord.errors import Mistake
from concord.handlers.registry import takes_secret
from concord.model.rule import HandlerSpec
from concord.pipeline.book_document import handler_to_document
from concord.services import handler_secrets
from concord.web.forms import Posted
from concord.web.options_form import field_of, fields_of, options_by, texts_of, words

SIGNING: Final = ("new", "own", "none")
# All that a mistake can stand beside.
_PLACES: Final = ("name", "secret")


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlerGiven:
    """What stands in the form; never a secret."""

    kind: str
    name: str = ""
    enabled: bool = True
    signing: str = "new"
    texts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """What a new handler is to sign with, or to know."""

    text: str | None = field(repr=False)
    made: bool = False  # here, and to be shown once


def given_by(form: Posted, kind: str) -> HandlerGiven:
    """As it was sent."""
    chosen = form.text("signing")
    return HandlerGiven(
        kind=kind,
        name=form.text("name"),
        enabled=form.has("enabled"),
        signing=chosen if chosen in SIGNING else "none",
        texts={name: form.text(name) for name in fields_of(kind)},
    )


def given_of(spec: HandlerSpec) -> HandlerGiven:
    """As a handler that is kept fills it."""
    return HandlerGiven(kind=spec.kind, name=spec.name, enabled=spec.enabled, texts=texts_of(spec.kind, spec.options))


def secret_by(form: Posted, given: HandlerGiven) -> Secret:
    """What the form says of one: made here, typed, or none."""
    typed = form.raw("secret").strip()
    if given.kind != "webhook":
        return Secret(text=typed if typed and takes_secret(given.kind) else None)
    if given.signing == "new":
        return Secret(text=handler_secrets.fresh(), made=True)
    return Secret(text=typed if given.signing == "own" else None)


def document_of(given: HandlerGiven) -> tuple[dict[str, Any], list[Mistake]]:
    """The written form of what the form says; and what says nothing that could be written."""
    options, mistakes = options_by(given.kind, given.texts)
    return {"name": given.name, "kind": given.kind, "options": options, "enabled": given.enabled}, mistakes


def told(mistakes: Iterable[Mistake], kind: str) -> tuple[dict[str, str], list[str]]:
    """What is wrong with each field, and what has no field of its own."""
    errors: dict[str, str] = {}
    others = []
    for mistake in mistakes:
        place = field_of(mistake.path)
        if place in (*_PLACES, *fields_of(kind)):
            errors.setdefault(place, words(mistake.error))
        else:
            others.append(words(mistake.error))
    return errors, others


def mark(spec: HandlerSpec) -> str:
    """Tells whether something was changed between showing a form and getting it back."""
    return hashlib.sha256(json.dumps(handler_to_document(spec), sort_keys=True).encode()).hexdigest()[:16]
