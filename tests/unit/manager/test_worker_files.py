"""The workers' files on disk."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from concord.errors import NotFoundError, SettingsError, UsageError
from concord.manager.config import WorkerDocument
from concord.model.worker import WorkerType
from concord.wording import english
from tests.fakes.host import MemoryHost, write_worker


def test_poll_and_mail_are_always_there(host: MemoryHost) -> None:
    assert host.workers.instances() == ["poll", "mail", "deliver"]


def test_a_file_put_there_by_hand_is_a_worker(host: MemoryHost) -> None:
    """M6."""
    write_worker(host, "extra", '{"type": "mail"}')
    write_worker(host, "mail", '{"concurrency": 9}')

    assert host.workers.instances() == ["poll", "mail", "deliver", "extra"]
    assert host.workers.config("mail").concurrency == 9


def test_what_is_written_is_read_again(host: MemoryHost) -> None:
    path = host.workers.write("extra", WorkerDocument(type=WorkerType.MAIL, concurrency=4))

    assert host.workers.document("extra") == WorkerDocument(type=WorkerType.MAIL, concurrency=4)
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_could_not_be_used_is_not_written(host: MemoryHost) -> None:
    with pytest.raises(SettingsError):
        host.workers.write("extra", WorkerDocument(concurrency=4))

    assert not host.workers.path("extra").exists()


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "Extra"])  # noqa: S108 - never written
def test_no_name_leads_out_of_the_directory(host: MemoryHost, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be a worker's name"):
        host.workers.write(name, WorkerDocument(type=WorkerType.MAIL))
    with pytest.raises(UsageError, match="cannot be a worker's name"):
        host.workers.remove(name)


def test_a_misnamed_file_is_no_worker_and_is_told(host: MemoryHost) -> None:
    """Its name would stand in polkit's rule."""
    path = write_worker(host, 'x", "ssh.service', '{"type": "mail"}')

    assert host.workers.instances() == ["poll", "mail", "deliver"]
    assert host.workers.misnamed() == [path]


def test_one_wrong_file_does_not_stop_what_all_share(host: MemoryHost) -> None:
    """P2: the schedule goes on being synced."""
    write_worker(host, "broken", "{")
    write_worker(host, "poll", '{"poll_interval": 30}')

    assert [one.instance for one in host.workers.usable()] == ["poll", "mail", "deliver"]


def test_an_unknown_worker_is_answered_with_how_to_make_it(host: MemoryHost) -> None:
    with pytest.raises(NotFoundError) as caught:
        host.workers.config("extra")

    assert "concord worker add extra --type mail" in english.explain(caught.value)


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _endless(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**33)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (_fifo, "no regular file"),
        (Path.mkdir, "directory"),
        (_endless, "longer than 64 KiB"),
        (lambda path: path.write_bytes(b'{"type": "\xff"}'), "not UTF-8"),
        (lambda path: path.write_text("[" * 60_000), "nested too deeply"),
    ],
)
def test_whatever_lies_there_keeps_no_reader_waiting_and_fills_no_memory(
    host: MemoryHost, make: Callable[[Path], object], told: str
) -> None:
    """The user concord may put anything there, and the admin service reads it."""
    path = host.workers.path("evil")
    path.parent.mkdir()
    make(path)

    with pytest.raises(SettingsError) as caught:
        host.workers.config("evil")

    assert told in english.explain(caught.value)
    assert [one.instance for one in host.workers.usable()] == ["poll", "mail", "deliver"]
