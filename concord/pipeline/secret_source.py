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
            raise UsageError("secret_twice", name=owner, keys=" and ".join(given))
        if not given:
            return rest, None
        value = document[given[0]]
        if not isinstance(value, str):
            raise UsageError("secret_no_text", name=owner, key=given[0])
        return rest, self._read(given[0], value, owner)

    def _read(self, key: str, value: str, owner: object) -> str:
        if key != self.word and not self.allows_reference:
            raise UsageError("secret_from_machine", name=owner, key=key, word=self.word)
        if key.endswith("_file"):
            return self._from_file(value, owner)
        if key.endswith("_env"):
            return self._from_environment(value, owner)
        if not self.allows_literal:
            raise UsageError("secret_in_file", name=owner, key=key, word=self.word)
        return value

    def _from_file(self, name: str, owner: object) -> str:
        path = self.folder / name
        try:
            return path.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
        except OSError as error:
            cause = error.strerror or str(error)
        except UnicodeDecodeError:
            cause = "it is not UTF-8 text"
        raise UsageError("secret_file", name=owner, file=path, cause=cause)

    def _from_environment(self, variable: str, owner: object) -> str:
        if not self.environ.get(variable):
            raise UsageError("secret_variable", name=owner, variable=variable, word=self.word)
        return self.environ[variable]
