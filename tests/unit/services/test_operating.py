"""What operators do to messages, deliveries, runs, rules, handlers and workflows, each written down (U5)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from concord.adapters.sql.engine import transaction
from concord.errors import ConflictError, ExistsError, HandlerDisabledError, NotFoundError, UsageError
from concord.model.account import Account, StartKind, StartPoint
from concord.model.audit import AuditEntry
from concord.model.caller import Caller
from concord.model.delivery import DeliveryState
from concord.model.listing import DeliveriesWanted, MessagesWanted
from concord.model.message import MessageState
from concord.model.rule import HandlerSpec, Rule, WorkflowSpec, WorkflowStepSpec
from concord.model.workflow import RunState
from concord.ports import MessageFilter
from concord.services import deliveries, handlers, messages, rules, schedule, workflows
from concord.wording import english
from tests.factories import mail
from tests.fakes.command import MemoryConcord
from tests.polling import poll_whole

BY = Caller(actor="olga", via="admin", address="127.0.0.1")
STEPS = (WorkflowStepSpec(name="ticket", kind="celery", options={"task": "tickets.open", "queue": "tickets"}),)


@pytest.fixture
def parts() -> Iterator[MemoryConcord]:
    """Three processed mails of the account sales; each started the workflow 'ticket'."""
    made = MemoryConcord()
    made.mailboxes.add_user("alice")
    secret = made.vault.seal("sesame")
    start = StartPoint(kind=StartKind.ALL)
    account = made.accounts.add(
        Account(name="sales", host="mail.example.com", user="alice", secret=secret, start=start)
    )
    workflows.save(made, WorkflowSpec(name="ticket", steps=STEPS), by=BY)
    rules.save(made, Rule(name="all", workflows=("ticket",), handlers=("log",)), by=BY)
    for number in range(3):
        made.mailboxes.deliver("alice", mail(f"Order {number}"))
    poll_whole(made, account.id)
    made.processor.process([ref.id for ref in made.memory_queue.messages])
    made.memory_queue.clear()
    yield made
    made.engine.dispose()


def newest(parts: MemoryConcord) -> AuditEntry:
    return parts.audit.entries()[0]


def change(parts: MemoryConcord, statement: str) -> None:
    with transaction(parts.engine) as connection:
        connection.execute(text(statement))


def test_dead_deliveries_are_offered_again(parts: MemoryConcord) -> None:
    change(parts, "UPDATE deliveries SET state = 'dead'")
    dead = list(deliveries.dead(parts, "log"))

    done = deliveries.retry(parts, [*dead, 99], by=BY)

    assert len(dead) == 3
    assert (set(done.changed), done.unchanged, done.trouble) == (set(dead), (99,), None)
    assert set(parts.memory_queue.deliveries) == set(dead)
    assert not parts.outbox.deliveries(state=DeliveryState.DEAD)
    assert (newest(parts).action, newest(parts).subject) == ("delivery.retry", "4 deliveries")


def test_failed_runs_go_on(parts: MemoryConcord) -> None:
    change(parts, "UPDATE workflow_runs SET state = 'failed'")
    ids = [run.id for run in parts.outbox.runs(state=RunState.FAILED)]

    done = workflows.retry_runs(parts, ids, by=BY)

    assert set(done.changed) == set(ids)
    assert set(parts.memory_queue.runs) == set(ids)
    assert (newest(parts).action, newest(parts).subject, newest(parts).outcome) == ("run.retry", "3 runs", "done")


def test_what_is_retried_without_redis_waits_for_the_sweep_and_says_so(parts: MemoryConcord) -> None:
    change(parts, "UPDATE deliveries SET state = 'dead'")
    change(parts, "UPDATE workflow_runs SET state = 'failed'")
    change(parts, "UPDATE messages SET state = 'quarantined'")
    parts.memory_queue.down = True

    told = [
        deliveries.retry(parts, list(deliveries.dead(parts)), by=BY),
        workflows.retry_runs(parts, [run.id for run in parts.outbox.runs()], by=BY),
        messages.retry(parts, list(messages.quarantined(parts, "sales")), by=BY),
    ]

    assert [len(one.changed) for one in told] == [3, 3, 3]
    assert all(one.trouble for one in told)
    assert {one.outcome for one in parts.audit.entries()[:3]} == {"done"}


def test_all_that_are_alike_are_retried_with_progress(parts: MemoryConcord) -> None:
    change(parts, "UPDATE messages SET state = 'quarantined', error_code = 'unexpected' WHERE id < 3")
    change(parts, "UPDATE deliveries SET state = 'dead' WHERE id > 1")
    said: list[str] = []

    def told(sentence: str, /, **values: object) -> None:
        said.append(sentence % values)

    wanted = MessagesWanted(state=MessageState.QUARANTINED, error_code="unexpected")
    mails = messages.retry_all(parts, wanted, subject="all of unexpected", by=BY, told=told)
    sent = deliveries.retry_all(parts, DeliveriesWanted(handler="log"), subject="all to log", by=BY, told=told)

    assert (sorted(mails.changed), sorted(sent.changed)) == ([1, 2], [2, 3])
    assert said == ["2 messages go back to be processed", "2 deliveries are offered again"]
    assert [(one.action, one.subject, one.detail) for one in parts.audit.entries()[:2]] == [
        ("delivery.retry", "all to log", "2 deliveries"),
        ("message.retry", "all of unexpected", "2 messages"),
    ]


def test_many_are_replayed_and_told_in_numbers(parts: MemoryConcord) -> None:
    ids = [*messages.processed(parts, MessagesWanted(account="sales")), 99]

    totals = messages.replay_many(parts, ids, ["log"], subject="4 messages", by=BY)

    assert (totals.messages, totals.deliveries, totals.reprocessed, totals.failed) == (3, 3, 0, 1)
    assert [message for message, _ in totals.failures] == [99]
    assert newest(parts).detail == "3 replayed, 3 deliveries, 1 failed; only to log"


def test_a_dry_run_is_nobodys_action(parts: MemoryConcord) -> None:
    before = newest(parts)

    report = messages.preview(parts, messages.processed(parts, MessagesWanted(account="sales")))

    assert [one.matched for one in report.done] == [("all",)] * 3
    assert newest(parts) == before


def test_a_replay_to_nobody_known_is_refused(parts: MemoryConcord) -> None:
    with pytest.raises(UsageError, match="no such handler"):
        messages.replay(parts, [1], ["lgo"], subject="message 1", by=BY)


def test_only_what_was_set_aside_is_retried(parts: MemoryConcord) -> None:
    found = parts.ledger.search(MessageFilter())

    done = messages.retry(parts, found, by=BY)

    assert (done.changed, len(done.unchanged)) == ((), 3)
    assert newest(parts).detail == "none could be"


@pytest.mark.parametrize("enabled", [True, False])
def test_rules_handlers_and_workflows_are_switched(parts: MemoryConcord, enabled: bool) -> None:  # noqa: FBT001 - a parameter of the test
    handlers.save(parts, HandlerSpec(name="crm", kind="log", enabled=not enabled), by=BY)

    switched = (
        handlers.switch(parts, "crm", enabled=enabled, by=BY),
        rules.switch(parts, "all", enabled=enabled, by=BY),
        workflows.switch(parts, "ticket", enabled=enabled, by=BY),
    )

    assert [one.enabled for one in switched] == [enabled] * 3
    verb = "enable" if enabled else "disable"
    written = [one.action for one in parts.audit.entries()[:3]]
    assert written == [f"workflow.{verb}", f"rule.{verb}", f"handler.{verb}"]


def test_a_workflow_that_rules_start_stays(parts: MemoryConcord) -> None:
    with pytest.raises(ConflictError) as refused:
        workflows.remove(parts, "ticket", by=BY)

    assert refused.value.facts["rules"] == "all"
    assert newest(parts).outcome == "refused"
    rules.remove(parts, "all", by=BY)
    workflows.remove(parts, "ticket", by=BY)
    assert parts.rulebook.workflows() == []


def test_of_one_name_there_is_one(parts: MemoryConcord) -> None:
    again = WorkflowSpec(name="ticket", steps=STEPS, enabled=False)
    with pytest.raises(ExistsError):
        workflows.save(parts, again, by=BY)

    assert workflows.save(parts, again, replacing=True, by=BY).enabled is False
    assert newest(parts).detail == "enabled: true → false"


def test_a_workflow_of_steps_that_cannot_be_is_refused(parts: MemoryConcord) -> None:
    wrong = WorkflowSpec(name="new", steps=(WorkflowStepSpec(name="call", kind="webhok", options={}),))

    with pytest.raises(UsageError) as refused:
        workflows.save(parts, wrong, by=BY)

    assert refused.value.facts["step"] == "call"


@pytest.mark.parametrize("find", [rules.find, handlers.find, workflows.find])
def test_a_name_that_is_nearly_right_is_guessed(parts: MemoryConcord, find: object) -> None:
    near = {rules.find: "al", handlers.find: "lgo", workflows.find: "tickt"}[find]  # type: ignore[index]  # one of these three

    with pytest.raises(NotFoundError, match="There is no such") as refused:
        find(parts, near)  # type: ignore[operator]  # as above

    assert "Did you mean" in english.remedy(refused.value)


def test_the_schedule_is_synced_and_counted(parts: MemoryConcord) -> None:
    stats = schedule.sync(parts, by=BY)

    assert (stats.added, stats.total) == (1, 1)
    assert newest(parts).detail == "1 added, 0 removed, 0 updated, 1 in all"


def held(parts: MemoryConcord) -> None:
    """The deliveries to `log` are held: it is disabled."""
    handlers.switch(parts, "log", enabled=False, by=BY)
    parts.outbox.hold([one.id for one in parts.outbox.deliveries()], HandlerDisabledError())
    parts.memory_queue.clear()


def test_what_was_held_goes_on_at_once_when_its_handler_is_enabled(parts: MemoryConcord) -> None:
    held(parts)

    handlers.switch(parts, "log", enabled=True, by=BY)

    assert len(parts.memory_queue.deliveries) == 3
    assert not any(one.held for one in parts.outbox.deliveries())


def test_enabling_a_handler_works_without_redis(parts: MemoryConcord) -> None:
    """The sweep queues what could not be queued now."""
    held(parts)
    parts.memory_queue.down = True

    assert handlers.switch(parts, "log", enabled=True, by=BY).enabled


def test_removing_a_handler_says_how_many_deliveries_wait_for_it(parts: MemoryConcord) -> None:
    handlers.save(parts, HandlerSpec(name="crm", kind="log"), by=BY)
    change(parts, "UPDATE deliveries SET handler = 'crm'")

    assert handlers.remove(parts, "crm", by=BY) == 3
    assert handlers.waiting_for(parts, "crm") == 3
