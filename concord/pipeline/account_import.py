"""Many accounts at once from a CSV or TOML file: every row is checked before the first is kept (A8)."""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any, Final

from concord.errors import UsageError, did_you_mean
from concord.model.account import Account
from concord.pipeline.account_check import check_account, check_password
from concord.pipeline.secret_source import SecretSource
from concord.pipeline.wanted import load_toml, wanted_account

COLUMNS: Final = (
    "name", "host", "port", "tls", "user", "password", "password_file", "password_env",
    "ca_file", "folders", "start", "after", "interval", "priority", "enabled",
)  # fmt: skip
_REQUIRED: Final = ("name", "host", "user")
# CSV has no lists; several folders stand in one cell.
_FOLDER_SEPARATOR: Final = ";"


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
    entries = _toml_entries(path) if path.suffix.lower() == ".toml" else _csv_entries(path)
    seen, rows = dict.fromkeys(taken, "there already is an account of this name"), []
    for place, entry in entries:
        row = _row(place, entry, source, seen, today)
        if row.account:
            seen[row.name] = f"it stands at {place} already"
        rows.append(row)
    if not rows:
        raise UsageError("The file has no accounts", file=path, remedy="Add a line for each account below the header")
    return rows


def _row(place: int, entry: Mapping[str, Any], source: SecretSource, seen: Mapping[str, str], today: date) -> ImportRow:
    name = str(entry.get("name", ""))
    try:
        wanted = wanted_account(entry, source)
        check_account(wanted.account, today=today)
        check_password(wanted.account.name, wanted.password or "")
        _refuse_taken(wanted.account.name, seen)
    except UsageError as error:
        return ImportRow(place=place, name=name, error=error)
    return ImportRow(place=place, name=wanted.account.name, account=wanted.account, password=wanted.password or "")


def _refuse_taken(name: str, seen: Mapping[str, str]) -> None:
    if name in seen:
        raise UsageError("The name is taken", account=name, cause=seen[name], remedy="Take another name")


def _toml_entries(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    entries = load_toml(path).get("accounts", [])
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise UsageError("Accounts are not a list of tables", file=path, remedy="Begin each with [[accounts]]")
    yield from enumerate(entries, start=1)


def _csv_entries(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    text = _csv_text(path)
    header = text.partition("\n")[0]
    # Spreadsheets of many countries write semicolons.
    delimiter = ";" if ";" in header and "," not in header else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns: list[str] = []
    line = 1
    try:
        for cells in reader:
            begins, line = line, reader.line_num + 1
            if not columns:
                columns = _columns(path, cells)
            elif any(cell.strip() for cell in cells):
                yield begins, _entry(columns, cells)
    except csv.Error as error:
        raise UsageError(
            "The file is not valid CSV", file=path, line=reader.line_num, cause=error, remedy="Correct that line"
        ) from None


def _csv_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UsageError(
            "The file cannot be read", file=path, cause=error.strerror, remedy="Correct the path or the file's mode"
        ) from None
    except UnicodeDecodeError:
        raise UsageError("The file is not UTF-8 text", file=path, remedy="Save it as CSV in UTF-8") from None


def _columns(path: Path, cells: list[str]) -> list[str]:
    columns = [cell.strip().lower() for cell in cells]
    for column in columns:
        if column not in COLUMNS:
            raise UsageError(
                "The header has a column that does not exist",
                file=path,
                column=column,
                remedy=did_you_mean(column, COLUMNS) or f"The columns are {', '.join(COLUMNS)}",
            )
    missing = [column for column in _REQUIRED if column not in columns]
    if missing:
        raise UsageError(
            "The header lacks a column",
            file=path,
            column=", ".join(missing),
            remedy=f"The first line names the columns, of: {', '.join(COLUMNS)}",
        )
    return columns


def _entry(columns: list[str], cells: list[str]) -> dict[str, Any]:
    """Empty cells say nothing; a password keeps its spaces."""
    if len(cells) > len(columns):
        # Told as the row's own mistake, under a key that no account has.
        return {"name": cells[0], "(more cells than columns)": ""}
    entry: dict[str, Any] = {
        column: cell if column == "password" else cell.strip()
        for column, cell in zip(columns, cells, strict=False)
        if cell.strip()
    }
    if "folders" in entry:
        entry["folders"] = [folder.strip() for folder in entry["folders"].split(_FOLDER_SEPARATOR)]
    return entry
