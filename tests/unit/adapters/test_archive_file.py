"""Files as an archive: whole or not there, private, durable, and plain about a disk that fails."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from stat import S_IMODE

import pytest

from concord.adapters.archive_file import INCOMING, FileArchive
from concord.errors import ArchiveDamagedError, ArchiveDownError
from concord.wording import english
from tests.fakes.blobs import blob

PUT_FROM_PIPE = """
import sys
from pathlib import Path
from concord.adapters.archive_file import FileArchive
from concord.ports import Blob
root, pipe = map(Path, sys.argv[1:])
FileArchive(root).put([Blob(key="half", sha256="0" * 64, size=1, content=pipe)])
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "deep" / "archive"


@pytest.fixture
def archive(root: Path) -> FileArchive:
    archive = FileArchive(root)
    archive.check()
    return archive


def test_only_the_owner_may_read(root: Path) -> None:
    FileArchive(root).put([blob("raw/a/1", b"content")])

    assert {S_IMODE(path.stat().st_mode) for path in [root, *root.rglob("*")] if path.is_dir()} == {0o700}
    assert S_IMODE((root / "raw/a/1").stat().st_mode) == 0o600


def test_a_killed_write_leaves_no_object(archive: FileArchive, root: Path, tmp_path: Path) -> None:
    """P4."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = subprocess.Popen([sys.executable, "-c", PUT_FROM_PIPE, str(root), str(pipe)])
    with pipe.open("wb") as halfway:
        halfway.write(b"half of it")
        halfway.flush()
        writer.kill()
        writer.wait(timeout=30)

    assert list((root / INCOMING).iterdir()) != []
    assert list(archive.keys()) == []
    assert archive.stat("half") is None


def test_leftovers_are_removed_after_a_day(archive: FileArchive, root: Path) -> None:
    old, young = root / INCOMING / "old", root / INCOMING / "young"
    for leftover in (old, young):
        leftover.mkdir()
        (leftover / "0").write_bytes(b"half")
    yesterday = time.time() - 25 * 3600
    os.utime(old, (yesterday, yesterday))

    archive.check()

    assert list((root / INCOMING).iterdir()) == [young]


def test_nothing_stays_of_a_refused_batch(archive: FileArchive, root: Path) -> None:
    archive.put([blob("taken", b"first")])

    with pytest.raises(ArchiveDamagedError):
        archive.put([blob("fresh", b"1"), blob("taken", b"other")])

    assert list(archive.keys()) == ["taken"]
    assert list((root / INCOMING).iterdir()) == []


def test_a_stored_file_is_never_rewritten(archive: FileArchive, root: Path) -> None:
    archive.put([blob("one", b"content")])
    first = (root / "one").stat()

    archive.put([blob("one", b"content")])

    assert (root / "one").stat() == first


def test_many_writers_of_the_same_agree(root: Path) -> None:
    batch = [blob(f"raw/{number % 3}/{number}", b"%d" % number) for number in range(30)]

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: FileArchive(root).put(batch), range(8)))

    assert sorted(FileArchive(root).keys()) == sorted(each.key for each in batch)


def test_a_slower_writer_never_replaces_a_faster_one(archive: FileArchive, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    slow = dataclasses.replace(blob("raced", b"slow"), content=pipe)
    with ThreadPoolExecutor(1) as pool:
        slower = pool.submit(archive.put, [slow])
        with pipe.open("wb") as halfway:
            archive.put([blob("raced", b"fast")])
            halfway.write(b"slow")

    with pytest.raises(ArchiveDamagedError):
        slower.result()
    assert archive.read("raced") == b"fast"


def test_every_file_and_folder_reaches_the_disk(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """P4: whatever is called archived survives a power cut."""
    synced: set[str] = set()
    fsync = os.fsync

    def noting(descriptor: int) -> None:
        synced.add(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noting)
    FileArchive(root).put([blob("raw/a/1", b"1"), blob("raw/a/2", b"2")])

    assert {str(path) for path in (root.parent, root, root / "raw", root / "raw/a")} <= synced
    assert len([name for name in synced if INCOMING in name]) == 2


@pytest.mark.parametrize(
    ("number", "word"),
    [
        (errno.ENOSPC, "Free some space"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "writable"),
        (errno.EACCES, "0700"),
        (errno.EPERM, "hard links"),
        (errno.EIO, "journalctl"),
        (errno.ESTALE, "disk or bucket"),
    ],
)
def test_a_failing_disk_is_explained(
    archive: FileArchive, monkeypatch: pytest.MonkeyPatch, number: int, word: str
) -> None:
    def failing(_source: Path, target: Path) -> None:
        raise OSError(number, os.strerror(number), str(target))

    monkeypatch.setattr(os, "link", failing)

    with pytest.raises(ArchiveDownError) as caught:
        archive.put([blob("raw/one", b"content")])

    assert str(caught.value.facts["path"]).endswith("raw/one")
    assert caught.value.facts["cause"] == os.strerror(number)
    assert word in english.remedy(caught.value)


def test_a_disk_failing_while_reading_is_down(archive: FileArchive, root: Path) -> None:
    # Reading a process's memory at address 0 is an I/O error that needs no broken disk.
    (root / "broken").symlink_to("/proc/self/mem")

    with pytest.raises(ArchiveDownError) as caught:
        archive.read("broken")
    with archive.open("broken") as stream, pytest.raises(ArchiveDownError):
        stream.read(10)

    assert "journalctl" in english.remedy(caught.value)


def test_a_file_in_the_way_is_down(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")

    with pytest.raises(ArchiveDownError):
        FileArchive(tmp_path / "file" / "archive").check()


@pytest.mark.parametrize("damage", ["empty", "folder", "dangling", "unreadable"])
def test_whatever_lies_in_the_way_of_verified_bytes_is_set_aside(archive: FileArchive, root: Path, damage: str) -> None:
    """Issue 9, B: sectors that the disk lost, a file cut by a power failure, a mistake made by hand."""
    digest = hashlib.sha256(b"content").hexdigest()
    place = root / "parts" / digest
    place.parent.mkdir()
    match damage:
        case "empty":
            place.write_bytes(b"")
        case "folder":
            place.mkdir()
        case "dangling":
            place.symlink_to("nowhere")
        case "unreadable":
            place.symlink_to("/proc/self/mem")  # reading address 0 is an I/O error

    archive.put([blob(f"parts/{digest}", b"content")])

    assert archive.read(f"parts/{digest}", sha256=digest) == b"content"
    assert len(list((root / "damaged" / "parts").iterdir())) == 1


def test_many_repairs_of_one_object_agree(archive: FileArchive, root: Path) -> None:
    digest = hashlib.sha256(b"content").hexdigest()
    part = blob(f"parts/{digest}", b"content")
    archive.put([part])
    (root / part.key).write_bytes(b"rotten")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: FileArchive(root).put([part]), range(16)))

    assert archive.read(part.key, sha256=digest) == b"content"
    assert (root / "damaged" / f"{part.key}.{hashlib.sha256(b'rotten').hexdigest()[:16]}").read_bytes() == b"rotten"


def test_what_else_lies_there_is_not_archived(archive: FileArchive, root: Path) -> None:
    (root / "lost+found").mkdir()
    (root / "lost+found" / "x").write_bytes(b"")

    assert list(archive.keys()) == []


def test_a_folder_removed_meanwhile_is_made_again(archive: FileArchive, root: Path) -> None:
    archive.put([blob("raw/1", b"1")])
    archive.delete("raw/1")
    (root / "raw").rmdir()

    archive.put([blob("raw/2", b"2")])

    assert archive.read("raw/2") == b"2"


def test_a_folder_is_no_object(archive: FileArchive) -> None:
    archive.put([blob("raw/1", b"1")])

    assert archive.stat("raw") is None
    assert archive.stat("raw/1/x") is None
