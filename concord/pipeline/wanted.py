"""What a file for `concord apply` asks for, read whole before anything is done."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from concord.errors import UsageError, nearest
from concord.model.account import Account, Mailbox
from concord.model.rule import HandlerSpec, Rule, WorkflowSpec
from concord.pipeline.account_document import account_from_document, take_mailbox
from concord.pipeline.book_document import handler_from_document, workflow_from_document
from concord.pipeline.rule_document import rule_from_document
from concord.pipeline.secret_source import SecretSource

SECTIONS: Final = ("accounts", "handlers", "workflows", "rules")
_TWICE: Final = {
    "accounts": "accounts_twice",
    "handlers": "handlers_twice",
    "workflows": "workflows_twice",
    "rules": "rules_twice",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedAccount:
    """An account, and its password where the file names one."""

    account: Account
    password: str | None = field(default=None, repr=False)
    mailbox: Mailbox | None = None  # what a changed host or user means


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedHandler:
    """A handler, and its secret where the file names one."""

    handler: HandlerSpec
    secret: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """The file's content. `sections` are those it has, even empty: pruning touches no others."""

    accounts: tuple[WantedAccount, ...] = ()
    handlers: tuple[WantedHandler, ...] = ()
    workflows: tuple[WorkflowSpec, ...] = ()
    rules: tuple[Rule, ...] = ()
    sections: frozenset[str] = frozenset()


def read_wanted(path: Path, environ: Mapping[str, str]) -> Wanted:
    """Read the file and every secret it points to. Raises UsageError, which names file, entry, cause and remedy."""
    document = load_toml(path)
    for name in document:
        if name not in SECTIONS:
            raise UsageError(
                "section_unknown", file=path, section=name, near=nearest(name, SECTIONS), known=", ".join(SECTIONS)
            )
    entries = {section: _entries(document.get(section, []), section, path) for section in SECTIONS}
    password, secret = (SecretSource(word=word, folder=path.parent, environ=environ) for word in ("password", "secret"))
    return Wanted(
        accounts=tuple(wanted_account(entry, password) for entry in entries["accounts"]),
        handlers=tuple(_handler(entry, secret) for entry in entries["handlers"]),
        workflows=tuple(workflow_from_document(entry) for entry in entries["workflows"]),
        rules=tuple(rule_from_document(entry) for entry in entries["rules"]),
        sections=frozenset(document),
    )


def load_toml(path: Path) -> dict[str, Any]:
    """Raises UsageError with the file, and the line where it is no TOML."""
    try:
        return parse_toml(path.read_text(encoding="utf-8-sig"), path)
    except OSError as error:
        raise UsageError("file_unreadable", file=path, cause=error.strerror) from None
    except UnicodeDecodeError:
        raise UsageError("file_no_utf8", file=path) from None


def parse_toml(text: str, file: object) -> dict[str, Any]:
    """The same for text that is at hand; `file` is what it is called."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError("file_no_toml", file=file, cause=error) from None


def wanted_account(entry: Mapping[str, Any], source: SecretSource, *, base: Account | None = None) -> WantedAccount:
    """One account of a document, or what it changes of `base`; its files are relative to the document's folder."""
    rest, mailbox = take_mailbox(entry)
    rest, password = source.take(rest)
    account = account_from_document(rest, base=base)
    if rest.get("ca_file") and account.ca_file:
        account = replace(account, ca_file=str((source.folder / account.ca_file).absolute()))
    return WantedAccount(account=account, password=password, mailbox=mailbox)


def _handler(entry: Mapping[str, Any], source: SecretSource) -> WantedHandler:
    rest, secret = source.take(entry)
    return WantedHandler(handler=handler_from_document(rest), secret=secret)


def _entries(written: object, section: str, path: Path) -> Sequence[Mapping[str, Any]]:
    if not isinstance(written, list) or not all(isinstance(entry, Mapping) for entry in written):
        raise UsageError("section_no_list", file=path, section=section)
    for name, count in Counter(str(entry.get("name")) for entry in written if entry.get("name")).items():
        if count > 1:
            raise UsageError(_TWICE[section], file=path, name=name)
    return written
