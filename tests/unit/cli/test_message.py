"""Messages, events, deliveries and runs from the command line (P16, P18, P19)."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from concord.bootstrap import now
from concord.errors import PermanentError
from concord.model.account import Account
from concord.model.delivery import DeliveryState
from concord.model.message import MessageState
from concord.model.rule import Match, Rule, WorkflowSpec, WorkflowStepSpec
from concord.pipeline.process import WorkerLostError
from tests.factories import mail
from tests.fakes.command import Command, MemoryConcord
from tests.polling import poll_whole


@pytest.fixture
def quarantined(concord: MemoryConcord, sales: Account) -> int:
    concord.mailboxes.deliver("alice", mail("Poison"))
    poll_whole(concord, sales.id)
    [ref] = concord.memory_queue.messages
    [claim] = concord.ledger.claim([ref.id], until=now() + timedelta(minutes=5))
    concord.ledger.quarantine(claim, WorkerLostError())
    concord.memory_queue.clear()
    assert concord.ledger.get(ref.id).state is MessageState.QUARANTINED
    return ref.id


def test_list_pages_by_the_last_id(run: Command, processed: list[int]) -> None:
    first = run("message", "list", "--limit", "2", "--json").json
    second = run("message", "list", "--limit", "2", "--before", str(first[-1]["id"]), "--json").json

    assert [one["id"] for one in first + second] == processed[::-1]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (("--search", "order 1"), 1),
        (("--state", "processed"), 3),
        (("--state", "quarantined"), 0),
        (("--since", "1h"), 3),
        (("--until", "1h"), 0),
        (("--folder", "INBOX"), 3),
    ],
)
def test_list_is_narrowed_by_options(run: Command, processed: list[int], options: tuple[str, ...], found: int) -> None:
    assert len(run("message", "list", *options, "--json").json) == found


def test_mail_cannot_speak_to_the_terminal(run: Command, concord: MemoryConcord, sales: Account) -> None:
    concord.mailboxes.deliver("alice", b"Subject: \x1b[2Jgone\x9b\r\n\r\n")
    run("poll", "sales")

    listed, document = run("message", "list").out, run("message", "list", "--json").out

    assert "gone" in listed
    assert not set("\x1b\x9b") & set(listed + document)


def test_piped_tables_have_a_line_for_each_row(run: Command, concord: MemoryConcord, sales: Account) -> None:
    concord.mailboxes.deliver("alice", mail("long " * 40))
    run("poll", "sales")

    assert len(run("message", "list").out.splitlines()) == 2


def test_trace_has_every_step_and_delivery(run: Command, concord: MemoryConcord, processed: list[int]) -> None:
    message = concord.ledger.get(processed[0])
    by_number, by_header = run("message", "trace", str(message.id)), run("message", "trace", str(message.message_id))

    assert by_number.out == by_header.out
    assert "message.archived" in by_number.out
    assert "message.processed" in by_number.out
    assert "log" in by_number.out
    [document] = run("message", "trace", str(message.id), "--json").json
    assert [step["what"] for step in document["steps"]] == ["message.archived", "message.processed"]
    assert [one["handler"] for one in document["deliveries"]] == ["log"]


def test_message_id_without_brackets_is_found(run: Command, concord: MemoryConcord, processed: list[int]) -> None:
    header = concord.ledger.get(processed[0]).message_id or ""

    assert run("message", "show", header.strip("<>"), "--json").json["id"] == processed[0]


def test_quarantined_message_is_retried(run: Command, concord: MemoryConcord, quarantined: int) -> None:
    answer = run("message", "retry", str(quarantined))

    assert answer.code == 0, answer.err
    assert concord.ledger.get(quarantined).state is MessageState.ARCHIVED
    assert [ref.id for ref in concord.memory_queue.messages] == [quarantined]


def test_all_quarantined_are_retried_at_once(run: Command, quarantined: int) -> None:
    first, second = run("message", "retry", "--all-quarantined"), run("message", "retry", "--all-quarantined")

    assert "1 message will be processed again" in first.out
    assert (second.code, second.out) == (0, "No message is quarantined.\n")


def test_processed_message_is_not_retried(run: Command, processed: list[int]) -> None:
    answer = run("message", "retry", str(processed[0]))

    assert answer.code == 1
    assert "is processed" in answer.err
    assert "concord message replay" in answer.err


def test_retry_waits_for_the_sweep_while_redis_is_away(run: Command, concord: MemoryConcord, quarantined: int) -> None:
    concord.memory_queue.down = True

    answer = run("message", "retry", str(quarantined))

    assert answer.code == 0
    assert "sweep" in answer.err


def test_replay_sends_an_account_again(run: Command, concord: MemoryConcord, processed: list[int]) -> None:
    answer = run("message", "replay", "--account", "sales", "--json")

    assert [one["message"] for one in answer.json] == processed
    assert len(concord.memory_queue.deliveries) == 3


def test_dry_run_shows_and_sends_nothing(run: Command, concord: MemoryConcord, processed: list[int]) -> None:
    answer = run("message", "replay", str(processed[0]), "--dry-run")

    assert "dry run" in answer.out
    assert concord.memory_queue.deliveries == []


def test_one_damaged_message_does_not_stop_a_replay(run: Command, concord: MemoryConcord, processed: list[int]) -> None:
    concord.memory_archive.damage(concord.ledger.get(processed[1]).archive_key or "")

    answer = run("message", "replay", "--account", "sales")

    assert answer.code == 1
    assert "2 messages replayed" in answer.out
    assert f"Message {processed[1]}" in answer.err


def test_parse_needs_no_configuration(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CONCORD_CONFIG", str(tmp_path / "none.toml"))
    file = tmp_path / "mail.eml"
    file.write_bytes(mail("To be parsed"))

    named, piped = Command()("message", "parse", str(file)), Command()("message", "parse", "-", stdin=file.read_bytes())

    assert named.json["data"]["subject"] == "To be parsed"
    assert piped.json == named.json


def test_events_are_listed_and_shown(run: Command, processed: list[int]) -> None:
    events = run("event", "list", "--limit", "2", "--json").json
    rest = run("event", "list", "--before", events[-1]["id"], "--json").json
    document = run("event", "show", rest[0]["id"], "--json").json

    assert sorted(one["message_id"] for one in events + rest) == processed
    assert (document["specversion"], document["id"]) == ("1.0", rest[0]["id"])
    assert rest[0]["subject"] in run("event", "show", rest[0]["id"]).out


def test_dead_deliveries_are_retried(run: Command, concord: MemoryConcord, processed: list[int]) -> None:
    ids = [one.id for one in concord.outbox.deliveries()]
    [delivery] = concord.outbox.claim_deliveries(
        ids[:1], until=concord.ledger.get(processed[0]).seen_at.replace(year=2099)
    )
    concord.outbox.delivery_dead(delivery, PermanentError("The receiver is gone"))

    listed = run("delivery", "list", "--state", "dead", "--json").json
    answer = run("delivery", "retry", "--all-dead")

    assert [one["id"] for one in listed] == [delivery.id]
    assert (answer.code, answer.out) == (0, "1 delivery will be tried again.\n")
    assert concord.outbox.deliveries(state=DeliveryState.DEAD) == []
    assert concord.memory_queue.deliveries == [delivery.id]


def test_runs_are_listed_and_shown(run: Command, concord: MemoryConcord, sales: Account) -> None:
    step = WorkflowStepSpec(name="call", kind="webhook", options={"url": "https://example.com"})
    concord.rulebook.save_workflow(WorkflowSpec(name="flow", steps=(step,)))
    concord.rulebook.save_rule(Rule(name="all", match=Match(account=("*",)), workflows=("flow",)))
    concord.mailboxes.deliver("alice", mail("Start"))
    poll_whole(concord, sales.id)
    concord.processor.process([ref.id for ref in concord.memory_queue.messages])

    [listed] = run("workflow", "list", "--json").json
    shown = run("workflow", "show", str(listed["id"])).out
    retried = run("workflow", "retry", str(listed["id"]))

    assert "1 of 1: call" in shown
    assert retried.code == 1
    assert "has not failed" in retried.err
