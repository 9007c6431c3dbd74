"""The vault: what is sealed opens with the key and with nothing else, and the key shows up nowhere (A3)."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from concord.adapters.vault import FernetVault, new_key
from concord.errors import SecretKeyError
from concord.ports import Vault
from concord.settings import Settings, load
from tests.fakes.vault import NullVault

OLD, NEW = new_key(), new_key()


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    """A file with one key."""
    file = tmp_path / "secret_key"
    file.write_text(OLD + "\n", encoding="ascii")
    file.chmod(0o600)
    return file


@pytest.mark.parametrize("vault", [FernetVault(lambda: [NEW, OLD]), NullVault()], ids=["fernet", "null"])
class TestEveryVault:
    """The port's promises."""

    def test_what_is_sealed_opens(self, vault: Vault) -> None:
        assert vault.unseal(vault.seal("pässwörd 密码")) == "pässwörd 密码"

    def test_what_was_sealed_anew_opens(self, vault: Vault) -> None:
        assert vault.unseal(vault.reseal(vault.seal("x"))) == "x"

    @pytest.mark.parametrize("verb", ["unseal", "reseal"])
    def test_what_is_no_secret_is_refused(self, vault: Vault, verb: str) -> None:
        with pytest.raises(SecretKeyError, match="does not open"):
            getattr(vault, verb)(b"\xff nothing")


def test_what_is_sealed_does_not_show_what_it_hides() -> None:
    vault = FernetVault(lambda: [OLD])

    assert b"hunter2" not in vault.seal("hunter2")
    assert vault.seal("hunter2") != vault.seal("hunter2")


def test_any_of_the_keys_opens_and_the_first_seals() -> None:
    both = FernetVault(lambda: [NEW, OLD])

    assert both.unseal(FernetVault(lambda: [OLD]).seal("x")) == "x"
    assert FernetVault(lambda: [NEW]).unseal(both.seal("x")) == "x"


def test_sealing_anew_leaves_the_old_key_behind() -> None:
    sealed = FernetVault(lambda: [OLD]).seal("x")

    anew = FernetVault(lambda: [NEW, OLD]).reseal(sealed)

    assert FernetVault(lambda: [NEW]).unseal(anew) == "x"


def test_a_running_process_learns_of_a_new_key_by_itself(key_file: Path) -> None:
    running = FernetVault.from_settings(Settings(secret_key_file=key_file))
    key_file.write_text(f"# newest first\n{NEW}\n\n  {OLD}\n", encoding="ascii")

    sealed = FernetVault(lambda: [NEW]).seal("x")

    assert running.unseal(sealed) == "x"
    assert FernetVault(lambda: [NEW]).unseal(running.seal("y")) == "y"


def test_a_running_process_never_seals_with_a_key_that_was_taken_away(key_file: Path) -> None:
    running = FernetVault.from_settings(Settings(secret_key_file=key_file))
    running.unseal(running.seal("x"))
    key_file.write_text(NEW, encoding="ascii")

    assert FernetVault(lambda: [NEW]).unseal(running.seal("y")) == "y"


def test_the_credentials_directory_holds_the_key(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(key_file.parent))

    vault = FernetVault.from_settings(load())
    key_file.write_text(f"{NEW}\n{OLD}\n", encoding="ascii")

    assert vault.unseal(FernetVault(lambda: [NEW]).seal("x")) == "x"


def test_the_environment_goes_before_the_credentials_directory(key_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(key_file.parent))
    monkeypatch.setenv("CONCORD_SECRET_KEY", NEW)

    assert FernetVault(lambda: [NEW]).unseal(FernetVault.from_settings(load()).seal("x")) == "x"


def test_a_value_given_directly_is_the_key() -> None:
    vault = FernetVault.from_settings(Settings(secret_key=SecretStr(f"{NEW}\n{OLD}")))

    assert vault.unseal(FernetVault(lambda: [OLD]).seal("x")) == "x"


# Refusals: at the start, with the remedy, without the key.


def test_without_a_key_nothing_starts() -> None:
    with pytest.raises(SecretKeyError, match="no key") as caught:
        FernetVault.from_settings(Settings())

    assert "concord secrets init" in caught.value.explain()


def test_an_empty_key_file_is_no_key(key_file: Path) -> None:
    key_file.write_text("\n# soon\n", encoding="ascii")

    with pytest.raises(SecretKeyError, match="no key"):
        FernetVault.from_settings(Settings(secret_key_file=key_file))


@pytest.mark.parametrize(
    "bad",
    ["hunter2", OLD[:-2], OLD + OLD, "hunter2-" + "é" * 40],
    ids=["short", "cut", "doubled", "not-ascii"],  # keys are made anew each time; names must not be
)
def test_a_malformed_key_is_told_by_its_line_only(bad: str) -> None:
    with pytest.raises(SecretKeyError, match="malformed") as caught:
        FernetVault.from_settings(Settings(secret_key=SecretStr(f"{OLD}\n{bad}")))

    assert "line=2" in caught.value.explain()
    assert bad not in caught.value.explain()
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("kind", ["missing", "folder", "binary"])
def test_a_key_file_that_cannot_be_read_is_named(tmp_path: Path, kind: str) -> None:
    file = tmp_path / kind
    if kind == "folder":
        file.mkdir()
    if kind == "binary":
        file.write_bytes(b"\xff\xfe\x00")

    with pytest.raises(SecretKeyError, match="cannot be read") as caught:
        FernetVault.from_settings(Settings(secret_key_file=file))

    assert str(file) in caught.value.explain()


def test_a_key_file_open_to_everybody_is_told(key_file: Path) -> None:
    key_file.chmod(0o644)

    with capture_logs() as logs:
        FernetVault.from_settings(Settings(secret_key_file=key_file))

    assert [(entry["event"], entry["file"]) for entry in logs] == [("secret_key.exposed", str(key_file))]


def test_a_key_file_of_its_own_group_is_in_order(key_file: Path) -> None:
    """Systemd shows what it hands over as readable by a group."""
    key_file.chmod(0o440)

    with capture_logs() as logs:
        FernetVault.from_settings(Settings(secret_key_file=key_file))

    assert logs == []
