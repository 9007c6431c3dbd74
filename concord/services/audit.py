"""The audit as a whole: whether it is as it was written, and handing it out (U5)."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Generator
from dataclasses import fields
from enum import StrEnum
from itertools import islice
from threading import Lock
from typing import TYPE_CHECKING, Final

from concord.auditing import audited
from concord.errors import AuditBrokenError, ConflictError, UsageError
from concord.model.audit import EVERYTHING, AuditEntry, AuditFilter, AuditMark, AuditVerdict, Breach, canonical
from concord.model.caller import Caller

if TYPE_CHECKING:
    from concord.bootstrap import Concord

COLUMNS: Final = (*(field.name for field in fields(AuditEntry) if field.name != "hash"), "hash")
_AT_ONCE: Final = 500
_looking: Final = Lock()
# What a spreadsheet takes for a formula's beginning, full-width signs included.
_FORMULA: Final = tuple("=+-@\t\r\n＝＋－＠")
# JSON leaves these as they are, and terminals obey them.
_UNSAFE: Final = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_CONTROLS: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_MARK: Final = re.compile(r"(\d{1,18}):([0-9a-f]{64})")

_BREACHES: Final = {
    Breach.UNTIED: "untied",
    Breach.CUT: "cut",
    Breach.ADDED: "added",
    Breach.UNMARKED: "unmarked",
    Breach.FORGOTTEN: "forgotten",
}


class Form(StrEnum):
    """How the audit is handed out."""

    JSONL = "jsonl"  # a JSON object a line: exact, and can be verified by whoever has it
    CSV = "csv"  # for spreadsheets


def look(parts: Concord, *, noted: AuditMark | None = None) -> AuditVerdict:
    """Look at every row: ten seconds for half a million. Raises ConflictError while another looks: it takes a core."""
    if not _looking.acquire(blocking=False):
        raise ConflictError("audit_verifying")
    try:
        return parts.audit.verify(noted=noted)
    finally:
        _looking.release()


def verify(parts: Concord, *, noted: AuditMark | None = None) -> AuditVerdict:
    """The same. Raises AuditBrokenError too, which says where it broke."""
    verdict = look(parts, noted=noted)
    if verdict.breach:
        raise AuditBrokenError(_BREACHES[verdict.breach], row=verdict.at, rows_before=verdict.rows)
    return verdict


def read_mark(text: str) -> AuditMark:
    """`ROW:HASH`, as `verify` gives it and people note it. Raises UsageError."""
    if not (found := _MARK.fullmatch(text.strip())):
        raise UsageError("audit_mark", value=text)
    return AuditMark(id=int(found[1]), hash=found[2])


def export(
    parts: Concord, narrowed: AuditFilter = EVERYTHING, *, form: Form = Form.JSONL, by: Caller
) -> Generator[str, None, None]:
    """All rows that fit, the oldest first, in pieces of some hundred lines. That it was done is a row too, the next."""
    with audited(parts.audit, by, "audit.export") as note:
        rows, count = parts.audit.stream(narrowed), 0
        if form is Form.CSV:
            yield _BEGIN_CSV
        while piece := list(islice(rows, _AT_ONCE)):
            count += len(piece)
            yield _csv(piece) if form is Form.CSV else "".join(map(_line, piece))
        note.detail = f"{count} rows as {form}"


def document(entry: AuditEntry) -> dict[str, object]:
    """A row as JSON: what its hash is made of, and the hash."""
    return {**canonical(entry), "hash": entry.hash}


def _line(entry: AuditEntry) -> str:
    text = json.dumps(document(entry), ensure_ascii=False, separators=(",", ":"))
    return _UNSAFE.sub(lambda sign: f"\\u{ord(sign[0]):04x}", text) + "\n"


def _csv(entries: list[AuditEntry]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL)
    for entry in entries:
        told = document(entry)
        writer.writerow([_cell(told[column]) for column in COLUMNS])
    return out.getvalue()


def _cell(value: object) -> str:
    """Never a formula: a spreadsheet would carry out what a name or a mail's subject says."""
    text = "" if value is None else _CONTROLS.sub("\ufffd", str(value))
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


# Spreadsheets take it for UTF-8 by its first character.
_BEGIN_CSV: Final = "\ufeff" + ",".join(f'"{column}"' for column in COLUMNS) + "\r\n"
