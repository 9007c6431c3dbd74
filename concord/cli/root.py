"""The root of all commands. Each noun's module is imported when it is asked for, and all of them for the help."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from typer.main import get_command

from concord.cli.border import Border
from concord.cli.session import session

if TYPE_CHECKING:
    from collections.abc import Mapping

# Name typed, module, and what in it: a Typer with commands of its own, or the function that is the command.
_COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "account": ("account", "app"),
    "oauth": ("oauth", "app"),
    "apply": ("apply", "apply"),
    "poll": ("sync", "poll"),
    "sync-email-tasks": ("sync", "sync_email_tasks"),
    "message": ("message", "app"),
    "event": ("event", "app"),
    "delivery": ("delivery", "app"),
    "workflow": ("workflow", "app"),
    "rule": ("rule", "app"),
    "handler": ("handler", "app"),
    "archive": ("archive", "app"),
    "db": ("db", "app"),
    "secrets": ("secrets", "app"),
    "config": ("config", "app"),
    "service": ("service", "app"),
    "worker": ("worker", "app"),
    "beat": ("daemon", "beat"),
    "flower": ("daemon", "flower"),
    "admin": ("admin", "app"),
    "watchdog": ("watchdog", "app"),
    "user": ("user", "app"),
    "token": ("token", "app"),
    "audit": ("audit", "app"),
    "version": ("version", "version"),
}


class Root(Border):
    """Knows the names of all commands, and loads those that are needed."""

    def list_commands(self, ctx: Any) -> list[str]:  # the context's class is private to Typer
        """In the order in which a newcomer meets them."""
        del ctx
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import it now, if it is one."""
        del ctx
        if cmd_name in _COMMANDS and cmd_name not in self.commands:
            self.add_command(_load(cmd_name), cmd_name)
        return self.commands.get(cmd_name)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """A misspelt one is compared with all of them."""
        if args[0] not in _COMMANDS:
            for name in _COMMANDS:
                self.get_command(ctx, name)
        return super().resolve_command(ctx, args)


def _load(name: str) -> Any:
    module, attribute = _COMMANDS[name]
    found = getattr(import_module(f"concord.cli.{module}"), attribute)
    if not isinstance(found, typer.Typer):
        alone = typer.Typer(add_completion=False)
        alone.command()(found)
        found = alone
    command = get_command(found)
    command.name = name
    return command


app = typer.Typer(
    name="concord",
    cls=Root,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Concord turns mail into events.",
    epilog="Exit codes: 0 done, 1 it did not work, 2 it was asked for in a way that cannot work.",
)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of what nobody expected.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show what the library logs.")] = False,
) -> None:
    """Concord turns mail into events."""
    session().debug = debug
    session().verbose = verbose
