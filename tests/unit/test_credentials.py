"""Each daemon gets its own secrets: as credentials of its unit, and in its settings wherever these come from."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
from pydantic import BaseModel, SecretStr

from concord import settings
from concord.adapters.vault import FernetVault, new_key
from concord.errors import SecretKeyError, SettingsError
from concord.settings import NOT_GIVEN, SECRETS, SECRETS_OF, Settings

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
FILE = """\
secret_key = "key"
[database]
url = "postgresql://concord:database-password@db/concord"
[redis]
url = "redis://:redis-password@redis/0"
[archive.s3]
secret_access_key = "s3-secret"
[flower]
password = "flower-password"
"""
VARIABLES = {
    "CONCORD_SECRET_KEY": "key",
    "CONCORD_DATABASE__URL": "postgresql://concord:database-password@db/concord",
    "concord_redis__url": "redis://:redis-password@redis/0",
    "CONCORD_ARCHIVE__S3__SECRET_ACCESS_KEY": "s3-secret",
    "CONCORD_FLOWER__PASSWORD": "flower-password",
}
VALUES = {
    "secret_key": "key",
    "database.url": "postgresql://concord:database-password@db/concord",
    "redis.url": "redis://:redis-password@redis/0",
    "archive.s3.secret_access_key": "s3-secret",
    "flower.password": "flower-password",
}
# No secret by itself; it lies beside the one that belongs to it.
IDENTIFIER = "archive.s3.access_key_id"
NAMES = {value: name for name, value in VALUES.items()}


def secrets_in(group: BaseModel, above: str = "") -> dict[str, str]:
    """Every secret setting, by its dotted name."""
    found: dict[str, str] = {}
    for name in type(group).model_fields:
        value = getattr(group, name)
        if isinstance(value, BaseModel):
            found |= secrets_in(value, f"{above}{name}.")
        elif isinstance(value, SecretStr):
            found[above + name] = value.get_secret_value()
    return found


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "concord.toml"
    path.write_text(FILE, encoding="utf-8")
    monkeypatch.setenv("CONCORD_CONFIG", str(path))
    return path


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As a unit gets them."""
    folder = tmp_path / "run"
    folder.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    return folder


def test_every_secret_setting_has_a_daemon_that_needs_it(file: Path) -> None:
    """A new secret must be given to the daemons that need it: nobody else gets it."""
    assert secrets_in(settings.load()) == VALUES
    assert set(VALUES) == SECRETS - {IDENTIFIER}


@pytest.mark.parametrize("daemon", SECRETS_OF)
def test_unit_loads_the_secrets_of_its_daemon_and_no_others(daemon: str) -> None:
    unit = UNITS / f"concord-{daemon}{'@' if daemon == 'worker' else ''}.service"
    lines = unit.read_text(encoding="utf-8").splitlines()

    names = {name.replace(".", "__") for name in SECRETS_OF[daemon]}
    assert {line for line in lines if line.startswith("LoadCredential=")} == {
        f"LoadCredential={name}:/etc/concord/credentials/{name}" for name in names
    }
    # A file that is not there keeps no daemon from starting.
    assert {line for line in lines if line.startswith("SetCredential=")} == {
        f"SetCredential={name}:{NOT_GIVEN}" for name in names
    }


def test_no_other_file_of_the_units_loads_a_secret() -> None:
    files = [path for path in UNITS.rglob("*.*") if path.is_file()]
    loading = [path.name for path in files if "Credential=" in path.read_text(encoding="utf-8")]

    assert {re.sub(r"concord-(\w+)@?\.service", r"\1", name) for name in loading} == set(SECRETS_OF)


@pytest.mark.parametrize("daemon", SECRETS_OF)
def test_daemon_drops_the_secrets_of_others_from_the_file(file: Path, daemon: str) -> None:
    """The settings file is one for all; what is written there against all advice stays out of a daemon's memory."""
    settings.become(daemon)

    loaded = settings.load()

    kept = {name: value for name, value in secrets_in(loaded).items() if value == VALUES[name]}
    assert set(kept) == SECRETS_OF[daemon] - {IDENTIFIER}
    assert not [value for name, value in VALUES.items() if name not in kept and value in repr(secrets_in(loaded))]


@pytest.mark.parametrize("daemon", SECRETS_OF)
def test_daemon_drops_the_secrets_of_others_from_its_environment(daemon: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that it starts would inherit them."""
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)

    settings.become(daemon)

    left = {NAMES[value] for name, value in os.environ.items() if name in VARIABLES}
    assert left == SECRETS_OF[daemon] - {IDENTIFIER}


def test_command_at_a_shell_has_all_secrets(file: Path) -> None:
    assert secrets_in(settings.load()) == VALUES


def test_credential_without_a_file_is_not_given(credentials: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("database__url", "redis__url", "flower__password", "archive__s3__secret_access_key", "secret_key"):
        (credentials / name).write_text(NOT_GIVEN, encoding="utf-8")
    monkeypatch.setenv("CONCORD_CONFIG", str(Path(__file__).parents[2] / "deploy" / "concord.toml"))

    assert settings.load() == Settings()
    with pytest.raises(SecretKeyError, match="no key"):
        FernetVault.from_settings(settings.load())


def test_truncated_credential_is_an_error(credentials: Path) -> None:
    """Else a daemon would go on with another database."""
    (credentials / "database__url").write_text("", encoding="utf-8")

    with pytest.raises(SettingsError):
        settings.load()


def test_key_file_in_the_hidden_folder_is_the_credential(credentials: Path) -> None:
    """An installation whose settings name the file keeps working: the units hide its folder."""
    key = new_key()
    (credentials / "secret_key").write_text(key, encoding="ascii")

    chosen = Settings(secret_key_file=settings.DEFAULT_CREDENTIALS / "secret_key")

    assert chosen.secret_key_file == credentials / "secret_key"
    assert FernetVault(lambda: [key]).unseal(FernetVault.from_settings(chosen).seal("x")) == "x"


def test_key_file_elsewhere_stays_where_it_is(credentials: Path) -> None:
    (credentials / "secret_key").write_text(new_key(), encoding="ascii")

    assert Settings(secret_key_file=Path("/srv/secret_key")).secret_key_file == Path("/srv/secret_key")
