"""Rules, handlers and workflows, as an operator wrote them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import Engine, Row, Select, Table, delete, select, update

from concord.adapters.sql.engine import reading, transaction
from concord.adapters.sql.outbox_tables import handlers, rules, workflows
from concord.adapters.sql.upsert import insert_for
from concord.errors import ExistsError, NotFoundError
from concord.model.rule import HandlerSpec, Match, Rule, WorkflowSpec, WorkflowStepSpec

_Row = Row[*tuple[Any, ...]]


class SqlRulebook:
    """The rulebook in the database."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def rules(self) -> list[Rule]:
        """In order of position, then name."""
        return [_rule_of(row) for row in self._rows(select(rules).order_by(rules.c.position, rules.c.name))]

    def save_rule(self, rule: Rule) -> Rule:
        """Add, or change the one of that name."""
        values = asdict(rule)
        del values["id"]
        return replace(rule, id=self._save(rules, values))

    def rename_rule(self, name: str, new: str) -> None:
        """All else stays. Raises NotFoundError, and ExistsError where the new name is taken."""
        with transaction(self._engine) as connection:
            if new != name and connection.execute(select(rules.c.id).where(rules.c.name == new)).first():
                raise ExistsError("rule.rename", rule=new)
            change = update(rules).where(rules.c.name == name).values(name=new)
            if not connection.execute(change).rowcount:
                raise NotFoundError("rule", name=name)

    def place_rules(self, positions: Mapping[str, int]) -> None:
        """Give these rules these positions, all or none. Raises NotFoundError where one is gone."""
        with transaction(self._engine) as connection:
            for name, position in positions.items():
                change = update(rules).where(rules.c.name == name).values(position=position)
                if not connection.execute(change).rowcount:
                    raise NotFoundError("rule", name=name)

    def remove_rule(self, name: str) -> None:
        """Forget it. Raises NotFoundError."""
        self._remove(rules, name, "rule")

    def handlers(self) -> list[HandlerSpec]:
        """By name."""
        return [_handler_of(row) for row in self._rows(select(handlers).order_by(handlers.c.name))]

    def save_handler(self, handler: HandlerSpec) -> HandlerSpec:
        """Add, or change the one of that name."""
        values = {
            "name": handler.name,
            "kind": handler.kind,
            "options": handler.options,
            "secret": handler.secret,
            "enabled": handler.enabled,
        }
        return replace(handler, id=self._save(handlers, values))

    def remove_handler(self, name: str) -> None:
        """Forget it; its deliveries stay. Raises NotFoundError."""
        self._remove(handlers, name, "handler")

    def workflows(self) -> list[WorkflowSpec]:
        """By name."""
        return [_workflow_of(row) for row in self._rows(select(workflows).order_by(workflows.c.name))]

    def save_workflow(self, workflow: WorkflowSpec) -> WorkflowSpec:
        """Add, or change the one of that name; runs under way keep their copy."""
        steps = [{"name": step.name, "kind": step.kind, "options": step.options} for step in workflow.steps]
        values = {"name": workflow.name, "steps": steps, "enabled": workflow.enabled}
        return replace(workflow, id=self._save(workflows, values))

    def remove_workflow(self, name: str) -> None:
        """Forget it; runs under way go on. Raises NotFoundError."""
        self._remove(workflows, name, "workflow")

    def _rows(self, wanted: Select[Any]) -> list[_Row]:
        with reading(self._engine) as connection:
            return list(connection.execute(wanted))

    def _save(self, table: Table, values: Mapping[str, Any]) -> int:
        with transaction(self._engine) as connection:
            put = insert_for(connection, table).values(**values)
            changed = {name: put.excluded[name] for name in values if name != "name"}
            saved = put.on_conflict_do_update(index_elements=["name"], set_=changed).returning(table.c.id)
            return int(connection.execute(saved).scalar_one())

    def _remove(self, table: Table, name: str, noun: str) -> None:
        with transaction(self._engine) as connection:
            found = connection.execute(delete(table).where(table.c.name == name)).rowcount
        if not found:
            raise NotFoundError(noun, name=name)


def _rule_of(row: _Row) -> Rule:
    return Rule(
        id=row.id,
        name=row.name,
        position=row.position,
        enabled=row.enabled,
        match=_match_of(row.match),
        priority=row.priority,
        handlers=tuple(row.handlers),
        workflows=tuple(row.workflows),
        skip=row.skip,
        stop=row.stop,
    )


def _match_of(kept: Mapping[str, Any]) -> Match:
    """JSON has lists where a value has tuples."""
    said = {name: tuple(value) if isinstance(value, list) else value for name, value in kept.items()}
    headers = {name: tuple(patterns) for name, patterns in kept.get("header", {}).items()}
    return Match(**said | {"header": headers})


def _handler_of(row: _Row) -> HandlerSpec:
    return HandlerSpec(
        id=row.id, name=row.name, kind=row.kind, options=row.options, secret=row.secret, enabled=row.enabled
    )


def _workflow_of(row: _Row) -> WorkflowSpec:
    steps = tuple(WorkflowStepSpec(**step) for step in row.steps)
    return WorkflowSpec(id=row.id, name=row.name, steps=steps, enabled=row.enabled)
