"""`concord handler`: where events go."""

from __future__ import annotations

import json as jsons
from typing import TYPE_CHECKING, Annotated, Any

import typer

from concord.cli import handler_test, password
from concord.cli.identity import caller
from concord.cli.options import Json
from concord.cli.output import amount, emit, plain, say, table, warn
from concord.cli.session import here
from concord.errors import UsageError
from concord.model.rule import HandlerSpec

if TYPE_CHECKING:
    from collections.abc import Sequence

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Handlers: where events go.")
app.command("test")(handler_test.test)

_Name = Annotated[str, typer.Argument(metavar="NAME", help="The handler.")]


@app.command("list")
def list_handlers(json: Json = False) -> None:
    """Show all handlers; 'log' is built in. Secrets are shown as set or missing."""
    from concord.services import handlers

    specs = handlers.specs(here())
    if json:
        emit([_document(spec) for spec in specs])
        return
    rows = [(one.name, one.kind, one.enabled, bool(one.secret), _options(one)) for one in specs]
    table(("Name", "Kind", "On", "Secret", "Options"), rows)


@app.command()
def add(
    name: _Name,
    kind: Annotated[str, typer.Option("--kind", help="log, webhook, redis-stream, celery, or an installed one.")],
    option: Annotated[
        list[str] | None, typer.Option("--option", metavar="KEY=VALUE", help="As url=https://…; may be repeated.")
    ] = None,
    secret_stdin: Annotated[
        bool, typer.Option("--secret-stdin", help="Read its secret from standard input, or ask at a terminal.")
    ] = False,
    disabled: Annotated[bool, typer.Option("--disabled", help="Keep it, but send it nothing yet.")] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Change the handler of that name; its secret stays.")
    ] = False,
) -> None:
    """Add a place where events go. Rules name it, or dispatch.default_handlers for mail without such a rule."""
    from concord.services import handlers

    spec = HandlerSpec(name=name, kind=kind, options=_read(option or []), enabled=not disabled)
    # Before a secret is asked for.
    handlers.prepared(here(), spec, replacing=replace)
    secret = password.take("secret", name, from_stdin=True) if secret_stdin else None
    handlers.save(here(), spec, secret=secret, replacing=replace, by=caller())
    say(f"Handler '{name}' is kept. Send it a sample: concord handler test {name}")


@app.command()
def remove(name: _Name) -> None:
    """Forget a handler. Its deliveries stay; those that wait go on when one of that name is added again."""
    from concord.services import handlers

    waiting = handlers.remove(here(), name, by=caller())
    say(f"Handler '{name}' is removed.")
    if waiting:
        warn(f"{amount(waiting, 'delivery')} wait: they go on if a handler of that name is added again.")


def _read(written: Sequence[str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for one in written:
        key, equals, value = one.partition("=")
        if not equals or not key.strip():
            # The text is not shown again: it may be a secret in the wrong place.
            raise UsageError("option_no_pair", handler_option=len(options) + 1)
        options[key.strip()] = _value(key, value)
    return options


def _value(key: str, value: str) -> Any:
    """Text; or JSON where it begins as a table or a list does."""
    if not value.startswith(("{", "[")):
        return value
    try:
        return jsons.loads(value)
    except ValueError as error:
        raise UsageError("option_no_json", option=key, cause=error) from None


def _document(spec: HandlerSpec) -> dict[str, Any]:
    document: dict[str, Any] = plain(spec)
    return document | {"secret": "set" if spec.secret else "missing"}


def _options(spec: HandlerSpec) -> str:
    return "; ".join(f"{key}={plain(value)}" for key, value in spec.options.items())
