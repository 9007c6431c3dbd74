"""The archive's twin in memory: its knobs do what other tests rely on."""

from __future__ import annotations

import pytest

from concord.errors import ArchiveDamagedError, ArchiveDownError
from tests.fakes.archive import MemoryArchive
from tests.fakes.blobs import blob


def test_an_archive_that_is_down_answers_nothing() -> None:
    archive = MemoryArchive()
    archive.down = True

    for call in (
        archive.check,
        lambda: archive.put([]),
        lambda: archive.read("a"),
        lambda: archive.stat("a"),
        lambda: archive.delete("a"),
        lambda: list(archive.keys()),
    ):
        with pytest.raises(ArchiveDownError):
            call()


def test_only_what_is_written_is_counted() -> None:
    archive = MemoryArchive()

    archive.put([blob("a", b"1"), blob("b", b"2")])
    archive.put([blob("a", b"1")])

    assert archive.puts == 2


def test_damage_is_noticed_by_a_reader_with_a_digest() -> None:
    archive = MemoryArchive()
    stored = blob("a", b"1")
    archive.put([stored])

    archive.damage("a")

    with pytest.raises(ArchiveDamagedError):
        archive.read("a", sha256=stored.sha256)
