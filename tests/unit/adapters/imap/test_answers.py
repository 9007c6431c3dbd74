"""What a server's refusal means, however it is worded."""

from __future__ import annotations

import pytest

from concord.adapters.imap.answers import Answer


@pytest.mark.parametrize(
    ("said", "code", "text"),
    [
        (b"[NONEXISTENT] No such folder", "NONEXISTENT", "[NONEXISTENT] No such folder"),
        (Exception(b"[LIMIT] slow down"), "LIMIT", "[LIMIT] slow down"),
        (Exception("b'[IN-USE] wait'"), "IN-USE", "[IN-USE] wait"),
        ("select failed: [BADCHARSET (UTF-8)] no", "BADCHARSET", "select failed: [BADCHARSET (UTF-8)] no"),
        ("no code at all", "", "no code at all"),
        (b"\x1b[31mred\r\n", "", "[31mred"),
        (Exception(), "", ""),
    ],
)
def test_the_response_code_is_found(said: object, code: str, text: str) -> None:
    """RFC 5530."""
    answer = Answer.read(said)

    assert (answer.code, answer.text) == (code, text)


def test_what_is_hidden_shows_nowhere() -> None:
    """A3."""
    answer = Answer.read("no hunter2, not even hunter22", hide=("hunter2", "hunter22", ""))

    assert answer.text == "no [hidden], not even [hidden]"


def test_an_endless_answer_is_cut() -> None:
    assert len(Answer.read("x" * 100_000).text) == 300


@pytest.mark.parametrize("said", ["[AUTHENTICATIONFAILED] too many failures, try again later", "[EXPIRED] temporary"])
def test_a_clear_denial_is_no_throttling(said: str) -> None:
    """A5: whoever is denied must stop hammering, whatever else the server suggests."""
    answer = Answer.read(said)

    assert answer.is_denial
    assert not answer.is_throttling


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("Suggested Backoff Time: 12345", 12.345),
        ("Request is throttled. Suggested Backoff Time: 299961 milliseconds", 299.961),
        ("try again later", None),
    ],
)
def test_the_suggested_back_off_is_read(said: str, seconds: float | None) -> None:
    """Trap 15."""
    assert Answer.read(said).retry_after == seconds


def test_a_full_mailbox_is_not_a_full_line() -> None:
    """Google says OVERQUOTA for both."""
    assert Answer.read("[OVERQUOTA] Quota exceeded").is_quota
    assert not Answer.read("[OVERQUOTA] Account exceeded command or bandwidth limits.").is_quota


@pytest.mark.parametrize("milliseconds", ["1000000000000000", "9" * 250])
def test_a_back_off_without_end_is_bounded(milliseconds: str) -> None:
    """A server must not keep a mailbox away for years."""
    asked = Answer.read(f"Request is throttled. Suggested Backoff Time: {milliseconds} milliseconds").retry_after

    assert asked == 6 * 3600


@pytest.mark.parametrize(
    "said",
    [
        # Gmail
        "[ALERT] Too many simultaneous connections. (Failure)",
        "[OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)",
        "[UNAVAILABLE] Temporary System Error",
        "System Error (Failure)",
        # Microsoft 365
        "User is authenticated but not connected.",
        "Request is throttled. Suggested Backoff Time: 1000 milliseconds",
        "Server Unavailable. 15",
        # Yahoo
        "[LIMIT] UID FETCH Rate limit hit",
        "[INUSE] UID FETCH Mailbox in use",
        "UID FETCH Server error - Please try again later",
        # QQ
        "System busy!",
        "Login fail. System is busy",
        # 163
        "LOGIN login frequency limited",
        "Too many connections",
    ],
)
def test_each_provider_says_come_back_later_in_its_own_words(said: str) -> None:
    """A5."""
    assert Answer.read(said).is_throttling


@pytest.mark.parametrize(
    "said",
    [
        "Login fail. Account is abnormal, service is not open, password is incorrect, login frequency limited, or ..",
        "LOGIN Login error or password error",
        "[WEBALERT https://accounts.google.com/signin/continue] Web login required.",
        "[ALERT] Invalid credentials (Failure)",
    ],
)
def test_a_refused_password_is_no_throttling(said: str) -> None:
    """QQ names every reason it has in one sentence: the password is the one a person can do something about."""
    assert not Answer.read(said).is_throttling
