"""Many accounts at once from a CSV or TOML file: every row is checked before the first is kept (A8)."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

from concord.errors import UsageError
from concord.model.account import Account
from concord.pipeline.account_check import check_account, check_secret
from concord.pipeline.account_rows import entries
from concord.pipeline.secret_source import SecretSource
from concord.pipeline.wanted import wanted_account


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportRow:
    """One row: an account and its password, or why it cannot be kept."""

    place: int  # the line of a CSV file, the number of a TOML entry
    name: str
    account: Account | None = None
    password: str = field(default="", repr=False)
    error: UsageError | None = None


def read_rows(path: Path, *, environ: Mapping[str, str], taken: Collection[str], today: date) -> list[ImportRow]:
    """Every row, right or wrong. Raises UsageError where the file as a whole cannot be read."""
    source = SecretSource(word="password", folder=path.parent, environ=environ, allows_literal=True)
    is_toml = path.suffix.lower() == ".toml"
    seen, rows = dict.fromkeys(taken, "there already is an account of this name"), []
    for place, entry in entries(_text(path), is_toml=is_toml, file=path):
        row = _row(place, entry, source, seen, today)
        if row.account:
            seen[row.name] = f"it stands at {place} already"
        rows.append(row)
    if not rows:
        raise UsageError("file_no_accounts", file=path)
    return rows


def _row(place: int, entry: Mapping[str, Any], source: SecretSource, seen: Mapping[str, str], today: date) -> ImportRow:
    name = str(entry.get("name", ""))
    try:
        wanted = wanted_account(entry, source)
        check_account(wanted.account, today=today)
        check_secret(wanted.account, wanted.password)
        _refuse_taken(wanted.account.name, seen)
    except UsageError as error:
        return ImportRow(place=place, name=name, error=error)
    return ImportRow(place=place, name=wanted.account.name, account=wanted.account, password=wanted.password or "")


def _refuse_taken(name: str, seen: Mapping[str, str]) -> None:
    if name in seen:
        raise UsageError("import_name_taken", account=name, cause=seen[name])


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError("file_unreadable", file=path, cause=error.strerror) from None
    except UnicodeDecodeError:
        raise UsageError("file_no_utf8.csv", file=path) from None
