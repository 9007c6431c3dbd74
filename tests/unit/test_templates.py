"""Nothing that a visitor sends is ever a format string: rules over the whole tree (issue 10, finding 1)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from jinja2 import nodes

from concord.web.render import environment

CONCORD = Path(__file__).parents[2] / "concord"
# What marks or translates a literal, which stays one of ours.
_TRANSLATE = ("gettext", "ngettext", "N_", "_", "Markup")
# `self.format(record)` and `handler.format(record)` are logging's, and take no template.
_LOGGING = ("self", "handler")


def is_ours(template: ast.expr) -> bool:
    """A literal of the code, marked or translated perhaps, or a module's constant."""
    match template:
        case ast.Constant(value=str() | bytes()):
            return True
        case ast.Name(id=name):
            return name.strip("_").isupper()
        case ast.Call(func=ast.Name(id=name), args=[one, *more]) if name in _TRANSLATE:
            return is_ours(one) and (name != "ngettext" or is_ours(more[0]))
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return is_ours(left) and is_ours(right)
        case _:
            return False


def foreign_templates(code: str) -> Iterator[int]:
    """The lines that format what may not be a literal of the code."""
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.BinOp(left=left, op=ast.Mod(), right=right) if not is_ours(left) and not _is_number(right):
                yield node.lineno
            case ast.AugAssign(op=ast.Mod(), value=right) if not _is_number(right):
                yield node.lineno
            case ast.Call(func=ast.Attribute(value=template, attr="format" | "format_map")):
                if not is_ours(template) and ast.unparse(template) not in _LOGGING:
                    yield node.lineno
            case ast.Call(func=ast.Name(id="format"), args=[_, specification]) if not is_ours(specification):
                yield node.lineno
            case ast.FormattedValue(format_spec=ast.JoinedStr(values=parts)):
                if any(isinstance(part, ast.FormattedValue) for part in parts):
                    yield node.lineno


def _is_number(right: ast.expr) -> bool:
    """A remainder's divisor: a number, or a module's constant (templates take dictionaries and names)."""
    return isinstance(right, ast.Constant | ast.Name) and (
        isinstance(right.value, int) if isinstance(right, ast.Constant) else right.id.strip("_").isupper()
    )


def _formats_foreign(one: nodes.Filter) -> bool:
    return one.name == "format" and not isinstance(one.node, nodes.Const)


def test_only_literals_of_the_code_are_format_strings() -> None:
    found = [
        f"{path.relative_to(CONCORD)}:{line}"
        for path in sorted(CONCORD.rglob("*.py"))
        for line in foreign_templates(path.read_text(encoding="utf-8"))
    ]

    assert found == [], "take concord.wording.template.fill"


@pytest.mark.parametrize(
    "code",
    [
        "gettext(sentence) % values",
        "sentence % dict(values)",
        "sentence %= values",
        "request.headers['x'].format(a=1)",
        "gettext(told).format_map(values)",
        "f'{name:{width}}'",
        "format(value, width)",
    ],
)
def test_the_rule_finds_what_it_forbids(code: str) -> None:
    assert list(foreign_templates(code)) == [1]


def test_templates_translate_literals_only() -> None:
    """The `_` of a template formats, and marks as safe HTML, whatever it translates."""
    translators = {"_", "gettext", "ngettext"}
    site = environment()
    foreign = []
    for name in site.list_templates():
        assert site.loader
        tree = site.parse(site.loader.get_source(site, name)[0])
        for call in tree.find_all(nodes.Call):
            if isinstance(call.node, nodes.Name) and call.node.name in translators:
                literals = 2 if call.node.name == "ngettext" else 1
                if not all(isinstance(one, nodes.Const) for one in call.args[:literals]):
                    foreign.append(f"{name}:{call.lineno}")
        foreign += [f"{name}:{one.lineno}" for one in tree.find_all(nodes.Filter) if _formats_foreign(one)]

    assert foreign == []
