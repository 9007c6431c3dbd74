"""`concord account discover`: from a mail address to its IMAP server."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Annotated, Final

import typer

from concord.cli.options import Json
from concord.cli.output import emit, say, table
from concord.cli.session import here
from concord.services.discovery import discover

if TYPE_CHECKING:
    from concord.model.discovery import FoundServer

_TOLD: Final = {
    "preset": "the domain is a known provider's",
    "srv": "the domain's DNS says so",
    "exchanger": "a known provider takes its mail",
    "autoconfig": "the domain's file for mail programs says so",
    "ispdb": "a directory of mail providers says so",
    "guess": "a usual name that answers",
}


def discover_server(
    address: Annotated[str, typer.Argument(help="A mail address, as name@example.com.")], json: Json = False
) -> None:
    """Find the IMAP server of a mail address: known providers, DNS, the domain's own file, usual names."""
    found = discover(here(), address)
    if json:
        emit({"address": found.address, "found": found.found, "asked": found.asked})
    elif found.best is None:
        say(f"Nobody knows an IMAP server of {found.address}. Its provider's help pages name host and port.")
    else:
        rows = [(one.host, one.port, one.tls, one.user, f"{_TOLD[one.source]} ({one.place})") for one in found.found]
        table(("Host", "Port", "TLS", "User", "Why"), rows)
        say(f"Add it: {_command(found.best)}")
    if found.best is None:
        raise typer.Exit(1)


def _command(server: FoundServer) -> str:
    words = ["concord", "account", "add", "NAME", "--host", server.host, "--user", server.user]
    if server.tls != "implicit":
        words += ["--tls", server.tls]
    if server.port not in (143, 993):
        words += ["--port", str(server.port)]
    return shlex.join(words)
