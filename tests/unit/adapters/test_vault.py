"""The vault: what is sealed opens with the key and with nothing else, and the key shows up nowhere (A3)."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from concord.adapters.vault import FernetVault, KeySet, fingerprint, new_key
from concord.errors import SecretKeyError
from concord.model.key_ring import KeyRing, Link
from concord.ports import Vault
from concord.settings import Settings, load
from concord.wording import english
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

    assert "concord secrets init" in english.explain(caught.value)


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

    assert "line=2" in english.explain(caught.value)
    assert bad not in english.explain(caught.value)
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

    assert str(file) in english.explain(caught.value)


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


# A key that comes through the ring, while the process runs.


class Ring:
    """A ring that a test changes, and that counts who reads it."""

    def __init__(self) -> None:
        self.now = KeyRing()
        self.reads = 0

    def read(self) -> KeyRing:
        self.reads += 1
        return self.now

    def offer(self, key: str, *, by: str) -> None:
        """Wrap a key with another one, as a rotation does."""
        at = datetime(2026, 11, 30, tzinfo=UTC)
        wrapped = KeySet.of([by]).wrap(key, link=Link.NEXT, by=fingerprint(by), now=at)
        self.now = replace(self.now, keys=(*self.now.keys, wrapped))


def test_a_process_that_has_the_old_key_opens_with_one_from_the_ring() -> None:
    ring = Ring()
    running = FernetVault(lambda: [OLD], ring.read)
    assert running.unseal(running.seal("x")) == "x"

    ring.offer(NEW, by=OLD)

    assert running.unseal(KeySet.of([NEW]).seal("y")) == "y"


def test_keys_of_two_rotations_open_one_after_the_other() -> None:
    ring, newest = Ring(), new_key()
    ring.offer(newest, by=NEW)
    ring.offer(NEW, by=OLD)

    assert FernetVault(lambda: [OLD], ring.read).unseal(KeySet.of([newest]).seal("x")) == "x"


def test_a_key_of_the_ring_opens_with_no_other_key() -> None:
    ring = Ring()
    ring.offer(NEW, by=OLD)

    with pytest.raises(SecretKeyError, match="does not open"):
        FernetVault(lambda: [new_key()], ring.read).unseal(KeySet.of([NEW]).seal("x"))


def test_a_secret_that_no_key_opens_is_not_looked_for_at_every_try() -> None:
    ring = Ring()
    running = FernetVault(lambda: [OLD], ring.read)
    for _ in range(50):
        with pytest.raises(SecretKeyError):
            running.unseal(b"garbage")
    assert ring.reads <= 2  # a busy machine may take longer than a second

    # Another one is: its key may have come just now.
    ring.offer(NEW, by=OLD)
    assert running.unseal(KeySet.of([NEW]).seal("y")) == "y"


def test_many_threads_that_need_the_new_key_read_it_once() -> None:
    ring = Ring()
    running = FernetVault(lambda: [OLD], ring.read)
    running.unseal(KeySet.of([OLD]).seal("x"))
    ring.offer(NEW, by=OLD)
    ring.reads = 0
    begin, sealed = threading.Barrier(8), KeySet.of([NEW]).seal("y")

    def one(_number: int) -> str:
        begin.wait()
        return running.unseal(sealed)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(one, range(8))) == {"y"}

    assert ring.reads == 1


def test_what_another_thread_read_too_early_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """The key comes between that thread's reading and this one's turn."""
    ring, sealed = Ring(), KeySet.of([NEW]).seal("y")
    running = FernetVault(lambda: [OLD], ring.read)
    running.unseal(KeySet.of([OLD]).seal("x"))

    def meet(_vault: FernetVault, _sealed: bytes) -> bool:
        monkeypatch.undo()
        with pytest.raises(SecretKeyError):
            running.unseal(b"garbage")
        ring.offer(NEW, by=OLD)
        return True

    monkeypatch.setattr(FernetVault, "_is_worth_a_look", meet)

    assert running.unseal(sealed) == "y"


def test_what_a_former_key_sealed_opens_in_a_process_that_had_it(key_file: Path) -> None:
    """A page in somebody's browser, opened before the rotation and sent after it."""
    running = FernetVault.from_settings(Settings(secret_key_file=key_file))
    before = running.seal("x")
    key_file.write_text(NEW, encoding="ascii")
    assert running.unseal(KeySet.of([NEW]).seal("y")) == "y"

    assert running.unseal(before) == "x"


def test_no_key_shows_in_what_a_set_of_keys_says_of_itself() -> None:
    keys = KeySet.of([NEW, OLD])

    assert NEW not in repr(keys)
    assert OLD not in repr(keys)
    assert fingerprint(NEW) in repr(keys)
