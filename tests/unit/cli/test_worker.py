"""`concord worker`: files, the rule that follows from them, and what is refused (M6)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from concord.cli import worker
from concord.model.worker import MOST
from concord.services.units import Places
from concord.settings import ServiceSettings, Settings
from tests.fakes.command import Command, MemoryConcord


@pytest.fixture
def concord(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[MemoryConcord]:
    """An installation under systemd, in a folder."""
    monkeypatch.setenv("CONCORD_CREDENTIALS", str(tmp_path))
    monkeypatch.setenv("CONCORD_CONFIG", str(tmp_path / "concord.toml"))
    places = Places(
        rule=tmp_path / "rules.d" / "50-concord.rules",
        wants=tmp_path / "wants",
        template=tmp_path / "concord-worker@.service",
    )
    monkeypatch.setattr(worker, "PLACES", places)
    (tmp_path / "concord-worker@.service").touch()
    made = MemoryConcord(Settings(service=ServiceSettings(programs_file=tmp_path / "workers.conf")))
    yield made
    made.engine.dispose()


@pytest.fixture
def run(concord: MemoryConcord) -> Command:
    return Command(lambda: concord)


def test_a_new_worker_is_a_file_a_wish_and_a_right(run: Command, tmp_path: Path) -> None:
    """M6, M3: the target starts it with the others, and the user concord may move it."""
    done = run("worker", "add", "extra", "--type", "mail", "--concurrency", "4")

    assert done.code == 0, done.err
    assert json.loads((tmp_path / "workers" / "extra.json").read_text()) == {"type": "mail", "concurrency": 4}
    assert (tmp_path / "wants" / "concord-worker@extra.service").is_symlink()
    assert '"concord-worker@extra.service"' in (tmp_path / "rules.d" / "50-concord.rules").read_text()
    assert "concord service start --only worker@extra" in done.out


def test_a_removed_worker_leaves_nothing(run: Command, tmp_path: Path) -> None:
    run("worker", "add", "extra", "--type", "mail")

    done = run("worker", "remove", "extra")

    assert done.code == 0, done.err
    assert not (tmp_path / "workers" / "extra.json").exists()
    assert list((tmp_path / "wants").iterdir()) == []
    assert "extra" not in (tmp_path / "rules.d" / "50-concord.rules").read_text()


def test_a_worker_that_runs_is_not_removed(run: Command, concord: MemoryConcord) -> None:
    run("worker", "add", "extra", "--type", "mail")
    concord.memory_supervisor.know("worker@extra")
    concord.memory_supervisor.start(["worker@extra"], timeout=1)

    done = run("worker", "remove", "extra")

    assert done.code == 2
    assert "concord service stop --only worker@extra" in done.err


def test_poll_and_mail_can_only_go_back_to_the_settings(run: Command, concord: MemoryConcord, tmp_path: Path) -> None:
    run("worker", "set", "mail", "concurrency=9")
    assert run("worker", "show", "mail", "--json").json["config"]["concurrency"] == 9

    assert run("worker", "remove", "mail").code == 0

    assert run("worker", "show", "mail", "--json").json["config"]["concurrency"] == 2
    assert not (tmp_path / "wants").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["add", "extra"], '"type": "mail"'),
        (["add", "Extra", "--type", "mail"], "cannot be a worker's name"),
        (["add", "../../evil", "--type", "mail"], "cannot be a worker's name"),
        (["add", "extra", "--type", "mail", "--concurrency", "0"], "concurrency"),
        (["add", "extra", "--type", "mail", "--poll-interval", "5"], "Only poll workers"),
        (["set", "mail", "concurency=4"], "Did you mean 'concurrency'?"),
        (["set", "mail", "concurrency"], "Write concurrency=4"),
        (["set", "mail", "concurrency=many"], "concurrency"),
        (["set", "other", "concurrency=4"], "There is no such worker"),
        (["show", "mial"], "Did you mean 'mail'?"),
        (["remove", "other"], "There is no such worker"),
    ],
)
def test_what_cannot_work_is_refused_and_changes_nothing(
    run: Command, tmp_path: Path, arguments: list[str], said: str
) -> None:
    done = run("worker", *arguments)

    assert done.code == 2
    assert said in done.err
    assert not (tmp_path / "workers").exists()


def test_a_worker_is_added_once(run: Command) -> None:
    run("worker", "add", "extra", "--type", "mail")

    done = run("worker", "add", "extra", "--type", "poll")

    assert done.code == 2
    assert "concord worker set extra" in done.err


def test_a_poll_interval_holds_at_once(run: Command, concord: MemoryConcord, sales: object) -> None:
    """M6, P1."""
    done = run("worker", "set", "poll", "poll_interval=17")

    assert list(concord.memory_schedule.intervals.values()) == [17]
    assert "restart" not in done.out


def test_all_else_holds_at_the_next_start_and_says_so(run: Command) -> None:
    assert "concord service restart --only worker@mail" in run("worker", "set", "mail", "prefetch=2").out


def test_an_empty_value_takes_the_key_out(run: Command, tmp_path: Path) -> None:
    run("worker", "set", "mail", "concurrency=9", "prefetch=2")

    run("worker", "set", "mail", "concurrency=")

    assert json.loads((tmp_path / "workers" / "mail.json").read_text()) == {"prefetch": 2}


def test_the_list_has_every_worker_and_names_a_misnamed_file(run: Command, tmp_path: Path) -> None:
    run("worker", "add", "extra", "--type", "poll", "--poll-interval", "30")
    (tmp_path / "workers" / "my-worker.json").write_text('{"type": "mail"}')

    done = run("worker", "list")

    assert [line.split()[0] for line in done.out.splitlines()] == ["Worker", "poll", "mail", "deliver", "extra"]
    assert "my-worker.json is no worker's" in done.err


def test_under_supervisord_it_is_a_program(run: Command, tmp_path: Path) -> None:
    """W7."""
    (tmp_path / "workers.conf").touch()

    run("worker", "add", "extra", "--type", "mail")

    assert "worker run extra" in (tmp_path / "workers.conf").read_text()


def test_running_a_worker_that_is_not_there_says_how_to_make_it(run: Command, tmp_path: Path) -> None:
    done = run("worker", "run", "extra")

    assert done.code == 2
    assert str(tmp_path / "workers" / "extra.json") in done.err
    assert "concord worker add extra --type mail" in done.err


def test_the_polkit_rule_is_printed_without_any_settings(run: Command, tmp_path: Path) -> None:
    """An installation makes it before anything else is right."""
    (tmp_path / "concord.toml").write_text("not toml [")

    assert '"concord-worker@poll.service"' in run("worker", "polkit").out


def test_a_name_that_no_worker_can_have_becomes_neither_a_right_nor_a_link(run: Command, tmp_path: Path) -> None:
    """M3: the admin service may write into the workers' directory; root reads nothing but names there."""
    (tmp_path / "workers").mkdir()
    for name in ("extra.json", "ssh.service.json", 'x"];evil().json', "-.json", "a@b.json", "mail.json"):
        (tmp_path / "workers" / name).touch()

    assert run("worker", "settle").code == 0

    assert [link.name for link in (tmp_path / "wants").iterdir()] == ["concord-worker@extra.service"]
    rule = (tmp_path / "rules.d" / "50-concord.rules").read_text()
    assert "evil" not in rule
    assert "ssh" not in rule
    assert '"concord-worker@extra.service"' in rule


def test_more_workers_than_a_host_may_have_change_nothing(run: Command, tmp_path: Path) -> None:
    (tmp_path / "workers").mkdir()
    for number in range(MOST):
        (tmp_path / "workers" / f"more{number}.json").touch()

    done = run("worker", "settle")

    assert done.code == 2
    assert "too many workers" in done.err
    assert list((tmp_path / "wants").iterdir()) == []
    assert not (tmp_path / "rules.d").exists()


def test_links_of_other_units_stay(run: Command, tmp_path: Path) -> None:
    (tmp_path / "wants").mkdir()
    for name in ("concord-worker@poll.service", "somebody-elses.service", "concord-worker@gone.service"):
        (tmp_path / "wants" / name).symlink_to("/dev/null")

    run("worker", "settle")

    assert sorted(link.name for link in (tmp_path / "wants").iterdir()) == [
        "concord-worker@poll.service",
        "somebody-elses.service",
    ]


def test_a_rule_in_a_closed_folder_is_written_in_its_place(run: Command, tmp_path: Path) -> None:
    """Debian 12: the folder is polkit's alone, the file is root's."""
    bound = tmp_path / "bound.rules"
    bound.write_text("older, and longer than what comes\n" * 1000)
    before = bound.stat().st_ino

    run("worker", "settle", "--rule", str(bound))

    assert bound.stat().st_ino == before
    assert bound.read_text() == run("worker", "polkit").out
