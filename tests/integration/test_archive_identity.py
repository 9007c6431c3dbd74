"""The archive must be the one that this database uses: unmounted, exchanged and foreign ones are never touched."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import Engine

from concord.adapters.archive_content import Store
from concord.adapters.archive_file import FileArchive
from concord.adapters.archive_guard import GuardedArchive
from concord.adapters.archive_identity import MARKER
from concord.adapters.archive_s3 import S3Archive
from concord.adapters.sql.archive_registry import SqlArchiveRegistry
from concord.adapters.sql.engine import make_engine
from concord.errors import ArchiveDownError, ArchiveMissingError, WrongArchiveError
from concord.ports import Archive, ArchiveName
from concord.settings import S3Settings
from concord.wording import english
from tests.fakes.archive import MemoryRegistry
from tests.fakes.blobs import blob
from tests.servers.fixtures_database import settings_of
from tests.sql_world import World, seen, unread

MAIL = blob("raw/1/2026/11/" + "a" * 64 + ".eml", b"Subject: hello\r\n\r\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an archive may lie, and another place like it."""

    store: Callable[[], Store]
    other: Callable[[], Store]


@pytest.fixture(params=["file", "moto"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "file":
        return Place(store=lambda: FileArchive(tmp_path / "one"), other=lambda: FileArchive(tmp_path / "two"))
    bucket: S3Settings = request.getfixturevalue("s3_bucket")
    one, two = (bucket.model_copy(update={"prefix": prefix}) for prefix in ("one", "two"))
    return Place(store=lambda: S3Archive(one), other=lambda: S3Archive(two))


def guarded(store: Store, registry: MemoryRegistry | SqlArchiveRegistry) -> GuardedArchive:
    """As a fresh process has it."""
    return GuardedArchive(store, registry, fresh=0)


def refuses(archive: Archive) -> WrongArchiveError:
    """Every call is refused, and nothing is made; the error of the first."""
    for call in (
        archive.check,
        lambda: archive.put([MAIL]),
        lambda: archive.repair(MAIL),
        lambda: archive.read(MAIL.key),
        lambda: archive.stat(MAIL.key),
        lambda: archive.delete(MAIL.key),
        lambda: list(archive.keys()),
    ):
        with pytest.raises(WrongArchiveError):
            call()
    with pytest.raises(WrongArchiveError) as caught:
        archive.require()
    return caught.value


def test_the_first_use_marks_an_empty_archive(place: Place) -> None:
    registry = MemoryRegistry()

    guarded(place.store(), registry).put([MAIL])

    assert registry.name is not None
    assert not registry.name.pending
    assert registry.name.id in place.store().read(MARKER).decode()
    assert guarded(place.store(), registry).read(MAIL.key) == MAIL.content


def test_the_marker_is_no_object_of_its_own(place: Place) -> None:
    archive = guarded(place.store(), MemoryRegistry())
    archive.put([MAIL])

    assert list(archive.keys()) == [MAIL.key]


def test_an_empty_place_is_not_taken_for_the_archive(place: Place) -> None:
    """Issue 9, B: an unmounted disk was taken for an empty archive after one poll."""
    registry = MemoryRegistry()
    guarded(place.store(), registry).put([MAIL])

    error = refuses(guarded(place.other(), registry))

    assert error.code == "wrong_archive"
    assert error.facts["place"] == place.other().place
    assert "archive.path" in english.remedy(error)
    assert "archive.s3.bucket" in english.remedy(error)
    assert "concord archive adopt" in english.remedy(error)
    assert list(place.other().keys()) == []


def test_the_archive_of_another_database_is_refused(place: Place) -> None:
    registry, others = MemoryRegistry(), MemoryRegistry()
    guarded(place.store(), registry).put([MAIL])
    guarded(place.other(), others).put([MAIL])
    assert others.name is not None

    error = refuses(guarded(place.other(), registry))

    assert error.facts["found"] == others.name.id
    assert guarded(place.other(), others).read(MAIL.key) == MAIL.content


def test_a_new_database_does_not_take_the_archive_of_another(place: Place) -> None:
    guarded(place.store(), MemoryRegistry()).put([MAIL])

    refuses(guarded(place.store(), registry := MemoryRegistry()))

    assert registry.name is None


def test_a_marker_that_cannot_be_understood_is_refused(place: Place) -> None:
    registry = MemoryRegistry()
    guarded(place.store(), registry).put([MAIL])
    place.store().delete(MARKER)
    place.store().put([blob(MARKER, b"half a mark")])

    assert "marker cannot be read" in str(refuses(guarded(place.store(), registry)))


# Installations that are older than markers.


def test_an_older_archive_is_adopted_where_it_holds_what_the_ledger_knows(place: Place) -> None:
    place.store().put([MAIL])
    registry = MemoryRegistry("raw/1/gone", MAIL.key)

    assert guarded(place.store(), registry).read(MAIL.key) == MAIL.content

    assert registry.name is not None
    assert registry.name.id in place.store().read(MARKER).decode()


def test_an_unmounted_disk_at_the_upgrade_is_not_adopted(place: Place) -> None:
    registry = MemoryRegistry(MAIL.key)

    assert "concord archive adopt" in english.remedy(refuses(guarded(place.store(), registry)))

    assert registry.name is None
    assert list(place.store().keys()) == []


def test_an_older_archive_of_unknown_mail_is_not_adopted(place: Place) -> None:
    place.store().put([MAIL])

    refuses(guarded(place.store(), registry := MemoryRegistry()))

    assert registry.name is None


def test_a_restored_older_database_knows_its_archive_again(place: Place) -> None:
    registry = MemoryRegistry()
    guarded(place.store(), registry).put([MAIL])

    restored = MemoryRegistry(MAIL.key)
    assert guarded(place.store(), restored).read(MAIL.key) == MAIL.content

    assert restored.name == registry.name


# Deliberate moves.


def test_an_operator_adopts_another_archive(place: Place) -> None:
    registry = MemoryRegistry()
    running = guarded(place.other(), registry)
    guarded(place.store(), registry).put([MAIL])
    refuses(running)

    guarded(place.other(), registry).identity.adopt()

    running.put([MAIL])
    assert "belongs to another database" in str(refuses(guarded(place.store(), registry)))


def test_an_operator_adopts_a_damaged_marker(place: Place) -> None:
    registry = MemoryRegistry()
    guarded(place.store(), registry).put([MAIL])
    place.store().delete(MARKER)
    place.store().put([blob(MARKER, b"half a mark")])

    guarded(place.store(), registry).identity.adopt()

    assert guarded(place.store(), registry).read(MAIL.key) == MAIL.content


# What happens meanwhile.


def test_a_disk_unmounted_while_running_takes_nothing(tmp_path: Path) -> None:
    """Issue 9, B: new mail was written under the mount point."""
    disk, away = tmp_path / "disk", tmp_path / "away"
    registry = MemoryRegistry()
    archive = guarded(FileArchive(disk), registry)
    archive.put([MAIL])
    disk.rename(away)
    disk.mkdir()

    refuses(archive)

    assert list(disk.iterdir()) == []
    disk.rmdir()
    away.rename(disk)
    assert archive.read(MAIL.key) == MAIL.content


def test_a_disk_unmounted_in_the_middle_of_a_batch_is_noticed(tmp_path: Path) -> None:
    disk = tmp_path / "disk"

    class Unmounting(FileArchive):
        def put(self, blobs: object) -> None:
            disk.rename(tmp_path / "away")
            disk.mkdir()
            super().put(blobs)  # type: ignore[arg-type] # what it was given

    registry = MemoryRegistry()
    guarded(FileArchive(disk), registry).put([MAIL])

    with pytest.raises(WrongArchiveError):
        guarded(Unmounting(disk), registry).put([blob("raw/1", b"1")])


def test_a_missing_directory_is_down_not_missing_mail(tmp_path: Path) -> None:
    registry = MemoryRegistry()
    archive = guarded(FileArchive(tmp_path / "disk"), registry)
    archive.put([MAIL])
    (tmp_path / "disk").rename(tmp_path / "away")

    refuses(archive)

    assert not (tmp_path / "disk").exists()


def test_a_missing_object_in_the_right_archive_is_missing(place: Place) -> None:
    archive = guarded(place.store(), MemoryRegistry())
    archive.put([MAIL])

    with pytest.raises(ArchiveMissingError):
        archive.read("raw/1/none")
    assert archive.stat("raw/1/none") is None


# The database's side.


@pytest.mark.parametrize("pending", [False, True])
def test_a_process_that_died_before_the_marker_leaves_a_usable_archive(
    engine: Engine,
    tmp_path: Path,
    pending: bool,  # noqa: FBT001 - a test's parameter
) -> None:
    registry = SqlArchiveRegistry(engine)
    if pending:
        registry.propose("0" * 32)

    guarded(FileArchive(tmp_path / "disk"), registry).put([MAIL])

    name = registry.load()
    assert name is not None
    assert not name.pending
    assert name.id in FileArchive(tmp_path / "disk").read(MARKER).decode()


def test_processes_that_start_at_once_agree_on_one_archive(database_url: str, tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    gate, answers = fork.Barrier(4), fork.SimpleQueue()

    def start(number: int) -> None:
        engine = make_engine(settings_of(database_url))
        archive = guarded(FileArchive(tmp_path / "disk"), SqlArchiveRegistry(engine))
        gate.wait(30)
        try:
            archive.put([blob(f"raw/{number}", b"%d" % number)])
        except ArchiveDownError as error:
            answers.put(english.explain(error))
        else:
            answers.put("stored")

    processes = [fork.Process(target=start, args=(number,)) for number in range(4)]
    for process in processes:
        process.start()
    found = [answers.get() for _ in processes]
    for process in processes:
        process.join(30)

    assert found == ["stored"] * 4


@pytest.mark.parametrize("pending", [False, True])
def test_a_process_that_is_overtaken_at_the_first_use_finds_its_archive(
    tmp_path: Path,
    pending: bool,  # noqa: FBT001 - a test's parameter
) -> None:
    class Overtaken(FileArchive):
        """Looks for objects, and meets those of a faster process."""

        def keys(self, prefix: str = "") -> Iterator[str]:
            guarded(FileArchive(tmp_path / "disk"), registry).put([MAIL])
            return super().keys(prefix)

    registry = MemoryRegistry()
    if pending:
        registry.propose("0" * 32)

    assert guarded(Overtaken(tmp_path / "disk"), registry).read(MAIL.key) == MAIL.content


def test_two_databases_that_take_one_empty_place_do_not_share_it(tmp_path: Path) -> None:
    class Slow(FileArchive):
        """Looks, and is overtaken before it writes."""

        def put(self, blobs: object) -> None:
            guarded(FileArchive(tmp_path / "disk"), first).put([MAIL])
            super().put(blobs)  # type: ignore[arg-type] # what it was given

    first, second = MemoryRegistry(), MemoryRegistry()

    with pytest.raises(WrongArchiveError):
        guarded(Slow(tmp_path / "disk"), second).put([blob("raw/1", b"1")])

    assert guarded(FileArchive(tmp_path / "disk"), first).read(MAIL.key) == MAIL.content


def test_the_registry_remembers(engine: Engine) -> None:
    registry = SqlArchiveRegistry(engine)
    assert registry.load() is None

    assert registry.propose("a") == registry.propose("b") == ArchiveName(id="a", pending=True)
    registry.confirm("b")
    assert registry.load() == ArchiveName(id="a", pending=True)
    registry.confirm("a")
    assert registry.load() == registry.propose("b") == ArchiveName(id="a")
    registry.adopt("b")
    assert registry.load() == ArchiveName(id="b")


def test_the_registry_knows_objects_of_the_ledger(world: World) -> None:
    registry = SqlArchiveRegistry(world.engine)
    assert registry.sample_keys() == []
    world.record([*(seen(uid) for uid in range(1, 41)), unread(41)])

    found = registry.sample_keys()

    assert {"raw/1", "raw/40"} <= set(found)
    assert len(found) == 20
