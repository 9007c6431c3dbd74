"""Errors in English, for a shell, logs, the API and tracebacks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from concord.wording.lookup import FOR_COMMANDS, Told, filled, remedy_of, sentence_of, shown_facts

# What a fact looks like that is another error's situation.
SITUATION: Final = re.compile(r"[a-z_]+(?:\.[a-z_]+)+")


def sentence(told: Told) -> str:
    """What happened; the situation itself where nobody knows it."""
    text = sentence_of(told.situation)
    return told.situation if text is None else filled(text, told.facts)


def remedy(told: Told) -> str:
    """What to do about it; empty where nothing is to be done."""
    return filled(remedy_of(told.situation, told.facts, FOR_COMMANDS), told.facts)


def facts(told: Told) -> dict[str, str]:
    """The facts that stand beside the sentence, as text."""
    return {name: value(one) for name, one in shown_facts(told).items()}


def value(fact: object) -> str:
    """One fact as text. An error within an error, or its situation, is said in words."""
    if isinstance(fact, Mapping):
        return explain(Inner(fact))
    if isinstance(fact, list):
        return ", ".join(value(one) for one in fact)
    text = str(fact)
    return (sentence_of(text) or text) if SITUATION.fullmatch(text) else text


def explain(told: Told) -> str:
    """The whole story in one line: sentence, facts, remedy."""
    beside = ", ".join(f"{name}={one}" for name, one in facts(told).items())
    story = f"{sentence(told)} ({beside})" if beside else sentence(told)
    todo = remedy(told)
    return f"{story}. {todo}" if todo else story


class Inner:
    """An error that is a fact of another one."""

    def __init__(self, written: Mapping[object, object]) -> None:
        inner = written.get("facts")
        self.situation = str(written.get("code", ""))
        self.facts = {str(name): one for name, one in inner.items()} if isinstance(inner, Mapping) else {}
