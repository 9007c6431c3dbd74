"""The manager: an allow-list before, proof after, and a trail of who asked (M2 to M4)."""

from __future__ import annotations

from datetime import timedelta

import pytest
import structlog

from concord.errors import (
    ConflictError,
    DaemonFailedError,
    DatabaseDownError,
    NotConsumingError,
    NotSyncedError,
    QueueDownError,
    SchemaError,
    SettingsError,
    SupervisorDownError,
    SupervisorRefusedError,
    UnknownDaemonError,
)
from concord.manager.lock import ToggleLock
from concord.model.caller import Caller
from concord.model.daemon import Activity
from concord.ports import DELIVER_QUEUE, MAIL_QUEUE, POLL_QUEUE
from concord.wording import english
from tests.fakes.host import ALICE, MemoryHost, write_worker

SET = ("beat", "worker@poll", "worker@mail", "worker@deliver", "flower")


def test_start_waits_for_work_then_syncs(host: MemoryHost) -> None:
    """M4: a canary back from each worker, a tick of Beat, the schedule equal to the accounts."""
    done = host.manager.start(by=ALICE)

    assert host.supervisor.calls == [("start", SET)]
    assert {queue for queue, _ in host.pulse.sent} == {POLL_QUEUE, MAIL_QUEUE, DELIVER_QUEUE}
    assert host.syncs == 1
    assert (done.daemons, done.sync.total if done.sync else None) == (SET, 1)


def test_admin_is_moved_only_by_name(host: MemoryHost) -> None:
    """W2."""
    host.manager.stop(by=ALICE)
    host.manager.restart("admin", by=ALICE)

    assert host.supervisor.calls == [("stop", SET), ("restart", ("admin",))]


@pytest.mark.parametrize("name", ["ssh", "worker@evil", "concord-migrate"])
def test_what_is_not_on_the_list_reaches_no_service_manager(host: MemoryHost, name: str) -> None:
    """M3."""
    with pytest.raises(UnknownDaemonError):
        host.manager.stop(name, by=ALICE)

    assert host.supervisor.calls == []
    assert (host.written.outcome, host.written.subject) == ("refused", name)


@pytest.mark.parametrize("verb", ["start", "restart"])
def test_without_redis_nothing_is_started(host: MemoryHost, verb: str) -> None:
    host.queue.down = True

    with pytest.raises(QueueDownError, match=f"nothing was {verb}ed") as caught:
        getattr(host.manager, verb)(by=ALICE)

    assert host.supervisor.calls == []
    assert "redis.url" in english.remedy(caught.value)


@pytest.mark.parametrize("name", ["flower", "admin"])
def test_what_needs_no_redis_starts_without_it(host: MemoryHost, name: str) -> None:
    host.queue.down = host.pulse.down = True

    assert host.manager.start(name, by=ALICE).sync is None


def test_stop_works_whatever_else_is_down(host: MemoryHost) -> None:
    """M4."""
    host.queue.down = host.pulse.down = host.audit.down = True

    host.manager.stop(by=ALICE)

    assert host.supervisor.calls == [("stop", SET)]


def test_a_workers_wrong_file_is_told_before_anything_starts(host: MemoryHost) -> None:
    write_worker(host, "extra", '{"type": "mail", "concurrency": 0}')

    with pytest.raises(SettingsError, match="cannot be used"):
        host.manager.start(by=ALICE)

    assert host.supervisor.calls == []


@pytest.mark.parametrize(("idle", "told"), [("worker@mail", "no_task_from=worker@mail"), ("beat", "no_tick_from=beat")])
def test_a_daemon_that_lives_and_does_nothing_is_named(host: MemoryHost, idle: str, told: str) -> None:
    """M4: active is not working."""
    host.idle.add(idle)
    host.supervisor.logs[idle] = ["connecting", "still connecting"]

    with pytest.raises(NotConsumingError) as caught:
        host.manager.start(by=ALICE)

    assert caught.value.facts["daemon"] == idle
    assert told in english.explain(caught.value)
    assert caught.value.log == ("connecting", "still connecting")
    assert host.syncs == 0
    assert host.written.outcome == "failed"


def test_a_lost_canary_is_followed_by_another(host: MemoryHost) -> None:
    """Trap 24: Redis may lose the first one."""
    host.idle.add("worker@mail")

    def found_its_way() -> None:
        if len([queue for queue, _ in host.pulse.sent if queue == MAIL_QUEUE]) == 3:
            host.pulse.consume(MAIL_QUEUE, "mail@here")

    host.while_waiting = found_its_way

    host.manager.start(by=ALICE)

    assert host.syncs == 1


def test_a_canary_from_another_host_proves_nothing_here(host: MemoryHost) -> None:
    """O4: several hosts read one queue."""
    host.idle.add("worker@mail")
    host.pulse.consume(MAIL_QUEUE, "mail@elsewhere")

    with pytest.raises(NotConsumingError):
        host.manager.start("worker", by=ALICE)


def test_a_workers_own_canary_proves_it_where_others_read_its_queue(host: MemoryHost) -> None:
    """O4."""
    host.idle.add("worker@mail")
    host.pulse.consume(MAIL_QUEUE, "mail@elsewhere")
    host.while_waiting = lambda: host.speak("mail", consumed_ago=0)

    host.manager.start("worker", by=ALICE)

    assert host.syncs == 1


def test_redis_away_for_a_moment_while_waiting_is_waited_for(host: MemoryHost) -> None:
    host.idle.add("beat")

    def away_for_ten_seconds() -> None:
        host.pulse.down = host.time.second < 10
        if host.time.second > 15:
            host.idle.clear()

    host.while_waiting = away_for_ten_seconds

    host.manager.start(by=ALICE)

    assert host.syncs == 1


def test_a_daemon_that_fails_is_told_with_its_last_lines(host: MemoryHost) -> None:
    """M2."""
    host.supervisor.failing["worker@mail"] = ("Error: The database is empty.",)

    with pytest.raises(DaemonFailedError) as caught:
        host.manager.start(by=ALICE)

    assert caught.value.log == ("Error: The database is empty.",)
    assert host.written.outcome == "failed"
    assert "worker@mail" in host.written.detail


@pytest.mark.parametrize(("trouble", "error"), [("down", SupervisorDownError), ("refuses", SupervisorRefusedError)])
def test_a_service_manager_that_does_not_help_is_told(host: MemoryHost, trouble: str, error: type[Exception]) -> None:
    setattr(host.supervisor, trouble, True)

    with pytest.raises(error):
        host.manager.stop(by=ALICE)

    assert host.written.outcome == ("refused" if trouble == "refuses" else "failed")


def test_who_asked_is_written_down(host: MemoryHost) -> None:
    """M3."""
    host.manager.start("worker@mail", by=Caller(actor="alice", via="admin"))

    row = host.written
    assert (row.actor, row.via, row.action, row.subject, row.outcome, row.detail) == (
        "alice",
        "admin",
        "service.start",
        "worker@mail",
        "done",
        "",
    )


def test_without_the_database_it_happens_and_the_log_has_the_row(host: MemoryHost) -> None:
    """M3."""
    host.audit.down = True

    with structlog.testing.capture_logs() as logged:
        host.manager.stop("beat", by=ALICE)

    row = next(line for line in logged if line["event"] == "audit.unwritten")
    assert (row["actor"], row["action"], row["subject"], row["outcome"]) == ("alice", "service.stop", "beat", "done")


def test_a_toggle_that_is_interrupted_leaves_a_row_and_no_lock(host: MemoryHost) -> None:
    host.idle.add("beat")

    def interrupt() -> None:
        raise KeyboardInterrupt

    host.while_waiting = interrupt

    with pytest.raises(KeyboardInterrupt):
        host.manager.start(by=ALICE)

    assert (host.written.outcome, host.written.detail) == ("failed", "interrupted")
    host.while_waiting = lambda: None
    host.manager.stop(by=ALICE)


def test_a_toggle_under_way_refuses_the_next_and_says_whose_it_is(host: MemoryHost) -> None:
    """M2: concurrent toggles serialise."""
    lock = ToggleLock(host.settings.service.run_directory, host.clock)

    with lock.held("restart", "bob"), pytest.raises(ConflictError) as caught:
        host.manager.stop(by=ALICE)

    assert "restart by bob since" in english.explain(caught.value)
    assert host.supervisor.calls == []
    assert host.written.outcome == "refused"


def test_a_restart_gets_the_time_of_a_stop_and_a_start(host: MemoryHost) -> None:
    host.manager.restart("beat", by=ALICE)

    service = host.settings.service
    assert host.supervisor.timeouts == [service.stop_timeout + service.start_timeout]


def test_a_schedule_that_cannot_follow_is_told_and_the_daemons_stay(host: MemoryHost) -> None:
    """M4: not half-started silently."""
    host.sync_fails = DatabaseDownError("refused", cause="disk full")

    with pytest.raises(NotSyncedError) as caught:
        host.manager.start(by=ALICE)

    assert "disk full" in english.explain(caught.value)
    assert host.supervisor.daemons["beat"].activity is Activity.RUNNING
    assert host.written.outcome == "failed"


def test_a_schedule_that_fails_otherwise_leaves_no_doubt_that_the_daemons_run(host: MemoryHost) -> None:
    """M4: a table that is not there is no reason to think that nothing was started."""
    host.sync_fails = SchemaError("incomplete", cause="no such table: accounts")

    with pytest.raises(NotSyncedError) as caught:
        host.manager.start(by=ALICE)

    assert "The daemons run" in english.explain(caught.value)
    assert "no such table: accounts" in english.explain(caught.value)
    assert "concord db upgrade" in english.explain(caught.value)


def test_what_is_waited_for_is_told(host: MemoryHost) -> None:
    host.idle.add("beat")
    told: list[str] = []
    host.while_waiting = host.idle.clear

    host.manager.start("beat", by=ALICE, told=lambda sentence, /, **values: told.append(sentence % values))

    assert list(dict.fromkeys(told)) == [
        "starting beat",
        "waiting for Beat to tick",
        "making the schedule equal to the accounts",
    ]


def test_log_tail_is_of_the_daemons_asked_for(host: MemoryHost) -> None:
    host.supervisor.logs["worker@mail"] = ["one", "two", "three"]

    assert host.manager.log_tail("worker", 2) == {
        "worker@poll": [],
        "worker@mail": ["two", "three"],
        "worker@deliver": [],
    }


def test_starting_twice_is_as_starting_once(host: MemoryHost) -> None:
    host.manager.start(by=ALICE)
    before = dict(host.supervisor.daemons)
    host.time += timedelta(minutes=1)

    host.manager.start(by=ALICE)

    assert host.supervisor.daemons == before
    assert before["beat"].activity is Activity.RUNNING
