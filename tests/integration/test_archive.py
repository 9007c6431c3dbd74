"""Every archive keeps the same promises: the twin in memory, files, an S3 API in memory and a real object store."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from concord.adapters.archive_file import FileArchive
from concord.adapters.archive_guard import GuardedArchive
from concord.adapters.archive_s3 import S3Archive
from concord.adapters.archive_s3_client import S3Connection
from concord.errors import ArchiveDamagedError, ArchiveMissingError
from concord.ports import Archive, Blob
from concord.settings import S3Settings
from tests.fakes.archive import MemoryArchive, MemoryRegistry
from tests.fakes.blobs import blob

THRESHOLD = 5 * 1024 * 1024  # of the S3 settings in tests


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """An archive, empty but used before, and a way to change an object behind its back."""

    archive: Archive
    damage: Callable[[str], object]


def _memory(_request: pytest.FixtureRequest) -> Case:
    archive = MemoryArchive()
    return Case(archive=archive, damage=archive.damage)


def _file(request: pytest.FixtureRequest) -> Case:
    root: Path = request.getfixturevalue("tmp_path") / "archive"
    archive = GuardedArchive(FileArchive(root), MemoryRegistry(), fresh=0)
    return Case(archive=archive, damage=lambda key: (root / key).write_bytes(b"?"))


def _s3(settings: S3Settings) -> Case:
    def damage(key: str) -> None:
        name = f"{settings.prefix}/{key}".removeprefix("/")
        S3Connection(settings).client.put_object(Bucket=settings.bucket, Key=name, Body=b"?")

    return Case(archive=GuardedArchive(S3Archive(settings), MemoryRegistry(), fresh=60), damage=damage)


KINDS: dict[str, Callable[[pytest.FixtureRequest], Case]] = {
    "memory": _memory,
    "file": _file,
    "moto": lambda request: _s3(request.getfixturevalue("s3_bucket")),
    "swift": lambda request: _s3(request.getfixturevalue("swift_bucket")),
}


@pytest.fixture(params=KINDS)
def case(request: pytest.FixtureRequest) -> Case:
    made = KINDS[request.param](request)
    made.archive.check()
    return made


@pytest.fixture
def archive(case: Case) -> Archive:
    return case.archive


def test_what_is_put_is_read_back(archive: Archive) -> None:
    """P4."""
    mail = blob("raw/one.eml", b"Subject: hello\r\n\r\nworld")

    archive.put([mail])

    assert archive.read("raw/one.eml", sha256=mail.sha256) == mail.content


@pytest.mark.parametrize("size", [0, 1, THRESHOLD - 1, THRESHOLD, THRESHOLD + 1])
def test_every_size_comes_back_whole(archive: Archive, size: int) -> None:
    content = (b"0123456789abcde\n" * (size // 16 + 1))[:size]

    archive.put([blob("sized", content)])

    found = archive.stat("sized")
    assert found is not None
    assert found.size == size
    assert archive.read("sized") == content


def test_a_big_file_is_stored_and_left_alone(archive: Archive, tmp_path: Path) -> None:
    """P4: a mail too big for memory travels as a file."""
    big = blob("big", bytes(range(256)) * 80_001, file=tmp_path / "big.eml")

    archive.put([big])
    archive.put([big])

    with archive.open("big") as stream:
        assert hashlib.file_digest(stream, "sha256").hexdigest() == big.sha256  # type: ignore[arg-type] # BinaryIO lacks readinto
    assert (tmp_path / "big.eml").stat().st_size == big.size


def test_a_batch_is_stored_as_a_whole(archive: Archive) -> None:
    batch = [blob(f"raw/{number}", b"%d" % number) for number in range(20)]

    archive.put([*batch, batch[0]])

    assert sorted(archive.keys("raw/")) == sorted(each.key for each in batch)


def test_storing_nothing_does_nothing(archive: Archive) -> None:
    archive.put([])

    assert list(archive.keys()) == []


def test_storing_the_same_again_changes_nothing(archive: Archive) -> None:
    archive.put([blob("twice", b"content")])
    first = archive.stat("twice")

    archive.put([blob("twice", b"content")])

    assert archive.stat("twice") == first


def test_other_content_under_one_key_is_refused(archive: Archive) -> None:
    archive.put([blob("taken", b"first")])

    with pytest.raises(ArchiveDamagedError):
        archive.put([blob("taken", b"other")])

    assert archive.read("taken") == b"first"


def named(content: bytes, **options: Path) -> Blob:
    """A blob whose key says what it is, as those of mails and attachments do."""
    return blob(f"parts/1/{hashlib.sha256(content).hexdigest()}", content, **options)


@pytest.mark.parametrize("content", [b"short", b"x" * (THRESHOLD + 1)], ids=["small", "large"])
def test_a_damaged_object_is_replaced_by_verified_bytes(case: Case, content: bytes) -> None:
    """Issue 9, B: one rotten attachment quarantined every later mail that carried it."""
    part = named(content)
    case.archive.put([part])
    case.damage(part.key)

    case.archive.put([blob("raw/other", b"1"), part])

    assert case.archive.read(part.key, sha256=part.sha256) == content


def test_a_damaged_object_is_set_aside_not_deleted(case: Case) -> None:
    part = named(b"content")
    case.archive.put([part])
    case.damage(part.key)
    damaged = case.archive.read(part.key)

    case.archive.put([part])

    (aside,) = case.archive.keys("damaged/")
    assert aside.startswith(f"damaged/{part.key}.")
    assert case.archive.read(aside) == damaged


def test_a_repair_fills_the_place_of_a_missing_object(archive: Archive) -> None:
    part = named(b"content")

    archive.repair(part)
    archive.repair(part)

    assert archive.read(part.key, sha256=part.sha256) == b"content"
    assert list(archive.keys("damaged/")) == []


def test_a_repair_brings_only_what_it_announces(archive: Archive) -> None:
    part = named(b"content")

    with pytest.raises(ArchiveDamagedError):
        archive.repair(dataclasses.replace(part, content=b"CONTENT"))

    assert archive.stat(part.key) is None


def test_one_batch_cannot_give_a_key_two_contents(archive: Archive) -> None:
    with pytest.raises(ArchiveDamagedError):
        archive.put([blob("one", b"this"), blob("one", b"that")])

    assert archive.stat("one") is None


@pytest.mark.parametrize("content", [b"short", b"x" * (THRESHOLD + 1)], ids=["small", "large"])
@pytest.mark.parametrize("lie", [{"sha256": "0" * 64}, {"size": THRESHOLD * 2}, {"size": 3}], ids=str)
def test_content_that_is_not_as_announced_is_refused(archive: Archive, content: bytes, lie: dict[str, object]) -> None:
    """P4."""
    announced = dataclasses.replace(blob("lie", content), **lie)  # type: ignore[arg-type] # one of several fields

    with pytest.raises(ArchiveDamagedError):
        archive.put([announced])

    assert archive.stat("lie") is None


def test_nothing_is_missing_by_name(archive: Archive) -> None:
    with pytest.raises(ArchiveMissingError) as caught:
        archive.read("raw/none")

    assert caught.value.facts["key"] == "raw/none"
    assert archive.stat("raw/none") is None
    with pytest.raises(ArchiveMissingError):
        archive.open("raw/none")


def test_a_damaged_object_is_noticed_on_reading(case: Case) -> None:
    stored = blob("raw/damaged", b"content")
    case.archive.put([stored])
    case.damage("raw/damaged")

    with pytest.raises(ArchiveDamagedError):
        case.archive.read("raw/damaged", sha256=stored.sha256)


def test_what_is_deleted_is_gone(archive: Archive) -> None:
    archive.put([blob("gone", b"1"), blob("stays", b"2")])

    archive.delete("gone")
    archive.delete("gone")

    assert list(archive.keys()) == ["stays"]


def test_keys_are_found_by_their_beginning(archive: Archive) -> None:
    names = {"raw/a/1", "raw/a/2", "raw/ab", "record/a/1", ".hidden/x_Y-z.0"}
    archive.put([blob(name, name.encode()) for name in names])

    assert set(archive.keys()) == names
    assert set(archive.keys("raw/a")) == {"raw/a/1", "raw/a/2", "raw/ab"}
    assert set(archive.keys("raw/a/")) == {"raw/a/1", "raw/a/2"}
    assert list(archive.keys("none")) == []


def test_what_is_known_includes_when(archive: Archive) -> None:
    archive.put([blob("dated", b"content")])

    found = archive.stat("dated")

    assert found is not None
    assert abs(datetime.now(UTC) - found.modified_at) < timedelta(minutes=1)


def test_checking_leaves_nothing_behind(archive: Archive) -> None:
    archive.check()

    assert list(archive.keys()) == []


@pytest.mark.parametrize("key", ["", "/a", "a/", "a//b", "../a", "a/../b", "a/.", "ä", "a b", "a\n", "a+b"])
def test_a_key_that_could_leave_the_archive_is_our_mistake(archive: Archive, key: str) -> None:
    with pytest.raises(ValueError, match="not an archive key"):
        archive.put([blob(key, b"x")])
    with pytest.raises(ValueError, match="not an archive key"):
        archive.read(key)
