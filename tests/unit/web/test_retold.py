"""Errors that were written down are read in the reader's language (U8)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from concord.errors import ConcordError, MailboxDeniedError, TokenRefusedError
from concord.web.i18n import gettext, speak
from concord.web.language import Language
from concord.web.retold import retold


@pytest.fixture(autouse=True)
def chinese() -> Iterator[None]:
    speak(Language.CHINESE)
    yield
    speak(Language.ENGLISH)


DENIED = MailboxDeniedError(
    "The IMAP server refused the login", answer="[AUTHENTICATIONFAILED] No (really). Go away, a=b", host="localhost"
)


def test_sentence_names_of_facts_and_remedy_are_translated_and_what_a_server_said_is_not() -> None:
    said = retold(DENIED.explain())

    assert gettext(DENIED.message) in said
    assert gettext(DENIED.message) != DENIED.message
    assert gettext(DENIED.advice) in said
    assert "[AUTHENTICATIONFAILED] No (really). Go away" in said
    assert "localhost" in said
    assert "host=" not in said


def test_cause_of_ours_is_translated() -> None:
    error = TokenRefusedError("The provider gives no token", cause="the sign-in has expired or was taken back")

    assert gettext("the sign-in has expired or was taken back") in retold(error.explain())
    assert "taken back" not in retold(error.explain())


def test_error_without_facts_is_translated() -> None:
    error = MailboxDeniedError("The IMAP server refused the login")

    assert retold(error.explain()).startswith(gettext(error.message))
    assert error.advice not in retold(error.explain())


def test_remedy_of_unknown_origin_stays() -> None:
    error = ConcordError("The IMAP server refused the login", host="h", remedy="Ask Bob (he knows)")

    assert retold(error.explain()).endswith("Ask Bob (he knows)")


@pytest.mark.parametrize("line", ["", "Nobody says this", "Nobody (says=this). Ever", "(", "a (b=c", "x (" * 5000])
def test_line_that_is_none_of_ours_stays_as_it_is(line: str) -> None:
    assert retold(line) == line


def test_nothing_is_nothing() -> None:
    assert retold(None) == ""


def test_in_english_it_is_what_was_written() -> None:
    speak(Language.ENGLISH)

    assert retold(DENIED.explain()) == DENIED.explain()
