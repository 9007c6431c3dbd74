"""`concord rule`: which mails go where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from concord.cli import rule_test
from concord.cli.identity import caller
from concord.cli.options import Json
from concord.cli.output import emit, facts, say, table
from concord.cli.session import here
from concord.errors import UsageError
from concord.model.account import Priority
from concord.services import rules

if TYPE_CHECKING:
    from concord.model.rule import Rule

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Rules: which mails go to which handlers and workflows."
)
app.command("test")(rule_test.test)

_Patterns = list[str] | None
_Name = Annotated[str, typer.Argument(metavar="NAME", help="The rule.")]


@app.command("list")
def list_rules(json: Json = False) -> None:
    """Show all rules in the order in which they are asked."""
    from concord.pipeline.rules import rule_to_document

    known = here().rulebook.rules()
    if json:
        emit([rule_to_document(rule) for rule in known])
    elif not known:
        defaults = ", ".join(here().settings.dispatch.default_handlers) or "no handler"
        say(f"No rules yet: every event goes to {defaults}. Add one: concord rule add NAME --from '*@example.com' …")
    else:
        table(("Position", "Name", "On", "Conditions", "Then"), [_row(rule) for rule in known])


@app.command()
def show(name: _Name, json: Json = False) -> None:
    """Show one rule."""
    from concord.pipeline.rules import rule_to_document

    document = rule_to_document(rules.find(here(), name))
    if json:
        emit(document)
        return
    match = document.pop("match", {})
    facts({"name": document.pop("name"), **{f"match {key}": value for key, value in match.items()}, **document})


@app.command()
def add(
    name: _Name,
    position: Annotated[int, typer.Option("--position", help="Lower ones are asked first.")] = 100,
    account: Annotated[_Patterns, typer.Option("--account", metavar="PATTERN")] = None,
    folder: Annotated[_Patterns, typer.Option("--folder", metavar="PATTERN")] = None,
    from_: Annotated[_Patterns, typer.Option("--from", metavar="PATTERN")] = None,
    to: Annotated[_Patterns, typer.Option("--to", metavar="PATTERN")] = None,
    cc: Annotated[_Patterns, typer.Option("--cc", metavar="PATTERN")] = None,
    subject: Annotated[_Patterns, typer.Option("--subject", metavar="PATTERN")] = None,
    header: Annotated[_Patterns, typer.Option("--header", metavar="NAME:PATTERN")] = None,
    larger: Annotated[str | None, typer.Option("--larger", metavar="SIZE", help="As 10MB or 500kB.")] = None,
    smaller: Annotated[str | None, typer.Option("--smaller", metavar="SIZE")] = None,
    attachment_name: Annotated[_Patterns, typer.Option("--attachment-name", metavar="PATTERN")] = None,
    attachment_type: Annotated[_Patterns, typer.Option("--attachment-type", metavar="PATTERN")] = None,
    priority: Annotated[Priority | None, typer.Option("--priority", help="How urgent such mail is.")] = None,
    handler: Annotated[_Patterns, typer.Option("--handler", help="Where its event goes; may be repeated.")] = None,
    workflow: Annotated[_Patterns, typer.Option("--workflow", help="What it starts; may be repeated.")] = None,
    skip: Annotated[bool, typer.Option("--skip", help="Make the event and tell nobody.")] = False,
    stop: Annotated[bool, typer.Option("--stop", help="Ask no later rule.")] = False,
    disabled: Annotated[bool, typer.Option("--disabled", help="Keep it, but do not ask it yet.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Change the rule of that name.")] = False,
) -> None:
    """Add a rule. All conditions given must hold; of a condition's patterns, one is enough.

    A pattern is a glob, as '*@example.com', without regard to case; or a regular expression after 're:'.
    """
    match = {"account": account, "folder": folder, "from": from_, "to": to, "cc": cc, "subject": subject}
    match |= {"attachment_name": attachment_name, "attachment_type": attachment_type}
    sizes = {"larger": _size(larger), "smaller": _size(smaller), "header": _headers(header or [])}
    does = {"priority": priority, "handlers": handler, "workflows": workflow, "skip": skip, "stop": stop}
    document: dict[str, Any] = {"name": name, "position": position, "enabled": not disabled}
    document["match"] = {key: value for key, value in {**match, **sizes}.items() if value}
    rule = rules.written(here(), document | {key: value for key, value in does.items() if value})
    rules.save(here(), rule, replacing=replace, by=caller())
    say(f"Rule '{name}' is kept. See what it does to archived mail: concord rule test --last 20")


@app.command()
def remove(name: _Name) -> None:
    """Forget a rule."""
    rules.remove(here(), name, by=caller())
    say(f"Rule '{name}' is removed.")


def _headers(written: list[str]) -> dict[str, list[str]]:
    headers: dict[str, list[str]] = {}
    for one in written:
        name, colon, pattern = one.partition(":")
        if not colon or not pattern.strip():
            raise UsageError("header_condition", header=one)
        headers.setdefault(name.strip(), []).append(pattern.strip())
    return headers


def _size(written: str | None) -> object:
    """A bare number is octets."""
    return int(written) if written and written.isdecimal() else written


def _row(rule: Rule) -> tuple[object, ...]:
    from concord.pipeline.rules import rule_to_document

    document = rule_to_document(rule)
    conditions = [f"{key}={_short(value)}" for key, value in document.get("match", {}).items()] or ["every mail"]
    then = [f"{key}={_short(document[key])}" for key in ("priority", "handlers", "workflows") if key in document]
    then += [word for word in ("skip", "stop") if document.get(word)]
    return rule.position, rule.name, rule.enabled, "; ".join(conditions), "; ".join(then) or "nothing"


def _short(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key}:{_short(inner)}" for key, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
