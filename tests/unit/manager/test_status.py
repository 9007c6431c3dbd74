"""How the daemons do, as far as it is known."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta

import pytest

from concord.errors import SupervisorDownError
from concord.manager.status import DaemonRow, Status, Verdict
from concord.model.account import Priority
from concord.model.daemon import Activity
from concord.model.message import MessageRef
from concord.model.worker import WorkerLimits
from tests.fakes.host import ALICE, MemoryHost, write_worker


def row(status: Status, name: str) -> DaemonRow:
    return next(one for one in status.daemons if one.name == name)


def settled(host: MemoryHost) -> MemoryHost:
    """Up and working for an hour."""
    host.manager.start(by=ALICE)
    host.manager.start("admin", by=ALICE)
    host.time += timedelta(hours=1)
    host.pulse.ticked_at = host.time
    for instance in ("poll", "mail", "deliver"):
        host.speak(instance, tasks=1200)
    return host


def test_all_run_and_work(host: MemoryHost) -> None:
    """M2."""
    settled(host)
    host.queue.polls = [1, 2, 3]

    found = host.manager.status()

    assert found.verdict is Verdict.WORKING
    poll = row(found, "worker@poll")
    assert (poll.activity, poll.tasks, poll.waiting, poll.works) == (Activity.RUNNING, 1200, 3, True)
    assert (poll.pid, poll.memory) == (4002, 84_000_000)
    assert row(found, "beat").last_tick == host.time
    assert found.troubles == ()


def test_all_are_stopped(host: MemoryHost) -> None:
    assert host.manager.status().verdict is Verdict.STOPPED


def test_the_admin_service_is_not_of_the_set(host: MemoryHost) -> None:
    settled(host)
    host.manager.stop("admin", by=ALICE)

    assert host.manager.status().verdict is Verdict.WORKING


@pytest.mark.parametrize("name", ["beat", "worker@poll", "worker@mail", "worker@deliver", "flower"])
def test_one_that_is_stopped_makes_the_whole_degraded(host: MemoryHost, name: str) -> None:
    settled(host)
    host.manager.stop(name, by=ALICE)

    assert host.manager.status().verdict is Verdict.DEGRADED


def test_a_worker_to_which_no_canary_returns_is_not_working(host: MemoryHost) -> None:
    """M4: active proves little."""
    settled(host)
    host.speak("mail", consumed_ago=300)

    found = host.manager.status()

    assert row(found, "worker@mail").works is False
    assert found.verdict is Verdict.DEGRADED


def test_a_beat_that_no_longer_ticks_is_not_working(host: MemoryHost) -> None:
    settled(host)
    host.pulse.ticked_at = host.time - timedelta(minutes=5)

    assert row(host.manager.status(), "beat").works is False


def test_a_worker_just_started_is_given_time(host: MemoryHost) -> None:
    host.manager.start(by=ALICE)

    found = host.manager.status()

    assert row(found, "worker@mail").works is None
    assert found.verdict is Verdict.WORKING


def test_without_redis_the_rest_is_told_and_redis_named_once(host: MemoryHost) -> None:
    settled(host)
    host.queue.down = host.pulse.down = True

    found = host.manager.status()

    assert row(found, "worker@mail").activity is Activity.RUNNING
    assert [one.error.code for one in found.troubles] == ["queue_down"]
    assert row(found, "worker@mail").tasks is None


def test_redis_that_does_not_answer_is_asked_once(host: MemoryHost, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that hangs takes seconds to be called away; a page cannot wait that long for each of its questions."""
    host.pulse.down = True
    asked: list[str] = []
    monkeypatch.setattr(host.queue, "depth", lambda: asked.append("depth"))

    host.manager.status()

    assert asked == []


def test_without_redis_nobody_says_that_all_works(host: MemoryHost) -> None:
    settled(host)
    host.queue.down = host.pulse.down = True

    assert host.manager.status().verdict is Verdict.DEGRADED


def test_without_a_service_manager_the_workers_still_speak(host: MemoryHost) -> None:
    settled(host)
    host.supervisor.down = True

    found = host.manager.status()

    assert found.verdict is Verdict.UNKNOWN
    assert row(found, "worker@mail").tasks == 1200
    assert isinstance(found.troubles[0].error, SupervisorDownError)


def test_a_stopped_workers_last_words_are_not_its_present(host: MemoryHost) -> None:
    settled(host)
    host.manager.stop("worker@mail", by=ALICE)

    mail = row(host.manager.status(), "worker@mail")

    assert (mail.tasks, mail.memory, mail.pid) == (None, None, None)


def test_workers_of_other_hosts_are_named_apart(host: MemoryHost) -> None:
    """O4."""
    settled(host)
    host.speak("mail", host="elsewhere", tasks=7)

    found = host.manager.status()

    assert [one.node for one in found.elsewhere] == ["mail@elsewhere"]
    assert row(found, "worker@mail").tasks == 1200


def test_a_worker_with_a_wrong_file_is_shown_with_its_cause(host: MemoryHost) -> None:
    settled(host)
    write_worker(host, "broken", "{")

    found = host.manager.status()

    assert row(found, "worker@broken").activity is Activity.ABSENT
    assert [one.what for one in found.troubles] == ["worker@broken"]


def test_mail_that_waits_is_counted_by_queue(host: MemoryHost) -> None:
    settled(host)
    host.queue.process([MessageRef(id=number, size=10, priority=Priority.NORMAL) for number in (1, 2)])

    assert row(host.manager.status(), "worker@mail").waiting == 2


def test_a_change_that_waits_for_the_next_start_is_named(host: MemoryHost) -> None:
    """M6."""
    settled(host)
    before = host.workers.config("mail")
    running = WorkerLimits(**{field.name: getattr(before, field.name) for field in fields(WorkerLimits)})
    host.speak("mail", limits=running)
    assert row(host.manager.status(), "worker@mail").outdated == ()

    write_worker(host, "mail", '{"concurrency": 9, "prefetch": 5}')

    assert row(host.manager.status(), "worker@mail").outdated == ("concurrency", "prefetch")
    host.manager.stop("worker@mail", by=ALICE)
    assert row(host.manager.status(), "worker@mail").outdated == ()
