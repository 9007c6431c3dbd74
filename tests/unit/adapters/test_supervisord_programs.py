"""A program for each further worker, with the same figures as those that the package brings."""

from __future__ import annotations

from configparser import ConfigParser
from pathlib import Path

import pytest

from concord.adapters.supervisord_programs import program_text, write_programs
from concord.model.daemon import ADMIN, BEAT, FLOWER, program_name, worker

SHIPPED = Path(__file__).parents[3] / "deploy/supervisor/concord.conf"


def parsed(text: str) -> ConfigParser:
    """As supervisord reads it: '%' and ';' mean something."""
    parser = ConfigParser(interpolation=None, inline_comment_prefixes=(";",))
    parser.read_string(text)
    return parser


@pytest.fixture
def shipped() -> ConfigParser:
    return parsed(SHIPPED.read_text(encoding="utf-8"))


def test_a_further_worker_is_run_as_the_shipped_ones_are(shipped: ConfigParser) -> None:
    """D1."""
    text = program_text("poll")

    assert dict(parsed(text)["program:concord-worker-poll"]) == dict(shipped["program:concord-worker-poll"])


def test_every_daemon_has_a_program_under_its_own_name(shipped: ConfigParser) -> None:
    """M1."""
    daemons = {program_name(name) for name in (BEAT, FLOWER, ADMIN, worker("poll"), worker("mail"), worker("deliver"))}

    assert {name.removeprefix("program:") for name in shipped if name.startswith("program:")} == {
        *daemons,
        "concord-watchdog",
    }
    assert set(shipped["group:concord"]["programs"].split(",")) == daemons - {program_name(ADMIN)}


def test_every_program_is_ended_so_that_no_task_is_lost(shipped: ConfigParser) -> None:
    """D2: pool processes get no signal but the last one; a worker has its soft shutdown and half a minute more."""
    for name in shipped:
        if name.startswith("program:"):
            program = shipped[name]
            is_worker = "worker" in name
            assert (program["stopasgroup"], program["killasgroup"]) == ("false", "true")
            assert program["stopsignal"] == ("QUIT" if is_worker else "TERM")
            assert int(program["stopwaitsecs"]) >= (60 if is_worker else 10)
            assert program["stdout_logfile_maxbytes"] == "0"


def test_no_secret_is_in_a_program(shipped: ConfigParser) -> None:
    """S: the environment of a process is read by more people than a file is."""
    for name in shipped:
        environment = shipped[name].get("environment", "")
        assert {pair.partition("=")[0] for pair in environment.split(",") if pair} <= {"NOTIFY_SOCKET", "WATCHDOG_USEC"}


def test_the_file_follows_the_workers_and_doing_it_twice_changes_nothing(tmp_path: Path) -> None:
    """M6."""
    file = tmp_path / "workers.conf"
    write_programs(["poll", "mail", "deliver", "gone"], file)

    first = write_programs(["poll", "mail", "deliver", "extra", "more"], file)
    second = write_programs(["poll", "mail", "deliver", "extra", "more"], file)

    assert (first, second) == (True, False)
    assert parsed(file.read_text(encoding="utf-8")).sections() == [
        "program:concord-worker-extra",
        "program:concord-worker-more",
    ]
    assert list(tmp_path.iterdir()) == [file]


def test_without_further_workers_there_is_a_file_all_the_same(tmp_path: Path) -> None:
    """Supervisord warns of an include that matches none."""
    file = tmp_path / "workers.conf"

    assert write_programs(["poll", "mail", "deliver"], file)

    assert parsed(file.read_text(encoding="utf-8")).sections() == []
