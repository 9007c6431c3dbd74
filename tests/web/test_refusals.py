"""Refusals leave lines in the log, few rows in the audit, and nothing that was typed as a name (issue 10, 10)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from concord.bootstrap import Concord
from concord.errors import SignInRefusedError
from concord.model.caller import Caller
from concord.model.user import Permission
from concord.refusals import Refusals
from tests.web_world import Browser, token_of

SECRET = "correct-horse-battery-typed-as-a-name"
FROM = Caller(actor="", via="admin", address="192.0.2.1")


def wrong_token(concord: Concord) -> None:
    Browser(concord).get("/api/v1/users/me", headers={"Authorization": f"Bearer {SECRET}"})


def missing_scope(concord: Concord) -> None:
    Browser(concord).get("/api/v1/users", headers=token_of(concord, "alice", Permission.READ))


def missing_role(concord: Concord) -> None:
    browser = Browser(concord)
    browser.sign_in("carol")
    browser.get("/admin/users")


def forged_form(concord: Concord) -> None:
    Browser(concord).post("/admin/login", data={"csrf": SECRET, "name": "alice", "password": SECRET})


def foreign_site(concord: Concord) -> None:
    Browser(concord).post("/admin/login", headers={"Origin": f"https://{SECRET}.example"})


def foreign_host(concord: Concord) -> None:
    Browser(concord).get("/admin", headers={"Host": f"{SECRET}.example"})


def two_lengths(concord: Concord) -> None:
    Browser(concord).post("/admin", headers={"Transfer-Encoding": "chunked", "Content-Length": "3"}, content=b"abc")


def sign_in(concord: Concord) -> None:
    Browser(concord).sign_in(SECRET, SECRET)


@pytest.mark.parametrize(
    "refused",
    [wrong_token, missing_scope, missing_role, forged_form, foreign_site, foreign_host, two_lengths, sign_in],
)
def test_refusal_leaves_a_line_without_what_was_sent(concord: Concord, refused: Callable[[Concord], None]) -> None:
    with capture_logs() as lines:
        refused(concord)

    (line,) = [one for one in lines if one["event"] == "request.refused"]
    assert (line["reason"], line["address"]) == (refused.__name__, "testclient")
    assert SECRET not in repr(lines)
    assert SECRET not in repr(concord.audit.entries())


def test_flood_of_refused_sign_ins_leaves_few_rows(concord: Concord) -> None:
    now = [datetime(2026, 1, 1, tzinfo=UTC)]
    refusals = Refusals(concord.audit, lambda: now[0])
    with capture_logs() as lines:
        for number in range(3_000):
            now[0] += timedelta(seconds=1)
            error = SignInRefusedError("wrong")
            refusals.sign_in(f"nobody{number}", None, error, by=FROM)
            refusals.sign_in("bob", "bob", error, by=FROM)

    rows = concord.audit.entries()
    assert len(rows) <= 2 * (10 + 6)
    assert {one.subject for one in rows if one.subject == "bob"}, "a user's own rows are not crowded out"
    assert "more_in_the_log" in rows[0].detail
    assert len([one for one in lines if one["event"] == "request.refused"]) <= 3_100


def test_unknown_name_has_the_same_mark_each_time(concord: Concord, mallory: Browser) -> None:
    for name in (SECRET, SECRET, "other"):
        mallory.sign_in(name, "guess")

    actors = [one.actor for one in concord.audit.entries() if one.action == "user.sign_in"]
    assert actors[1] == actors[2] != actors[0]
    assert all(one.startswith("unknown-") for one in actors)
