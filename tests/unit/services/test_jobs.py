"""Long actions: said line by line, one of a kind at a time, forgotten after a while."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest

from concord.errors import ConflictError, NotFoundError, QueueDownError
from concord.model.caller import Caller
from concord.model.progress import Told
from concord.services.jobs import Job, Jobs, JobState
from tests.fakes.audit import MemoryAudit

ALICE = Caller(actor="alice", via="admin", address="192.0.2.7")


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 11, 25, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def jobs(clock: Clock) -> Jobs:
    return Jobs(clock)


def ended(jobs: Jobs, job: Job) -> Job:
    assert jobs.wait(job, timeout=5)
    return job


def nothing(_told: Told) -> None:
    pass


def test_what_it_says_is_kept_line_by_line_and_once(jobs: Jobs) -> None:
    def work(told: Told) -> str:
        told("starting %(daemons)s", daemons="beat")
        for _ in range(3):
            told("waiting for Beat to tick")
        return "moved"

    job = ended(jobs, jobs.start("service.start", "beat", work, by=ALICE))

    assert (job.state, job.result, job.error) == (JobState.DONE, "moved", None)
    assert [line.sentence % line.values for line in job.lines] == ["starting beat", "waiting for Beat to tick"]
    assert jobs.get(job.id) is job


def test_a_failure_is_kept_as_the_error_that_it_is(jobs: Jobs) -> None:
    error = QueueDownError("no_answer")

    def work(_told: Told) -> None:
        raise error

    job = ended(jobs, jobs.start("service.start", "all", work, by=ALICE))

    assert (job.state, job.error) == (JobState.FAILED, error)
    assert job.ended_at


def test_a_bug_ends_it_too(jobs: Jobs) -> None:
    job = ended(jobs, jobs.start("service.start", "all", lambda _told: 1 / 0, by=ALICE))

    assert (job.state, job.error) == (JobState.FAILED, None)


def test_one_of_a_kind_at_a_time_and_the_other_is_named(jobs: Jobs) -> None:
    """M2: concurrent toggles are told who is at it."""
    go_on = threading.Event()
    first = jobs.start("service.start", "all", lambda _told: go_on.wait(5), by=ALICE)

    with pytest.raises(ConflictError) as caught:
        jobs.start("service.stop", "beat", nothing, by=Caller(actor="bob"))
    other = jobs.start("message.replay", "all", nothing, by=ALICE)

    assert (caught.value.facts["by"], caught.value.facts["job"]) == ("alice", first.id)
    ended(jobs, other)
    go_on.set()
    ended(jobs, first)
    ended(jobs, jobs.start("service.stop", "beat", nothing, by=ALICE))


def test_only_the_newest_hundred_are_kept_and_only_for_a_day(jobs: Jobs, clock: Clock) -> None:
    made = [ended(jobs, jobs.start("service.start", "all", nothing, by=ALICE)) for _ in range(105)]

    assert [job.id for job in jobs.recent()] == [job.id for job in made[:4:-1]]
    with pytest.raises(NotFoundError):
        jobs.get(made[0].id)

    clock.now += timedelta(hours=25)
    last = ended(jobs, jobs.start("service.start", "all", nothing, by=ALICE))
    assert jobs.recent() == [last]


def test_what_is_under_way_at_the_end_of_the_process_is_written_down(jobs: Jobs) -> None:
    """M3: also who restarted the admin service itself."""
    audit, go_on = MemoryAudit(), threading.Event()
    under_way = [
        jobs.start("service.stop", "all", lambda _told: go_on.wait(5), by=ALICE),
        jobs.start("admin.restart", "admin", lambda _told: go_on.wait(5), by=ALICE),
    ]
    ended(jobs, jobs.start("message.replay", "all", nothing, by=ALICE))

    jobs.abandon(audit)

    rows = {(row.action, row.outcome, row.actor, row.address) for row in audit.entries()}
    assert rows == {
        ("service.stop", "failed", "alice", "192.0.2.7"),
        ("admin.restart", "done", "alice", "192.0.2.7"),
    }
    go_on.set()
    for job in under_way:
        ended(jobs, job)


def test_the_lines_of_one_that_talks_much_are_bounded(jobs: Jobs) -> None:
    def work(told: Told) -> None:
        for number in range(1000):
            told("line %(number)s", number=number)

    job = ended(jobs, jobs.start("service.start", "all", work, by=ALICE))

    assert len(job.lines) == 200
    assert job.lines[-1].values == {"number": 999}
