"""Errors in the language of the request: what a page, or the API, says of one that is raised, or kept in a row."""

from __future__ import annotations

from collections.abc import Mapping

from concord.log.hiding import without_logins
from concord.model.fault import Fault
from concord.web.i18n import N_, gettext
from concord.wording.english import SITUATION, Inner
from concord.wording.lookup import FOR_COMMANDS, FOR_PAGES, Failure, filled, remedy_of, sentence_of, shown_facts
from concord.wording.template import fill


def sentence(failure: Failure) -> str:
    """What happened; the situation itself where nobody knows it."""
    text = sentence_of(failure.situation)
    return failure.situation if text is None else filled(gettext(text), failure.facts)


def remedy(failure: Failure) -> str:
    """What to do about it on a page; empty where nothing is to be done."""
    return filled(gettext(remedy_of(failure.situation, failure.facts, FOR_PAGES)), failure.facts)


def remedy_for_programs(failure: Failure) -> str:
    """What to do about it, as the API says it: its readers have a shell."""
    return filled(gettext(remedy_of(failure.situation, failure.facts, FOR_COMMANDS)), failure.facts)


def facts_of(failure: Failure) -> dict[str, str]:
    """The facts that stand beside the sentence: never an address with its login."""
    return {name: without_logins(value(one)) for name, one in shown_facts(failure).items()}


def value(fact: object) -> str:
    """One fact as text. An error within an error, or its situation, is said in words."""
    if isinstance(fact, Mapping):
        return explain(Inner(fact))
    if isinstance(fact, list):
        return ", ".join(value(one) for one in fact)
    text = str(fact)
    known = sentence_of(text) if SITUATION.fullmatch(text) else None
    return text if known is None else gettext(known)


def explain(failure: Failure) -> str:
    """Sentence, facts and remedy in one line."""
    words = {"sentence": sentence(failure), "facts": _facts(failure), "remedy": remedy(failure)}
    if words["facts"] and words["remedy"]:
        return gettext(N_("%(sentence)s (%(facts)s). %(remedy)s")) % words
    if words["facts"]:
        return gettext(N_("%(sentence)s (%(facts)s)")) % words
    return gettext(N_("%(sentence)s. %(remedy)s")) % words if words["remedy"] else words["sentence"]


def error_text(stored: str | None) -> str:
    """An error as a row keeps it; what an older version wrote there stays as it is."""
    fault = Fault.parse(stored)
    return gettext(stored) if stored and fault is None else explain(fault) if fault else ""


def in_words(failure: Failure) -> str:
    """Sentence, cause and remedy in one line, as it stands beside a field of a form."""
    cause = gettext(value(failure.facts["cause"])) if failure.facts.get("cause") else ""
    todo = remedy(failure)
    words = {"sentence": sentence(failure), "cause": cause, "remedy": todo}
    if cause:
        text = N_("%(sentence)s: %(cause)s. %(remedy)s.") if todo else N_("%(sentence)s: %(cause)s.")
        return fill(gettext(text), words)
    return gettext(N_("%(sentence)s. %(remedy)s.")) % words if todo else words["sentence"]


def _facts(failure: Failure) -> str:
    return gettext(N_(", ")).join(
        gettext(N_("%(name)s: %(value)s")) % {"name": gettext(name.replace("_", " ")), "value": gettext(one)}
        for name, one in facts_of(failure).items()
    )
