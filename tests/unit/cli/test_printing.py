"""Nothing that a server, a mail or a person wrote reaches a terminal as it is: every print of the command is read."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import concord.cli

FOLDER: Final = Path(concord.cli.__file__).parent
PRINTING: Final = {"print", "echo", "secho", "confirm", "prompt", "write"}
# What takes the signs out that a terminal obeys, or gives back numbers and Concord's own words.
SAFE: Final = {"shown", "unarmed", "told_lines", "amount", "local", "span", "len"}
# Made safe a line before, or no text of others.
KNOWN: Final = {
    ("apply.py", "sign"),
    ("apply.py", "change.noun"),  # account, handler, rule
    ("config.py", "as_toml(settings)"),  # for a file: root's own settings, and TOML escapes them
    ("output.py", "grid"),  # of cells that are shown
    ("output.py", "'\\n'.join((line.rstrip() for line in captured.get().splitlines()))"),
    ("output.py", "f'{name.ljust(width)}  {shown(value)}'.rstrip()"),  # the name is the command's own
    ("output.py", "told"),
    ("output.py", "piece"),  # into a file
    ("password.py", "noun.capitalize()"),  # password, secret
    ("token.py", "token"),  # of Concord's own making
    ("version.py", "__version__"),
    ("version.py", "platform.python_version()"),
    ("output.py", "sign"),
    ("output.py", "word"),
    ("progress.py", "text"),
    ("service_view.py", "grid"),
    ("worker.py", "polkit_rule(_instances())"),  # for a file; names of workers are checked
}


def printed(tree: ast.AST) -> Iterator[ast.expr]:
    """What is handed to a function that writes to a terminal."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _name(node.func) in PRINTING:
            yield from node.args


def unsafe(expression: ast.expr) -> Iterator[str]:
    """The parts of it that nothing has made safe."""
    match expression:
        case ast.Constant():
            return
        case ast.JoinedStr(values=parts):
            for part in parts:
                yield from unsafe(part.value if isinstance(part, ast.FormattedValue) else part)
        case ast.IfExp(body=body, orelse=other):
            yield from unsafe(body)
            yield from unsafe(other)
        case ast.Call(func=function) if _name(function) in SAFE:
            return
        case ast.Call(func=ast.Attribute(attr="style"), args=[text, *_]):
            yield from unsafe(text)
        case ast.Call(func=ast.Attribute(attr="join", value=ast.Constant()), args=[ast.GeneratorExp(elt=each)]):
            if any(unsafe(each)):
                yield ast.unparse(expression)
        case ast.Call(func=ast.Attribute(attr="join", value=ast.Constant()), args=[lines]):
            yield from unsafe(lines)
        case _:
            yield ast.unparse(expression)


def _name(function: ast.expr) -> str:
    match function:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return ""


def found_in(source: str, file: str = "x.py") -> set[tuple[str, str]]:
    return {(file, part) for one in printed(ast.parse(source)) for part in unsafe(one)}


def test_command_prints_nothing_that_drives_a_terminal() -> None:
    found = {one for file in FOLDER.rglob("*.py") for one in found_in(file.read_text(encoding="utf-8"), file.name)}

    assert found - KNOWN == set()
    assert KNOWN - found == set()  # nothing is allowed that is not there


def test_rule_finds_what_it_looks_for() -> None:
    """It can fail."""
    for source in (
        "print(x)",
        "print(f'a {x.y}')",
        "typer.echo(shown(a) if b else c)",
        "print('\\n'.join(x for x in y))",
    ):
        assert found_in(source), source
    for source in ("print()", "print(f'a {shown(x)}')", "typer.echo('\\n'.join(shown(x) for x in y))"):
        assert not found_in(source), source
