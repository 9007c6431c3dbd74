"""Man pages and shell completions, made from the command and the sample settings, so that neither can go stale.

reference.py man FOLDER            concord.1, concord.toml.5
reference.py completion FOLDER     for bash, zsh and fish, below FOLDER (/usr/share)
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from typer.main import get_command

from concord import __version__
from concord.cli.root import app

ROOT: Final = Path(__file__).parents[1]
_PLACES: Final = {
    "bash": "bash-completion/completions/concord",
    "zsh": "zsh/vendor-completions/_concord",
    "fish": "fish/vendor_completions.d/concord.fish",
}


def main() -> int:
    """Write what is asked for."""
    what, folder = sys.argv[1], Path(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    if what == "man":
        (folder / "concord.1").write_text("\n".join(command_page()) + "\n", encoding="utf-8")
        (folder / "concord.toml.5").write_text("\n".join(settings_page()) + "\n", encoding="utf-8")
        return 0
    for shell, place in _PLACES.items():
        target = folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(completion(shell), encoding="utf-8")
    return 0


def command_page() -> Iterator[str]:
    """concord(1): every command with its arguments and options."""
    yield _header("CONCORD", "1", "User commands")
    yield from (".SH NAME", "concord \\- turns mail into events", ".SH SYNOPSIS", ".B concord", "COMMAND [OPTIONS]")
    yield from (".SH DESCRIPTION", "Concord polls IMAP mailboxes, archives every message, turns each into an event,")
    yield "brings it to handlers and starts workflows. This command looks after it, as do the pages and the API of"
    yield from (".BR concord\\-admin.service (8);", "the other daemons are described in")
    yield ".BR concord\\-celery.target (8)."
    yield from (".SH COMMANDS", *_commands(get_command(app), "concord"))
    yield from (".SH EXIT STATUS", "0 done, 1 it did not work, 2 it was asked for in a way that cannot work.")
    yield from (".SH SEE ALSO", ".BR concord.toml (5),", ".BR concord\\-admin.service (8),")
    yield ".BR concord\\-celery.target (8)"


def _commands(command: Any, path: str) -> Iterator[str]:
    names = command.list_commands(None) if hasattr(command, "list_commands") else []
    for name in names:
        inner = command.get_command(None, name)
        if inner is None or inner.hidden:
            continue
        if hasattr(inner, "list_commands"):
            yield from _commands(inner, f"{path} {name}")
        else:
            yield from _command(inner, f"{path} {name}")


def _command(command: Any, path: str) -> Iterator[str]:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [one for one in command.params if one.param_type_name == "option" and not one.hidden]
    words = " ".join(_escape(_placeholder(one)) for one in arguments)
    yield from (".TP", f".B {_escape(path)} \\fR{words}", _escape(" ".join((command.help or "").split())))
    for one in options:
        if one.name != "help":
            yield from (".RS", ".TP", f".B {_escape(', '.join(one.opts))}", _escape(one.help or ""), ".RE")


def _placeholder(argument: Any) -> str:
    word = argument.metavar or str(argument.name).upper()
    return word if argument.required or word.startswith("[") else f"[{word}]"


def settings_page() -> Iterator[str]:
    """concord.toml(5): the sample's own words."""
    yield _header("CONCORD.TOML", "5", "File formats")
    yield from (".SH NAME", "concord.toml \\- settings of Concord", ".SH SYNOPSIS", ".I /etc/concord/concord.toml")
    yield from (".SH DESCRIPTION", "Every setting, with its default.", ".nf", "")
    sample = (ROOT / "deploy/concord.toml").read_text(encoding="utf-8")
    yield from (_escape(line) for line in sample.splitlines())
    yield from (".fi", ".SH SEE ALSO", ".BR concord (1),", ".BR concord\\-admin.service (8),")
    yield ".BR concord\\-celery.target (8)"


def completion(shell: str) -> str:
    """What the shell sources."""
    environment = {
        **os.environ,
        "_CONCORD_COMPLETE": f"source_{shell}",
        "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "concord"], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    if "concord" not in done.stdout:
        sys.exit(f"no completion for {shell}: {done.stdout}{done.stderr}")
    return done.stdout.replace("python -m concord", "concord")


def _header(title: str, section: str, kind: str) -> str:
    moment = datetime.fromtimestamp(int(os.environ.get("SOURCE_DATE_EPOCH", "0")), UTC)
    return f'.TH {title} {section} {moment:%Y-%m-%d} "Concord {__version__}" "{kind}"'


def _escape(text: str) -> str:
    told = re.sub(r"[\\-]", lambda found: "\\e" if found[0] == "\\" else "\\-", text)
    return f"\\&{told}" if told.startswith((".", "'")) else told


if __name__ == "__main__":
    sys.exit(main())
