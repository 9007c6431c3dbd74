"""Errors in the language of the request: what a page, or the API, says of one that is raised, or kept in a row."""

from __future__ import annotations

from collections.abc import Mapping

from concord.log.hiding import without_logins
from concord.model.fault import Fault
from concord.web.i18n import N_, gettext
from concord.wording.english import SITUATION, Inner
from concord.wording.lookup import FOR_COMMANDS, FOR_PAGES, Told, filled, remedy_of, sentence_of, shown_facts
from concord.wording.template import fill


def sentence(told: Told) -> str:
    """What happened; the situation itself where nobody knows it."""
    text = sentence_of(told.situation)
    return told.situation if text is None else filled(gettext(text), told.facts)


def remedy(told: Told) -> str:
    """What to do about it on a page; empty where nothing is to be done."""
    return filled(gettext(remedy_of(told.situation, told.facts, FOR_PAGES)), told.facts)


def remedy_for_programs(told: Told) -> str:
    """What to do about it, as the API says it: whoever reads that has a shell."""
    return filled(gettext(remedy_of(told.situation, told.facts, FOR_COMMANDS)), told.facts)


def facts_of(told: Told) -> dict[str, str]:
    """The facts that stand beside the sentence: never an address with its login."""
    return {name: without_logins(value(one)) for name, one in shown_facts(told).items()}


def value(fact: object) -> str:
    """One fact as text. An error within an error, or its situation, is said in words."""
    if isinstance(fact, Mapping):
        return explain(Inner(fact))
    if isinstance(fact, list):
        return ", ".join(value(one) for one in fact)
    text = str(fact)
    known = sentence_of(text) if SITUATION.fullmatch(text) else None
    return text if known is None else gettext(known)


def explain(told: Told) -> str:
    """Sentence, facts and remedy in one line."""
    words = {"sentence": sentence(told), "facts": _facts(told), "remedy": remedy(told)}
    if words["facts"] and words["remedy"]:
        return gettext(N_("%(sentence)s (%(facts)s). %(remedy)s")) % words
    if words["facts"]:
        return gettext(N_("%(sentence)s (%(facts)s)")) % words
    return gettext(N_("%(sentence)s. %(remedy)s")) % words if words["remedy"] else words["sentence"]


def error_text(stored: str | None) -> str:
    """An error as a row keeps it; what an older version wrote there stays as it is."""
    fault = Fault.parse(stored)
    return gettext(stored) if stored and fault is None else explain(fault) if fault else ""


def in_words(told: Told) -> str:
    """Sentence, cause and remedy in one line, as it stands beside a field of a form."""
    cause = gettext(value(told.facts["cause"])) if told.facts.get("cause") else ""
    todo = remedy(told)
    words = {"sentence": sentence(told), "cause": cause, "remedy": todo}
    if cause:
        text = N_("%(sentence)s: %(cause)s. %(remedy)s.") if todo else N_("%(sentence)s: %(cause)s.")
        return fill(gettext(text), words)
    return gettext(N_("%(sentence)s. %(remedy)s.")) % words if todo else words["sentence"]


def _facts(told: Told) -> str:
    return gettext(N_(", ")).join(
        gettext(N_("%(name)s: %(value)s")) % {"name": gettext(name.replace("_", " ")), "value": gettext(one)}
        for name, one in facts_of(told).items()
    )
