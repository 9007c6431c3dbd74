"""A call whose worst case outlives a task's time limit is refused at start, with the arithmetic."""

from __future__ import annotations

from pathlib import Path

import pytest

from concord.errors import SettingsError
from concord.settings import Settings, load, slowest_calls
from concord.wording import english


def refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, toml: str) -> str:
    """What `load` says against it."""
    config = tmp_path / "concord.toml"
    config.write_text(toml, encoding="utf-8")
    monkeypatch.setenv("CONCORD_CONFIG", str(config))
    monkeypatch.delenv("CONCORD_CREDENTIALS", raising=False)
    with pytest.raises(SettingsError) as caught:
        load()
    return english.explain(caught.value)


S3 = '[archive]\nkind = "s3"\n[archive.s3]\nbucket = "mails"\n'


def test_a_store_that_hangs_must_count_as_down_before_the_time_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Trap 92: botocore swallows the soft limit; five tries of 65 s outlived the hard one, and mails were blamed."""
    told = refused(monkeypatch, tmp_path, f"{S3}max_attempts = 5\nread_timeout = 60\n")

    assert "archive.s3: 5 tries × (5 s to connect + 60 s to read) + 15 s between them = 340 s" in told
    assert "half of process.soft_time_limit (120 s)" in told
    assert "lower archive.s3.max_attempts or archive.s3.read_timeout" in told


def test_a_receiver_that_hangs_must_be_given_up_before_the_time_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told = refused(monkeypatch, tmp_path, "[webhook]\ntimeout = 300\n")

    assert "webhook.timeout: 300 s = 300 s is more than process.soft_time_limit (240 s)" in told


def test_a_file_archive_is_not_asked_for_the_times_of_s3(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    config = tmp_path / "concord.toml"
    config.write_text("[archive.s3]\nmax_attempts = 20\n", encoding="utf-8")
    monkeypatch.setenv("CONCORD_CONFIG", str(config))

    assert load().archive.s3.max_attempts == 20


def test_the_defaults_fit() -> None:
    settings = Settings.model_validate({"archive": {"kind": "s3", "s3": {"bucket": "mails"}}})

    calls = slowest_calls(settings)

    assert all(call.fits for call in calls)
    assert str(calls[-1]).endswith("= 108 s fits into half of process.soft_time_limit (120 s)")


@pytest.mark.parametrize(("tries", "pauses"), [(1, 0), (2, 1), (4, 7), (8, 1 + 2 + 4 + 8 + 16 + 20 + 20)])
def test_the_pauses_between_tries_are_botocores(tries: int, pauses: int) -> None:
    settings = Settings.model_validate({"archive": {"s3": {"max_attempts": tries}}})

    assert settings.archive.s3.backoff == pauses
