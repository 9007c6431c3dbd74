"""Lists of accounts as people write them, in CSV or TOML: from a file, or from what a browser sent."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any, Final

from concord.errors import UsageError, nearest
from concord.pipeline.wanted import parse_toml

COLUMNS: Final = (
    "name", "host", "port", "tls", "user", "auth", "oauth_client", "password", "password_file", "password_env",
    "ca_file", "folders", "start", "after", "interval", "priority", "enabled", "mailbox",
)  # fmt: skip
_REQUIRED: Final = ("name", "host", "user")
# CSV has no lists; several folders stand in one cell.
_FOLDER_SEPARATOR: Final = ";"

Entry = tuple[int, Mapping[str, Any]]
"""The line of a CSV file or the number of a TOML entry, and what stands there."""


def entries(text: str, *, is_toml: bool, file: object) -> Iterator[Entry]:
    """One by one. Raises UsageError where the list as a whole cannot be read; `file` is what it is called."""
    return _toml_entries(text, file) if is_toml else _csv_entries(text, file)


def _toml_entries(text: str, file: object) -> Iterator[Entry]:
    found = parse_toml(text, file).get("accounts", [])
    if not isinstance(found, list) or not all(isinstance(entry, Mapping) for entry in found):
        raise UsageError("accounts_no_list", file=file)
    yield from enumerate(found, start=1)


def _csv_entries(text: str, file: object) -> Iterator[Entry]:
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
                columns = _columns(file, cells)
            elif any(cell.strip() for cell in cells):
                yield begins, _entry(columns, cells)
    except csv.Error as error:
        raise UsageError("file_no_csv", file=file, line=reader.line_num, cause=error) from None


def _columns(file: object, cells: list[str]) -> list[str]:
    columns = [cell.strip().lower() for cell in cells]
    for column in columns:
        if column not in COLUMNS:
            raise UsageError(
                "column_unknown", file=file, column=column, near=nearest(column, COLUMNS), known=", ".join(COLUMNS)
            )
    missing = [column for column in _REQUIRED if column not in columns]
    if missing:
        raise UsageError("column_missing", file=file, column=", ".join(missing), known=", ".join(COLUMNS))
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
