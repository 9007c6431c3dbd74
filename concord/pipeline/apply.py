"""Making accounts, handlers, workflows and rules what a file says: first a plan, then the same plan carried out (A8).

Doing it twice changes nothing. Nothing is removed unless pruning is asked for, and then only in sections the file has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from functools import partial
from typing import Any, Final, Protocol

from concord.errors import SecretMovedError, UsageError
from concord.model.account import Account
from concord.model.binding import of_handler, of_password
from concord.model.rule import HandlerSpec, Rule, WorkflowSpec, WorkflowStepSpec
from concord.pipeline.account_check import begins_another, check_account, check_keeps_secret, check_secret, is_kept
from concord.pipeline.account_document import account_to_document
from concord.pipeline.book_document import handler_to_document, workflow_to_document
from concord.pipeline.dispatch import BUILT_IN
from concord.pipeline.rules import check_rule, rule_to_document
from concord.pipeline.wanted import Wanted, WantedAccount, WantedHandler
from concord.ports import Accounts, OAuthClients, Rulebook, Vault

_HIDDEN: Final = "…"


class Verb(StrEnum):
    """What happens to one thing."""

    ADD = "add"
    CHANGE = "change"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One field before and after; of secrets only that they differ."""

    field: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One line of a plan. `carry_out` does it."""

    verb: Verb
    noun: str  # account, handler, workflow, rule
    name: str
    differences: tuple[Difference, ...] = ()
    carry_out: Callable[[], object] = field(repr=False, compare=False)


class Checks(Protocol):
    """Refuses kinds and options of handlers and steps that cannot be used. All raise UsageError."""

    def handler(self, handler: HandlerSpec, secret: str | None) -> None: ...

    def step(self, step: WorkflowStepSpec) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Planner:
    """Compares a file with what there is. Changes nothing by itself."""

    accounts: Accounts
    rulebook: Rulebook
    clients: OAuthClients
    vault: Vault
    checks: Checks
    today: date

    def plan(self, wanted: Wanted, *, prune: bool = False) -> list[Change]:
        """What is to be done, in an order that can be carried out. Raises UsageError before anything is changed."""
        known = _Known.of(self.rulebook)
        self._check(wanted, known, prune=prune)
        changes = [
            *self._handlers(wanted, known),
            *self._workflows(wanted, known),
            *self._accounts(wanted),
            *self._rules(wanted, known),
        ]
        # Rules go first: they name the others.
        return [*changes, *(self._removals(wanted, known) if prune else ())]

    def _check(self, wanted: Wanted, known: _Known, *, prune: bool) -> None:
        for account in wanted.accounts:
            check_account(account.account, today=self.today)
            if account.password is not None:
                check_secret(account.account, account.password)
            if account.account.oauth_client:
                self.clients.get(account.account.oauth_client)
        for handler in wanted.handlers:
            has = known.handlers.get(handler.handler.name)
            self.checks.handler(_with_secret_mark(handler, has), handler.secret)
        for step in (step for workflow in wanted.workflows for step in workflow.steps):
            self.checks.step(step)
        handlers = {*BUILT_IN, *_names(wanted, known.handlers, "handlers", prune=prune)}
        workflows = _names(wanted, known.workflows, "workflows", prune=prune)
        for rule in (*wanted.rules, *(_staying_rules(wanted, known) if prune else ())):
            check_rule(rule, handlers=handlers, workflows=workflows)

    def _accounts(self, wanted: Wanted) -> Iterator[Change]:
        known = {account.name: account for account in self.accounts.all()}
        for entry in wanted.accounts:
            account = entry.account
            before = known.get(account.name)
            if before is None:
                sealed = replace(account, secret=self._new_secret(entry))
                yield Change(
                    verb=Verb.ADD,
                    noun="account",
                    name=account.name,
                    carry_out=partial(self.accounts.add, sealed),
                )
                continue
            if entry.password is None:
                check_keeps_secret(before, account)
            secret, differs = self._password(before, account, entry.password)
            after = replace(account, id=before.id, key=before.key, secret=secret)
            begins = begins_another(before, after, entry.mailbox)
            yield from _changed(
                "account",
                account_to_document(before),
                account_to_document(after),
                hidden="password" if differs else None,
                carry_out=partial(self.accounts.replace if begins else self.accounts.save, after),
            )

    def _handlers(self, wanted: Wanted, known: _Known) -> Iterator[Change]:
        for entry in wanted.handlers:
            before = known.handlers.get(entry.handler.name)
            secret, differs = self._handler_secret(before, entry.handler, entry.secret)
            after = replace(entry.handler, secret=secret)
            yield from _changed(
                "handler",
                handler_to_document(before) if before else None,
                handler_to_document(after),
                hidden="secret" if differs else None,
                carry_out=partial(self.rulebook.save_handler, after),
            )

    def _workflows(self, wanted: Wanted, known: _Known) -> Iterator[Change]:
        for workflow in wanted.workflows:
            before = known.workflows.get(workflow.name)
            yield from _changed(
                "workflow",
                workflow_to_document(before) if before else None,
                workflow_to_document(workflow),
                carry_out=partial(self.rulebook.save_workflow, workflow),
            )

    def _rules(self, wanted: Wanted, known: _Known) -> Iterator[Change]:
        for rule in wanted.rules:
            before = known.rules.get(rule.name)
            yield from _changed(
                "rule",
                rule_to_document(before) if before else None,
                rule_to_document(rule),
                carry_out=partial(self.rulebook.save_rule, rule),
            )

    def _new_secret(self, entry: WantedAccount) -> bytes:
        if entry.account.auth.is_oauth:
            return b""
        return self.vault.seal(_required_password(entry), of_password(entry.account))

    def _password(self, before: Account, after: Account, wanted: str | None) -> tuple[bytes, bool]:
        """The secret to keep, and whether it is another one. Sealing is salted, so the plain ones are compared."""
        if wanted is None:
            return before.secret, False
        same = is_kept(self.vault, before, wanted)
        if same and of_password(before) == of_password(after):
            return before.secret, False
        return self.vault.seal(wanted, of_password(after)), not same

    def _handler_secret(self, before: HandlerSpec | None, after: HandlerSpec, wanted: str | None) -> tuple[bytes, bool]:
        """Without another one, the kept secret goes where the handler goes."""
        plain = self._plain(before) if before and before.secret else None
        if wanted is not None and wanted != plain:
            return self.vault.seal(wanted, of_handler(after)), True
        if before is None or plain is None or of_handler(before) == of_handler(after):
            return before.secret if before else b"", False
        return self.vault.seal(plain, of_handler(after)), False

    def _plain(self, handler: HandlerSpec) -> str | None:
        try:
            return self.vault.unseal(handler.secret, of_handler(handler))
        except SecretMovedError:
            return None

    def _removals(self, wanted: Wanted, known: _Known) -> Iterator[Change]:
        living = {account.name: account for account in self.accounts.all()}
        there: tuple[tuple[str, Iterable[str], Callable[[str], None]], ...] = (
            ("rules", known.rules, self.rulebook.remove_rule),
            ("workflows", known.workflows, self.rulebook.remove_workflow),
            ("handlers", known.handlers, self.rulebook.remove_handler),
            ("accounts", living, self.accounts.remove),
        )
        for section, names, remove in there:
            if section not in wanted.sections:
                continue
            for name in sorted(set(names) - _wanted_names(wanted, section)):
                yield Change(
                    verb=Verb.REMOVE,
                    noun=section.removesuffix("s"),
                    name=name,
                    carry_out=partial(remove, name),
                )


def carry_out(changes: Iterable[Change]) -> None:
    """Do what the plan says, line by line; begun again after a failure, it does the rest."""
    for change in changes:
        change.carry_out()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """The rulebook as it stands, by name."""

    handlers: Mapping[str, HandlerSpec]
    workflows: Mapping[str, WorkflowSpec]
    rules: Mapping[str, Rule]

    @classmethod
    def of(cls, rulebook: Rulebook) -> _Known:
        return cls(
            handlers={handler.name: handler for handler in rulebook.handlers()},
            workflows={workflow.name: workflow for workflow in rulebook.workflows()},
            rules={rule.name: rule for rule in rulebook.rules()},
        )


def _changed(
    noun: str,
    before: Mapping[str, Any] | None,
    after: Mapping[str, Any],
    *,
    carry_out: Callable[[], object],
    hidden: str | None = None,
) -> Iterator[Change]:
    """An addition, a change, or nothing."""
    name = str(after["name"])
    if before is None:
        yield Change(verb=Verb.ADD, noun=noun, name=name, carry_out=carry_out)
        return
    if told := differences(before, after, hidden=hidden):
        yield Change(verb=Verb.CHANGE, noun=noun, name=name, differences=told, carry_out=carry_out)


def differences(
    before: Mapping[str, Any], after: Mapping[str, Any], *, hidden: str | None = None
) -> tuple[Difference, ...]:
    """Field by field; `hidden` names a secret that differs."""
    told = [
        Difference(field=key, before=before.get(key), after=after.get(key))
        for key in dict.fromkeys([*before, *after])
        if before.get(key) != after.get(key)
    ]
    return (*told, *([Difference(field=hidden, before=_HIDDEN, after=_HIDDEN)] if hidden else ()))


def _wanted_names(wanted: Wanted, section: str) -> set[str]:
    names: dict[str, set[str]] = {
        "accounts": {entry.account.name for entry in wanted.accounts},
        "handlers": {entry.handler.name for entry in wanted.handlers},
        "workflows": {workflow.name for workflow in wanted.workflows},
        "rules": {rule.name for rule in wanted.rules},
    }
    return names[section]


def _names(wanted: Wanted, known: Iterable[str], section: str, *, prune: bool) -> set[str]:
    """Those that will be there once the plan is carried out."""
    stays = set() if prune and section in wanted.sections else set(known)
    return stays | _wanted_names(wanted, section)


def _staying_rules(wanted: Wanted, known: _Known) -> list[Rule]:
    """The rules that pruning leaves as they are: what they name must stay too."""
    if "rules" in wanted.sections:
        return []
    return list(known.rules.values())


def _with_secret_mark(entry: WantedHandler, before: HandlerSpec | None) -> HandlerSpec:
    """The handler as it will be, as far as the check needs to know: whether it has a secret."""
    return replace(entry.handler, secret=before.secret if before else b"")


def _required_password(entry: WantedAccount) -> str:
    if entry.password is None:
        raise UsageError("password_missing", account=entry.account.name)
    return entry.password
