"""Errors in English, for a shell, logs, the API and tracebacks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from concord.wording.lookup import FOR_COMMANDS, Failure, filled, remedy_of, sentence_of, shown_facts

# What a fact looks like that is another error's situation.
SITUATION: Final = re.compile(r"[a-z_]+(?:\.[a-z_]+)+")


def sentence(failure: Failure) -> str:
    """What happened; the situation itself where nobody knows it."""
    text = sentence_of(failure.situation)
    return failure.situation if text is None else filled(text, failure.facts)


def remedy(failure: Failure) -> str:
    """What to do about it; empty where nothing is to be done."""
    return filled(remedy_of(failure.situation, failure.facts, FOR_COMMANDS), failure.facts)


def facts(failure: Failure) -> dict[str, str]:
    """The facts that stand beside the sentence, as text."""
    return {name: value(one) for name, one in shown_facts(failure).items()}


def value(fact: object) -> str:
    """One fact as text. An error within an error, or its situation, is said in words."""
    if isinstance(fact, Mapping):
        return explain(Inner(fact))
    if isinstance(fact, list):
        return ", ".join(value(one) for one in fact)
    text = str(fact)
    return (sentence_of(text) or text) if SITUATION.fullmatch(text) else text


def explain(failure: Failure) -> str:
    """The whole story in one line: sentence, facts, remedy."""
    beside = ", ".join(f"{name}={one}" for name, one in facts(failure).items())
    story = f"{sentence(failure)} ({beside})" if beside else sentence(failure)
    todo = remedy(failure)
    return f"{story}. {todo}" if todo else story


class Inner:
    """An error that is a fact of another one."""

    def __init__(self, written: Mapping[object, object]) -> None:
        inner = written.get("facts")
        self.situation = str(written.get("code", ""))
        self.facts = {str(name): one for name, one in inner.items()} if isinstance(inner, Mapping) else {}
