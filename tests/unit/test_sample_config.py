"""deploy/concord.toml tells an operator every setting, with its true default."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from concord.settings import Settings

SAMPLE = Path(__file__).parents[2] / "deploy" / "concord.toml"
# "#name = value" is a setting with its default; "# words" is prose.
COMMENTED = re.compile(r"^#(?=[a-z_0-9]+ = )", re.MULTILINE)


@pytest.fixture(autouse=True)
def _no_other_sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CONCORD_CONFIG", str(tmp_path / "none.toml"))
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.delenv("CONCORD_CREDENTIALS", raising=False)


def leaves(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Dotted names of every setting."""
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from leaves(kind, f"{prefix}{name}.")
        else:
            yield prefix + name


def flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for name, value in table.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


def value_at(settings: BaseModel, name: str) -> object:
    value: object = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value


def uncommented() -> dict[str, Any]:
    return tomllib.loads(COMMENTED.sub("", SAMPLE.read_text(encoding="utf-8")))


def test_as_shipped_it_changes_nothing() -> None:
    shipped = tomllib.loads(SAMPLE.read_text(encoding="utf-8"))

    assert flat(shipped) == {}
    assert Settings(**shipped) == Settings()


def test_every_setting_is_in_it_and_no_other() -> None:
    assert sorted(flat(uncommented())) == sorted(leaves(Settings))


@pytest.mark.parametrize("name", list(leaves(Settings)))
def test_a_commented_value_is_the_default(name: str) -> None:
    sample, default = Settings(**uncommented()), Settings()

    # Where nothing is the default, the sample has an example, and says so.
    if value_at(default, name) is None:
        assert value_at(sample, name) is not None
    else:
        assert value_at(sample, name) == value_at(default, name)


@pytest.mark.parametrize("name", list(leaves(Settings)))
def test_a_setting_follows_words_that_explain_it(name: str) -> None:
    group, _, key = name.rpartition(".")
    lines = SAMPLE.read_text(encoding="utf-8").splitlines()
    lines = lines[lines.index(f"[{group}]") :] if group else lines

    place = next(at for at, line in enumerate(lines) if line.startswith(f"#{key} = "))

    assert re.match(r"# \S+ \S+", lines[place - 1])


def test_a_setting_without_default_says_so() -> None:
    paragraphs = SAMPLE.read_text(encoding="utf-8").split("\n\n")

    for name in leaves(Settings):
        if value_at(Settings(), name) is None:
            key = name.rpartition(".")[2]
            told = next(text for text in paragraphs if f"\n#{key} = " in text)
            assert "No default" in told
