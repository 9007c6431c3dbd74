"""What a refused command says of folder, mailbox, server and session: by its response code (RFC 5530), not by guess."""

from __future__ import annotations

from typing import Any

import pytest

from concord.adapters.imap.errors import login_refused, refused
from concord.errors import (
    MailboxDeniedError,
    MailboxDownError,
    MailboxError,
    MailboxFolderError,
    MailboxQuotaError,
    MailboxServerError,
    MailboxThrottledError,
)
from concord.wording import english

FACTS: dict[str, Any] = {"account": "a", "host": "mail.example", "port": 993, "folder": "Sales"}


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("select failed: [NONEXISTENT] Unknown Mailbox", MailboxFolderError),
        ("select failed: [NOPERM] Access denied", MailboxFolderError),
        ("select failed: [TRYCREATE] no", MailboxFolderError),
        ("select failed: [CANNOT] Invalid mailbox name", MailboxFolderError),
        ("select failed: [ALERT] no such folder", MailboxFolderError),
        ("select failed: Mailbox doesn't exist: Sales", MailboxFolderError),
        ("select failed: [SERVERBUG] Internal error occurred", MailboxServerError),
        ("select failed: [CORRUPTION] Index is broken", MailboxServerError),
        ("select failed: [CLIENTBUG] You did it", MailboxServerError),
        ("select failed: [CONTACTADMIN] Ask the admin", MailboxServerError),
        ("select failed: [X-UNHEARD-OF] hm", MailboxServerError),
        ("EXAMINE command error: BAD [b'Command Argument Error. 11']", MailboxServerError),
        ("select failed: [UNAVAILABLE] back-end is away", MailboxThrottledError),
        ("select failed: [INUSE] locked", MailboxThrottledError),
        ("select failed: [OVERQUOTA] full", MailboxQuotaError),
        ("select failed: [EXPIRED] the token has expired", MailboxDownError),
        ("select failed: [AUTHENTICATIONFAILED] log in again", MailboxDownError),
    ],
)
def test_only_a_folder_that_is_missing_is_told_as_missing(said: str, kind: type[MailboxError]) -> None:
    """A5: `NO [SERVERBUG]` is no missing folder."""
    failure = refused(Exception(said), FACTS, names_folder=True)

    assert type(failure) is kind
    assert english.remedy(failure)
    assert failure.facts["folder"] == "Sales"


@pytest.mark.parametrize(
    "said", ["SEARCH failed: no", "STORE failed: [NOPERM] read only", "SEARCH failed: [SERVERBUG] no"]
)
def test_a_command_that_names_no_folder_blames_none(said: str) -> None:
    assert type(refused(Exception(said), FACTS, names_folder=False)) is MailboxServerError


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("[SERVERBUG] Internal error", MailboxServerError),
        ("[CORRUPTION] user database", MailboxServerError),
        ("[UNAVAILABLE] no back-end", MailboxThrottledError),
        ("[AUTHENTICATIONFAILED] wrong", MailboxDeniedError),
        ("[EXPIRED] change the password", MailboxDeniedError),
        ("[CONTACTADMIN] locked", MailboxDeniedError),
        ("[NOPERM] no", MailboxDeniedError),
        ("LOGIN failed.", MailboxDeniedError),
    ],
)
def test_a_login_that_fails_by_the_servers_fault_is_no_denial(said: str, kind: type[MailboxError]) -> None:
    facts = {name: value for name, value in FACTS.items() if name != "folder"}

    assert type(login_refused(Exception(said), facts, hide=())) is kind


def test_an_unsafe_login_is_told_with_the_providers_remedy() -> None:
    """NetEase opens no folder to a login it does not trust; the folders are all there."""
    failure = refused(
        Exception("select failed: SELECT Unsafe Login. Please contact kefu@188.com"), FACTS, names_folder=True
    )

    assert type(failure) is MailboxDeniedError
    assert "NetEase" in english.remedy(failure)
