"""Errors are read in the reader's language (U8)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from concord.errors import MailboxDeniedError, NotSyncedError, QueueDownError, TokenRefusedError
from concord.model.fault import dump, in_english
from concord.web import error_text
from concord.web.i18n import gettext, speak
from concord.web.language import Language
from concord.wording import english

DENIED = MailboxDeniedError("login", answer="[AUTHENTICATIONFAILED] No (really). Go away, a=b", host="localhost")


@pytest.fixture(autouse=True)
def chinese() -> Iterator[None]:
    speak(Language.CHINESE)
    yield
    speak(Language.ENGLISH)


def test_sentence_names_of_facts_and_remedy_are_translated_and_what_a_server_said_is_not() -> None:
    said = error_text.error_text(dump(DENIED))

    assert gettext("The IMAP server refused the login") in said
    assert "The IMAP server" not in said
    assert error_text.remedy(DENIED) in said
    assert "[AUTHENTICATIONFAILED] No (really). Go away, a=b" in said
    assert "localhost" in said
    assert "host" not in said.replace("localhost", "")


def test_page_names_what_a_page_can_do_and_the_api_a_command() -> None:
    speak(Language.ENGLISH)

    assert "on the mailbox's page" in error_text.remedy(DENIED)
    assert "concord account edit" in error_text.remedy_for_programs(DENIED)


def test_cause_of_ours_is_translated() -> None:
    error = TokenRefusedError("no_token.expired", cause="the sign-in has expired or was taken back")

    assert gettext("the sign-in has expired or was taken back") in error_text.error_text(dump(error))
    assert "taken back" not in error_text.error_text(dump(error))


def test_error_within_an_error_is_translated() -> None:
    said = error_text.error_text(dump(NotSyncedError(cause=QueueDownError("no_answer"))))

    assert gettext("Redis did not answer") in said
    assert "Redis did not answer" not in said


def test_error_without_facts_is_translated() -> None:
    assert error_text.error_text(dump(MailboxDeniedError("login"))).startswith(
        gettext("The IMAP server refused the login")
    )


@pytest.mark.parametrize("line", ["", "Nobody says this", "Nobody (says=this). Ever", "{", '{"code": '])
def test_line_that_is_none_of_ours_stays_as_it_is(line: str) -> None:
    assert error_text.error_text(line) == line


def test_nothing_is_nothing() -> None:
    assert error_text.error_text(None) == ""


def test_login_in_an_address_is_hidden() -> None:
    assert "s3cret" not in str(error_text.facts_of(QueueDownError("no_answer", cause="redis://me:s3cret@h/0")))


def test_in_english_a_shell_reads_commands() -> None:
    assert in_english(dump(DENIED)) == english.explain(DENIED)
