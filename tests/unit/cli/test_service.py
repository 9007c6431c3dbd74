"""`concord service` and `concord audit` over daemons in memory (M5)."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from concord.cli import service_view
from concord.model.daemon import instance_of
from concord.ports import DELIVER_QUEUE, MAIL_QUEUE, POLL_QUEUE, WorkerPulse
from concord.settings import ServiceSettings, Settings
from tests.fakes.command import Command, MemoryConcord

QUEUES = {"poll": POLL_QUEUE, "mail": MAIL_QUEUE, "deliver": DELIVER_QUEUE}


@pytest.fixture(autouse=True)
def working(concord: MemoryConcord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is started works."""
    concord.settings = Settings(service=ServiceSettings(run_directory=tmp_path))
    monkeypatch.setattr("socket.gethostname", lambda: "here")
    monkeypatch.setattr("concord.cli.identity.actor", lambda: "alice")
    pulse = concord.memory_pulse
    ticks = iter(datetime(2026, 11, 25, tzinfo=UTC) + timedelta(seconds=number) for number in range(10_000))
    monkeypatch.setattr(pulse, "last_tick", lambda: next(ticks))

    def begins(name: str) -> None:
        if instance := instance_of(name):
            pulse.consume(QUEUES[instance], f"{instance}@here")

    concord.memory_supervisor.started = begins


def test_start_says_what_runs_and_what_the_schedule_has(run: Command, concord: MemoryConcord) -> None:
    """M4, M5."""
    done = run("service", "start")

    assert done.code == 0, done.err
    assert "beat, worker@poll, worker@mail, worker@deliver and flower run and work" in done.out
    assert "The schedule has 0 accounts" in done.out
    assert "starting beat, worker@poll" in done.err


def test_only_narrows_it(run: Command, concord: MemoryConcord) -> None:
    run("service", "restart", "--only", "worker")

    assert concord.memory_supervisor.calls == [("restart", ("worker@poll", "worker@mail", "worker@deliver"))]


def test_stop_as_json_is_one_document(run: Command) -> None:
    told = run("service", "stop", "--only", "beat", "--json").json

    assert (told["verb"], told["daemons"], told["sync"]) == ("stop", ["beat"], None)


def test_what_is_no_daemon_of_ours_is_refused_with_the_likeliest(run: Command) -> None:
    """M3."""
    done = run("service", "stop", "--only", "flowr")

    assert done.code == 2
    assert "Did you mean 'flower'?" in done.err


def test_a_daemon_that_failed_is_told_with_its_last_lines(run: Command, concord: MemoryConcord) -> None:
    """M2."""
    concord.memory_supervisor.failing["beat"] = ("Error: no such table\x1b[2J",)

    done = run("service", "start", "--json")

    assert done.code == 1
    assert "  its last lines:\n    Error: no such table\ufffd[2J\n" in done.err
    assert done.json["error"]["log"] == ["Error: no such table\x1b[2J"]


@pytest.mark.parametrize(
    ("prepare", "code", "said"),
    [
        ([], 3, "All daemons are stopped"),
        (["start"], 0, "All 5 daemons run and work."),
        (["start", "stop --only flower"], 1, "4 of 5 daemons run."),
    ],
)
def test_the_exit_code_of_status_says_how_the_whole_does(
    run: Command, prepare: list[str], code: int, said: str
) -> None:
    for command in prepare:
        assert run("service", *command.split()).code == 0

    done = run("service", "status")

    assert done.code == code
    assert said in done.out.splitlines()[-1]


def test_status_is_a_table_of_what_an_operator_asks(run: Command, concord: MemoryConcord) -> None:
    run("service", "start")
    now = datetime.now(UTC)
    concord.memory_pulse.speak(
        WorkerPulse(instance="mail", node="mail@here", at=now, started_at=now, tasks=12345, memory=1, consumed_at=now)
    )

    lines = run("service", "status").out.splitlines()

    assert lines[0].split("  ")[0] == "Unit"
    mail = next(line for line in lines if line.startswith("concord-worker@mail"))
    assert all(word in mail for word in ("● running", " s ", "84 MB", "12,345"))


def test_status_as_json_has_everything_raw(run: Command, concord: MemoryConcord) -> None:
    run("service", "start")

    told = run("service", "status", "--json").json

    assert told["verdict"] == "working"
    assert {row["name"] for row in told["daemons"]} == {
        "beat",
        "worker@poll",
        "worker@mail",
        "worker@deliver",
        "flower",
        "admin",
    }
    assert told["daemons"][0]["memory"] == 84_000_000


def test_status_names_what_could_not_be_asked(run: Command, concord: MemoryConcord) -> None:
    run("service", "start")
    concord.memory_queue.down = True

    done = run("service", "status")

    assert done.code == 1
    assert "Redis did not answer" in done.out
    assert "what to do: Check that Redis runs" in done.out
    assert "● running" in done.out


def test_logs_shows_each_daemons_last_lines(run: Command, concord: MemoryConcord) -> None:
    concord.memory_supervisor.logs["beat"] = [f"line {number}" for number in range(9)]

    assert run("service", "logs", "--only", "beat", "--lines", "2").out == "line 7\nline 8\n"
    assert run("service", "logs", "--json").json["beat"][-1] == "line 8"


def test_audit_lists_who_asked(run: Command) -> None:
    """M3."""
    run("service", "start")
    run("service", "stop", "--only", "nothing")

    newest, oldest = run("audit", "list", "--json").json

    assert (newest["action"], newest["subject"], newest["outcome"]) == ("service.stop", "nothing", "refused")
    assert (oldest["actor"], oldest["via"], oldest["action"], oldest["outcome"]) == (
        "alice",
        "cli",
        "service.start",
        "done",
    )
    assert "service.start" in run("audit", "list").out


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h"), (172_800, "2 days"), (-5, "0 s")],
)
def test_spans_are_in_one_unit(seconds: int, said: str) -> None:
    assert service_view.span(timedelta(seconds=seconds)) == said


@pytest.mark.parametrize(("octets", "said"), [(None, "-"), (84_000_000, "84 MB"), (1_230_000_000, "1.2 GB")])
def test_sizes_are_as_people_say_them(octets: int | None, said: str) -> None:
    assert service_view.size(octets) == said


def test_a_worker_that_runs_and_does_nothing_is_called_deaf(run: Command, concord: MemoryConcord) -> None:
    """M4: nobody reads that all is well."""
    run("service", "start")
    now = datetime.now(UTC)
    beginning = now - timedelta(hours=1)
    mail = concord.memory_supervisor.daemons["worker@mail"]
    concord.memory_supervisor.daemons["worker@mail"] = replace(mail, since=beginning)
    concord.memory_pulse.speak(
        WorkerPulse(
            instance="mail", node="mail@here", at=now, started_at=beginning, tasks=1, memory=1, consumed_at=beginning
        )
    )

    done = run("service", "status")

    assert done.code == 1
    assert "● deaf" in done.out
    assert "5 of 5 daemons run, and 1 of them does not work." in done.out
    assert "concord service restart --only worker@mail" in done.out
