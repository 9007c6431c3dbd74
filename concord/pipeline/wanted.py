"""What a file for `concord apply` asks for, read whole before anything is done."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from concord.errors import UsageError, did_you_mean
from concord.model.account import Account
from concord.model.rule import HandlerSpec, Rule, WorkflowSpec, WorkflowStepSpec
from concord.pipeline.account_document import account_from_document
from concord.pipeline.rule_document import rule_from_document
from concord.pipeline.secret_source import SecretSource

SECTIONS: Final = ("accounts", "handlers", "workflows", "rules")
_HANDLER_KEYS: Final = ("name", "kind", "options", "enabled")
_WORKFLOW_KEYS: Final = ("name", "steps", "enabled")
_STEP_KEYS: Final = ("name", "kind", "options")


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedAccount:
    """An account, and its password where the file names one."""

    account: Account
    password: str | None = field(default=None, repr=False)


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
                "The file has a section that does not exist",
                file=path,
                section=name,
                remedy=did_you_mean(name, SECTIONS) or f"The sections are {', '.join(SECTIONS)}",
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
        raise UsageError(
            "The file cannot be read", file=path, cause=error.strerror, remedy="Correct the path or the file's mode"
        ) from None
    except UnicodeDecodeError:
        raise UsageError("The file is not UTF-8 text", file=path, remedy="Save it as UTF-8") from None


def parse_toml(text: str, file: object) -> dict[str, Any]:
    """The same for text that is at hand; `file` is what it is called."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(
            "The file is not valid TOML", file=file, cause=error, remedy="Correct it at the place named"
        ) from None


def wanted_account(entry: Mapping[str, Any], source: SecretSource, *, base: Account | None = None) -> WantedAccount:
    """One account of a document, or what it changes of `base`; its files are relative to the document's folder."""
    rest, password = source.take(entry)
    account = account_from_document(rest, base=base)
    if rest.get("ca_file") and account.ca_file:
        account = replace(account, ca_file=str((source.folder / account.ca_file).absolute()))
    return WantedAccount(account=account, password=password)


def workflow_from_document(entry: Mapping[str, Any]) -> WorkflowSpec:
    """The written form of a workflow. Raises UsageError."""
    name = _named(entry, "workflow", _WORKFLOW_KEYS)
    steps = entry.get("steps", [])
    if not isinstance(steps, list) or not steps or not all(isinstance(step, Mapping) for step in steps):
        raise UsageError(
            "A workflow has no steps",
            workflow=name,
            remedy='Give it some: steps = [{ name = "…", kind = "webhook", options = { url = "…" } }]',
        )
    read = tuple(_step(step, name) for step in steps)
    _refuse_twice((step.name for step in read), "step", workflow=name)
    return WorkflowSpec(name=name, steps=read, enabled=_truth(entry, "workflow"))


def workflow_to_document(workflow: WorkflowSpec) -> dict[str, Any]:
    """The same back."""
    steps = [{"name": step.name, "kind": step.kind, "options": plain(step.options)} for step in workflow.steps]
    return {"name": workflow.name, "enabled": workflow.enabled, "steps": steps}


def handler_to_document(handler: HandlerSpec) -> dict[str, Any]:
    """The written form of a handler; its secret is never in it."""
    return {
        "name": handler.name,
        "kind": handler.kind,
        "options": plain(handler.options),
        "enabled": handler.enabled,
    }


def plain(options: object) -> Any:
    """Options as JSON keeps them: a TOML date becomes text, a tuple a list."""
    return json.loads(json.dumps(options, default=str))


def _handler(entry: Mapping[str, Any], source: SecretSource) -> WantedHandler:
    rest, secret = source.take(entry)
    name = _named(rest, "handler", _HANDLER_KEYS)
    handler = HandlerSpec(
        name=name,
        kind=_kind(rest, handler=name),
        options=_options(rest, handler=name),
        enabled=_truth(rest, "handler"),
    )
    return WantedHandler(handler=handler, secret=secret)


def _step(entry: Mapping[str, Any], workflow: str) -> WorkflowStepSpec:
    name = _named(entry, "step", _STEP_KEYS)
    return WorkflowStepSpec(
        name=name,
        kind=_kind(entry, workflow=workflow, step=name),
        options=_options(entry, workflow=workflow, step=name),
    )


def _entries(written: object, section: str, path: Path) -> Sequence[Mapping[str, Any]]:
    if not isinstance(written, list) or not all(isinstance(entry, Mapping) for entry in written):
        raise UsageError(
            "A section is not a list of tables",
            file=path,
            section=section,
            remedy=f"Begin each entry with [[{section}]]",
        )
    names = (str(entry.get("name")) for entry in written if entry.get("name"))
    _refuse_twice(names, section.removesuffix("s"), file=path)
    return written


def _refuse_twice(names: Iterable[str], noun: str, **where: object) -> None:
    for name, count in Counter(names).items():
        if count > 1:
            raise UsageError(f"Two entries have one name: {noun}", **where, name=name, remedy="Rename or remove one")


def _named(entry: Mapping[str, Any], noun: str, keys: Sequence[str]) -> str:
    name = entry.get("name")
    if not isinstance(name, str) or not name.strip():
        raise UsageError(f"A {noun} has no name", remedy='Give it one with name = "…"')
    for key in entry:
        if key not in keys:
            raise UsageError(
                f"A {noun} has a key that does not exist",
                **{noun: name},
                key=key,
                remedy=did_you_mean(key, keys) or f"The keys are {', '.join(keys)}",
            )
    return name


def _kind(entry: Mapping[str, Any], **where: object) -> str:
    kind = entry.get("kind")
    if not isinstance(kind, str) or not kind:
        raise UsageError("An entry has no kind", **where, remedy='Say its kind, as in kind = "webhook"')
    return kind


def _options(entry: Mapping[str, Any], **where: object) -> dict[str, Any]:
    options = entry.get("options", {})
    if not isinstance(options, Mapping):
        raise UsageError("Options are not a table", **where, remedy='Write them as options = { url = "…" }')
    result: dict[str, Any] = plain(options)
    return result


def _truth(entry: Mapping[str, Any], noun: str) -> bool:
    enabled = entry.get("enabled", True)
    if not isinstance(enabled, bool):
        raise UsageError(
            "A value is neither true nor false",
            **{noun: entry.get("name")},
            key="enabled",
            remedy="Write true or false",
        )
    return enabled
