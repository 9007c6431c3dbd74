"""The plain celery commands refuse what cannot work, in one sentence and without a traceback (A3, W8)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


def celery(command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("CONCORD_")}
    return subprocess.run(
        [sys.executable, "-m", "celery", "-A", "concord.celery_app", command],
        env={**ours, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("command", "settings", "told"),
    [
        ("worker", "", ("no key", "concord secrets init")),
        ("beat", "[poll]\nintervall = 3\n", ("poll.intervall", "Did you mean 'interval'?")),
        ("worker", '[redis]\nurl = "redis-cluster://x"\n', ("Redis Cluster cannot be the broker", "sentinel://")),
        ("flower", "poll = [", ("not valid TOML", "concord config check")),
        ("beat", '[log]\ndirectory = "/nowhere/at/all"\n', ("log directory cannot be written", "install -d")),
        ("flower", '[log]\ndirectory = "/nowhere/at/all"\n', ("log directory cannot be written", "install -d")),
    ],
)
def test_what_cannot_work_is_refused_in_words(
    tmp_path: Path, command: str, settings: str, told: tuple[str, ...]
) -> None:
    file = tmp_path / "concord.toml"
    file.write_text(settings, encoding="utf-8")

    done = celery(command, CONCORD_CONFIG=str(file))

    assert done.returncode == 1
    assert all(words in done.stderr for words in told), done.stderr
    assert "Traceback" not in done.stdout + done.stderr
