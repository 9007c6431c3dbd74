"""Every place in Concord that makes one of its errors: the situations it may name, and the facts that it gives."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

CONCORD: Final = Path(__file__).parents[1] / "concord"


@dataclass(frozen=True, slots=True, kw_only=True)
class Raised:
    """One call. `families` are beginnings of situations whose last word is known at run time only."""

    place: str
    situations: tuple[str, ...]
    families: tuple[str, ...]
    facts: frozenset[str]
    is_open: bool  # facts come from `**`, too
    is_known: bool  # whether all of its situations could be found


@dataclass(frozen=True, slots=True)
class _Words:
    """What an expression may be: whole words, beginnings of words, and whether that is all."""

    whole: tuple[str, ...] = ()
    begun: tuple[str, ...] = ()
    is_known: bool = True

    def __add__(self, other: _Words) -> _Words:
        return _Words(self.whole + other.whole, self.begun + other.begun, self.is_known and other.is_known)


@cache
def trees() -> dict[Path, ast.Module]:
    """The source, parsed once."""
    return {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(CONCORD.rglob("*.py"))}


@cache
def classes() -> frozenset[str]:
    """The names of Concord's errors."""
    bases: dict[str, list[str]] = {}
    for tree in trees().values():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                bases.setdefault(node.name, []).extend(ast.unparse(base).rpartition(".")[2] for base in node.bases)

    def is_ours(name: str) -> bool:
        return name == "ConcordError" or any(is_ours(base) for base in bases.get(name, ()) if base != name)

    return frozenset(name for name in bases if is_ours(name))


@cache
def raised() -> tuple[Raised, ...]:
    """All of them."""
    return tuple(one for path, tree in trees().items() for one in _of_module(path, tree))


def code_of(name: str) -> str:
    """The code of a class, as `ConcordError.code` makes it."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name.removesuffix("Error")).lower()


def _of_module(path: Path, tree: ast.Module) -> Iterator[Raised]:
    constants = dict(_constants(tree))
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Name) and node.exc.id in classes():
            yield Raised(
                place=f"{path.relative_to(CONCORD)}:{node.lineno}",
                situations=(code_of(node.exc.id),),
                families=(),
                facts=frozenset(),
                is_open=False,
                is_known=True,
            )
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func).rpartition(".")[2]
        # RedBeat's lease has a `LeaseLostError` of its own, which is none of Concord's errors.
        if name in classes() and path.name != "redbeat.py":
            detail = _words(node.args[0], constants, tree) if node.args else _Words(whole=("",))
            yield Raised(
                place=f"{path.relative_to(CONCORD)}:{node.lineno}",
                situations=tuple(f"{code_of(name)}.{word}" if word else code_of(name) for word in detail.whole),
                families=tuple(f"{code_of(name)}.{word}" for word in detail.begun),
                facts=frozenset(keyword.arg for keyword in node.keywords if keyword.arg),
                is_open=any(keyword.arg is None for keyword in node.keywords),
                is_known=detail.is_known,
            )
        elif name == "Fault" and node.args:
            words = _words(node.args[0], constants, tree)
            if words.is_known:
                yield Raised(
                    place=f"{path.relative_to(CONCORD)}:{node.lineno}",
                    situations=words.whole,
                    families=(),
                    facts=frozenset(),
                    is_open=False,
                    is_known=True,
                )


def _constants(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and node.value and isinstance(node.target, ast.Name):
            yield node.target.id, node.value
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.value


def _words(  # noqa: PLR0911 - one line for each form of an expression
    expression: ast.expr, constants: dict[str, ast.expr], tree: ast.Module
) -> _Words:
    """The words that an expression may be, through a module's tables, `… if … else …` and a function's parameter."""
    match expression:
        case ast.Constant(value=str(word)):
            return _Words(whole=(word,))
        case ast.JoinedStr(values=[ast.Constant(value=str(beginning)), *_]):
            return _Words(begun=(beginning,))
        case ast.IfExp(body=one, orelse=other):
            return _words(one, constants, tree) + _words(other, constants, tree)
        case ast.Subscript(value=ast.Name(id=name)) if name in constants:
            return _words(constants[name], constants, tree)
        case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="get"), args=[_, default]) if name in constants:
            return _words(constants[name], constants, tree) + _words(default, constants, tree)
        case ast.Dict(values=values):
            return sum((_words(value, constants, tree) for value in values), _Words())
        case ast.Name(id=name) if name in constants:
            return _words(constants[name], constants, tree)
        case ast.Name(id=name):
            return _assigned(name, expression, constants, tree)
        case ast.Call(func=ast.Name(id=name)):
            return _returned(name, constants, tree)
    return _Words(is_known=False)


def _assigned(name: str, use: ast.Name, constants: dict[str, ast.expr], tree: ast.Module) -> _Words:
    """A local name's values; a parameter's are those that the module's own calls give it."""
    inner = _innermost(tree, use)
    if inner is None:
        return _Words(is_known=False)
    values = [
        node.value
        for node in ast.walk(inner)
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [name]
    ]
    if values:
        return sum((_words(value, constants, tree) for value in values), _Words())
    names = [argument.arg for argument in inner.args.args]
    if name not in names:
        return _Words(is_known=False)
    default = dict(zip(reversed(names), reversed(inner.args.defaults), strict=False)).get(name)
    given = _Words() if default is None else _words(default, constants, tree)
    place = names.index(name) - (names[0] == "self")
    for call in ast.walk(tree):
        if not isinstance(call, ast.Call) or ast.unparse(call.func).rpartition(".")[2] != inner.name:
            continue
        if len(call.args) > place:
            given += _words(call.args[place], constants, tree)
    return given


def _innermost(tree: ast.Module, use: ast.Name) -> ast.FunctionDef | None:
    around = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef) and any(inner is use for inner in ast.walk(node))
    ]
    return around[-1] if around else None


def _returned(name: str, constants: dict[str, ast.expr], tree: ast.Module) -> _Words:
    function = next((node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name), None)
    if function is None:
        return _Words(is_known=False)
    values = [node.value for node in ast.walk(function) if isinstance(node, ast.Return) and node.value]
    return sum((_words(value, constants, tree) for value in values), _Words())
