"""Where a document says that a password or secret is to be read from: a file, or a variable of the environment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from concord.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretSource:
    """Reads what `password_file` or `password_env` point to; `word` is password or secret."""

    word: str
    folder: Path  # relative files are relative to it
    environ: Mapping[str, str] = field(repr=False)
    allows_literal: bool = False  # whether the secret itself may stand in the document
    allows_reference: bool = True  # whether it may name a file or variable: not what came from another machine

    def take(self, document: Mapping[str, Any]) -> tuple[dict[str, Any], str | None]:
        """The document without what points to a secret, and the secret; None where none is named."""
        names = (f"{self.word}_file", f"{self.word}_env", self.word)
        owner = document.get("name")
        rest = {key: value for key, value in document.items() if key not in names}
        given = [name for name in names if document.get(name)]
        if len(given) > 1:
            raise UsageError(
                "A password or secret is given twice", name=owner, keys=" and ".join(given), remedy="Keep one of them"
            )
        if not given:
            return rest, None
        value = document[given[0]]
        if not isinstance(value, str):
            raise UsageError(
                "A password or secret is not text", name=owner, key=given[0], remedy="Put it in quotation marks"
            )
        return rest, self._read(given[0], value, owner)

    def _read(self, key: str, value: str, owner: object) -> str:
        if key != self.word and not self.allows_reference:
            raise UsageError(
                "A password or secret is to be read from this machine",
                name=owner,
                key=key,
                remedy=f"Write it under '{self.word}'; only 'concord apply' and imports at the command line read files",
            )
        if key.endswith("_file"):
            return self._from_file(value, owner)
        if key.endswith("_env"):
            return self._from_environment(value, owner)
        if not self.allows_literal:
            raise UsageError(
                "A password or secret stands in the file itself",
                name=owner,
                key=key,
                remedy=f"Put it into a file of its own (mode 0600), and name that file with {self.word}_file",
            )
        return value

    def _from_file(self, name: str, owner: object) -> str:
        path = self.folder / name
        try:
            return path.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
        except OSError as error:
            cause = error.strerror or str(error)
        except UnicodeDecodeError:
            cause = "it is not UTF-8 text"
        raise UsageError(
            "The file of a password or secret cannot be read",
            name=owner,
            file=path,
            cause=cause,
            remedy="Correct the path or the file",
        )

    def _from_environment(self, variable: str, owner: object) -> str:
        if not self.environ.get(variable):
            raise UsageError(
                "The variable for a password or secret is not set",
                name=owner,
                variable=variable,
                remedy=f"Set it in the environment, or use {self.word}_file",
            )
        return self.environ[variable]
