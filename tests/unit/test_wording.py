"""Sentences and remedies are tables: nothing that is raised lacks its words, and no words are left over."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import pytest

from concord.errors import ConcordError, HandlerError, MailboxDeniedError, MailboxDownError, NotFoundError, UsageError
from concord.wording import commands, english, pages, sentences, shared
from concord.wording.lookup import FOR_COMMANDS, FOR_PAGES, Texts, holes, remedy_of, sentence_of
from tests.raised import Raised, raised

WORDS = re.compile(r"[a-z0-9_]+(\.[a-z0-9_]+)*")
TABLES: Mapping[str, Texts] = {
    "sentences": sentences.SENTENCES,
    "shared": shared.REMEDIES,
    "commands": commands.REMEDIES,
    "pages": pages.REMEDIES,
}


def beginnings(situation: str) -> Iterator[str]:
    """The situation and all that it falls back to."""
    while situation:
        yield situation
        situation = situation.rpartition(".")[0]


def named(one: Raised) -> set[str]:
    """All situations that one place may raise."""
    known = {name for table in TABLES.values() for name in table}
    return {*one.situations, *(name for name in known for family in one.families if name.startswith(family))}


def texts_of(situation: str, table: Texts) -> tuple[str, ...]:
    found = next((table[name] for name in beginnings(situation) if name in table), "")
    return (found,) if isinstance(found, str) else found


def test_every_place_that_raises_names_its_situation_by_words() -> None:
    assert [one.place for one in raised() if not one.is_known] == []
    strange = [(one.place, word) for one in raised() for word in one.situations if not WORDS.fullmatch(word)]
    assert strange == []


def test_every_situation_has_its_sentence() -> None:
    assert {name for one in raised() for name in named(one) if sentence_of(name) is None} == set()


@pytest.mark.parametrize("table", [FOR_COMMANDS, FOR_PAGES], ids=["commands", "pages"])
def test_every_situation_has_its_remedy_or_says_that_there_is_none(table: Texts) -> None:
    lacking = {name for one in raised() for name in named(one) if not any(word in table for word in beginnings(name))}

    assert lacking == set()


@pytest.mark.parametrize("name", TABLES)
def test_no_words_are_left_over(name: str) -> None:
    used = {word for one in raised() for situation in named(one) for word in beginnings(situation)}

    assert [word for word in TABLES[name] if word not in used] == []


def test_commands_and_pages_differ_about_the_same_situations() -> None:
    assert set(commands.REMEDIES) == set(pages.REMEDIES)
    assert set(commands.REMEDIES) & set(shared.REMEDIES) == set()


def test_remedies_of_pages_name_no_option_of_a_command() -> None:
    texts = [text for name in pages.REMEDIES for text in texts_of(name, pages.REMEDIES)]

    assert [text for text in texts if re.search(r"'concord |(^|[ (])--[a-z]", text)] == []


def test_remedies_for_a_shell_name_no_page() -> None:
    texts = [text for name in commands.REMEDIES for text in texts_of(name, commands.REMEDIES)]

    assert [text for text in texts if "/admin" in text] == []


def test_every_hole_is_filled_by_the_facts_of_its_places() -> None:
    """A remedy may have several texts: the last one needs no more than every place gives, or there is none for it."""
    empty = [
        (one.place, hole)
        for one in raised()
        if not one.is_open
        for situation in one.situations
        for hole in holes(sentence_of(situation) or "")
        if hole not in one.facts
    ]
    assert empty == []
    for table in (FOR_COMMANDS, FOR_PAGES):
        for one in raised():
            for situation in one.situations:
                texts = texts_of(situation, table)
                fits = one.is_open or len(texts) > 1 or set(holes(texts[0])) <= one.facts
                assert fits, (one.place, situation, texts)


def test_holes_are_facts_that_somebody_gives() -> None:
    given = {fact for one in raised() for fact in one.facts} | {"account", "kind", "option"}
    wanted = {
        hole for table in TABLES.values() for name in table for text in texts_of(name, table) for hole in holes(text)
    }

    assert wanted <= given


def test_no_error_has_a_sentence_of_its_own() -> None:
    """Beside its class and its facts there is nothing to say."""
    assert str(MailboxDeniedError("login")) == sentences.SENTENCES["mailbox_denied.login"]
    assert not hasattr(ConcordError("x"), "message")


def test_situation_falls_back_to_its_family() -> None:
    error = MailboxDeniedError("login.gmail", account="bob")

    assert (error.code, error.situation) == ("mailbox_denied", "mailbox_denied.login.gmail")
    assert english.sentence(error) == "The IMAP server refused the login"
    assert english.remedy(error).endswith("concord account edit bob --password-stdin")
    assert english.remedy(MailboxDeniedError("login.nobody")) == english.remedy(MailboxDeniedError())


def test_first_remedy_whose_facts_are_known_is_taken() -> None:
    assert english.remedy(NotFoundError("handler", handler="crn", near="crm")) == "Did you mean 'crm'?"
    assert english.remedy(NotFoundError("handler", handler="x")) == "See them with 'concord handler list'"


def test_remedy_whose_facts_are_lost_falls_back_too() -> None:
    """A row keeps no more facts than fit."""
    assert english.remedy(MailboxDeniedError("login.gmail")) == english.remedy(MailboxDeniedError())


def test_value_is_never_a_format() -> None:
    error = NotFoundError("handler", handler="x", near="%(handler)s {0.__class__} %d")

    assert english.remedy(error) == "Did you mean '%(handler)s {0.__class__} %d'?"


def test_situation_of_another_family_keeps_its_words() -> None:
    error = UsageError("option_missing", kind="webhook", option="url").recast(HandlerError, handler="crm")

    assert (error.code, error.situation) == ("handler", "usage.option_missing")
    assert str(error) == "An option is missing"
    assert error.facts == {"handler": "crm", "kind": "webhook", "option": "url"}


def test_error_within_an_error_is_said_in_words() -> None:
    inner = MailboxDownError("cut", host="h")
    error = UsageError("value", cause=inner)

    assert english.explain(error).startswith(
        "This value cannot be used (cause=The connection to the IMAP server was cut"
    )
    assert english.value("mailbox_down.cut") == "The connection to the IMAP server was cut"


def test_fact_that_is_not_known_is_none() -> None:
    error = HandlerError("not_accepted", host=None, status=503, retry_after=float("nan"), where=("a", 1))

    assert error.facts == {"status": 503, "retry_after": "nan", "where": ["a", 1]}


def test_unknown_situation_is_shown_by_its_word() -> None:
    assert english.sentence(ConcordError("new.word")) == "concord.new.word"
    assert remedy_of("nobody.knows", {}, FOR_PAGES) == ""
