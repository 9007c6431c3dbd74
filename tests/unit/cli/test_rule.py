"""Rules and handlers from the command line (P8)."""

from __future__ import annotations

import json
from pathlib import Path

from concord.model.account import Account
from concord.model.binding import of_handler
from tests.factories import mail
from tests.fakes.command import Command, MemoryConcord


def test_rule_is_added_shown_and_removed(run: Command, concord: MemoryConcord) -> None:
    options = (
        "--from",
        "*@example.com",
        "--header",
        "List-Id:*news*",
        "--larger",
        "10kB",
        "--handler",
        "log",
        "--stop",
    )
    added = run("rule", "add", "news", *options)

    shown = run("rule", "show", "news", "--json").json
    assert added.code == 0, added.err
    assert shown["match"] == {"from": "*@example.com", "header": {"List-Id": "*news*"}, "larger": 10_000}
    assert "news" in run("rule", "list").out
    assert "match from" in run("rule", "show", "news").out
    assert run("rule", "remove", "news").code == 0
    assert concord.rulebook.rules() == []


def test_rule_is_changed_only_when_asked(run: Command, concord: MemoryConcord) -> None:
    run("rule", "add", "news", "--from", "a@*")

    refused, replaced = (
        run("rule", "add", "news", "--from", "b@*"),
        run("rule", "add", "news", "--from", "b@*", "--replace"),
    )

    assert (refused.code, replaced.code) == (2, 0)
    assert concord.rulebook.rules()[0].match.from_ == ("b@*",)


def test_rule_test_says_why_a_rule_does_not_match(run: Command, processed: list[int]) -> None:
    run("rule", "add", "orders", "--subject", "order *", "--priority", "high")
    run("rule", "add", "big", "--larger", "1MB", "--handler", "log")

    told = run("rule", "test", "--message", str(processed[0])).out
    [document] = run("rule", "test", "--last", "1", "--json").json

    assert "✓ orders: matches" in told
    assert "big: does not match: larger" in told
    assert "priority high; goes to log" in told
    assert document["decision"]["matched"] == ["orders"]


def test_rule_test_takes_a_file(run: Command, sales: Account, tmp_path: Path) -> None:
    file = tmp_path / "mail.eml"
    file.write_bytes(mail("An invoice"))
    run("rule", "add", "of sales", "--account", "sales", "--subject", "*invoice*", "--skip")

    told = run("rule", "test", "--file", str(file), "--account", "sales").out

    assert "nobody is told" in told


def test_handler_is_added_with_a_sealed_secret(run: Command, concord: MemoryConcord) -> None:
    secret = "whsec_" + "QUJD" * 8
    answer = run(
        "handler",
        "add",
        "crm",
        "--kind",
        "webhook",
        "--option",
        "url=https://example.com/",
        "--secret-stdin",
        stdin=secret,
    )

    [spec] = concord.rulebook.handlers()
    assert answer.code == 0, answer.err
    assert concord.vault.unseal(spec.secret, of_handler(spec)) == secret
    listed = run("handler", "list", "--json").out
    assert secret not in listed
    assert {one["name"]: one["secret"] for one in json.loads(listed)} == {"log": "missing", "crm": "set"}


def test_handler_in_use_is_not_removed(run: Command) -> None:
    run("handler", "add", "crm", "--kind", "webhook", "--option", "url=https://example.com/")
    run("rule", "add", "all", "--account", "*", "--handler", "crm")

    answer = run("handler", "remove", "crm")

    assert answer.code == 2
    assert "rules: all" in answer.err


def test_handler_test_sends_a_sample(run: Command, concord: MemoryConcord) -> None:
    good = run("handler", "test", "log")

    assert good.code == 0, good.err
    assert "took the sample event" in good.out


def test_failing_handler_is_told_with_its_remedy(run: Command, concord: MemoryConcord) -> None:
    run("handler", "add", "task", "--kind", "celery", "--option", "task=erp.mail", "--option", "queue=erp")
    concord.sent_tasks.down = True

    answer = run("handler", "test", "task", "--json")

    assert answer.code == 1
    assert answer.json["error"]["code"] == "queue_down"
    assert "What to do: Check that Redis runs" in answer.err
