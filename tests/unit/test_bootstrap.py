"""The composition root: each part made once, whoever asks first."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from concord import bootstrap
from concord.adapters.archive_file import FileArchive
from concord.settings import ArchiveSettings, Settings


def test_threads_that_ask_together_get_the_same_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second pool of IMAP connections, or a second engine, would hold its sockets for nobody."""

    def slowly(path: Path) -> FileArchive:
        time.sleep(0.05)  # wide enough for every thread to ask while the first is still making it
        return FileArchive(path)

    monkeypatch.setattr(bootstrap, "FileArchive", slowly)
    made = bootstrap.Concord(Settings(archive=ArchiveSettings(path=tmp_path)))

    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(lambda _: made.archive, range(8)))

    assert len({id(archive) for archive in found}) == 1
