"""An archive that is away is asked for little, and comes back by itself."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest

from concord.adapters.archive_guard import PAUSE, GuardedArchive
from concord.errors import ArchiveDownError, ArchiveMissingError
from concord.ports import Blob
from tests.fakes.archive import MemoryArchive, MemoryRegistry
from tests.fakes.blobs import blob


class Disk(MemoryArchive):
    """`room` for one object, in octets; `probes` counts the checks. A check waits at the `gate`."""

    def __init__(self) -> None:
        super().__init__()
        self.room = 1_000_000
        self.probes: list[int] = []
        self.reads = 0
        self.gate = threading.Event()
        self.gate.set()

    def put(self, blobs: Sequence[Blob]) -> None:
        if any(one.size > self.room for one in blobs):
            raise ArchiveDownError("io", cause="No space left on device")
        super().put(blobs)

    def read(self, key: str, *, sha256: str | None = None) -> bytes:
        self.reads += 1
        return super().read(key, sha256=sha256)

    def check(self, octets: int = 0) -> None:
        self.probes.append(octets)
        self.gate.wait(10)
        self.put([blob("probe/1", bytes(octets))])
        self.delete("probe/1")


class Clock:
    time = 0.0

    def __call__(self) -> float:
        return self.time


@pytest.fixture
def disk() -> Disk:
    return Disk()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def archive(disk: Disk, clock: Clock) -> GuardedArchive:
    archive = GuardedArchive(disk, MemoryRegistry(), fresh=0, clock=clock)
    archive.require()
    return archive


def test_an_archive_that_works_is_not_probed(archive: GuardedArchive, disk: Disk) -> None:
    archive.put([blob("raw/1", b"1")])
    archive.require()

    assert disk.probes == []


def test_an_archive_that_went_away_is_probed_once_in_a_while(archive: GuardedArchive, disk: Disk, clock: Clock) -> None:
    """O6."""
    disk.down = True
    for _ in range(100):
        with pytest.raises(ArchiveDownError):
            archive.require()
    assert len(disk.probes) <= 1

    clock.time += PAUSE
    disk.down = False
    archive.require()
    archive.require()

    assert len(disk.probes) <= 2


def test_a_disk_without_room_for_mail_is_not_taken_for_a_working_one(
    archive: GuardedArchive, disk: Disk, clock: Clock
) -> None:
    """A probe of a few octets fits where no mail does."""
    disk.room = 100
    with pytest.raises(ArchiveDownError):
        archive.put([blob("raw/1", bytes(5000))])

    with pytest.raises(ArchiveDownError):
        archive.require()
    clock.time += PAUSE
    disk.room = 1_000_000
    archive.require()

    assert disk.probes == [5000, 5000]


def test_one_thread_probes_and_the_others_go_on(archive: GuardedArchive, disk: Disk) -> None:
    disk.room = 100
    with pytest.raises(ArchiveDownError):
        archive.put([blob("raw/1", bytes(5000))])
    disk.room, probed = 1_000_000, threading.Event()
    disk.gate.clear()

    def probe() -> None:
        archive.require()
        probed.set()

    prober = threading.Thread(target=probe)
    prober.start()
    while not disk.probes:
        prober.join(0.01)
    with pytest.raises(ArchiveDownError):
        archive.require()
    disk.gate.set()
    prober.join(10)

    assert probed.is_set()
    assert len(disk.probes) == 1
    archive.require()


def test_one_missing_object_does_not_close_the_archive(archive: GuardedArchive, disk: Disk) -> None:
    with pytest.raises(ArchiveMissingError):
        archive.read("raw/none")

    archive.require()

    assert disk.probes == []


def test_a_bucket_is_asked_for_its_marker_once_in_a_while(disk: Disk, clock: Clock) -> None:
    archive = GuardedArchive(disk, MemoryRegistry(), fresh=60, clock=clock)
    archive.require()
    disk.reads = 0

    for number in range(10):
        archive.put([blob(f"raw/{number}", b"1")])
    assert disk.reads == 0

    clock.time += 60
    archive.require()
    assert disk.reads == 1
