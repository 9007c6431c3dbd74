"""Every word that a page may show: found in templates, in code and in errors; kept in the Chinese catalogue.

`make messages` adds what is new to the catalogue, without a translation, and takes out what nobody says any more; the
unit test wants each translated.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po

from concord.wording.lookup import UNSHOWN

ROOT: Final = Path(__file__).parents[1]
CONCORD: Final = ROOT / "concord"
CHINESE: Final = CONCORD / "web/locale/zh_CN/LC_MESSAGES/concord.po"
# `told` is the progress of what is under way.
KEYWORDS: Final[dict[str, Any]] = {"_": None, "N_": None, "gettext": None, "told": None, "ngettext": (1, 2)}
_JINJA: Final = {"extensions": "jinja2.ext.do", "silent": "false", "newstyle_gettext": "true"}
# Keywords of an error that are no facts, and facts that are never shown by name.
_NO_FACTS: Final = UNSHOWN | {"remedy", "log", "headers", "facts", "place", "mistakes", "retry_after", "uids"}
HEADER: Final = """\
# Simplified Chinese for Concord's admin site. `make messages` adds what is new.
#
# mailbox 邮箱 · worker 工作进程 · quarantine 隔离 · delivery 投递 · handler 处理器 · rule 规则
# workflow 工作流 · run 运行
# replay 重放 · token 令牌 · schedule 调度 · archive 归档 · ledger 台账 · event 事件 · role 角色 · scope 权限范围
msgid ""
msgstr ""
"Project-Id-Version: concord\\n"
"Language: zh_CN\\n"
"MIME-Version: 1.0\\n"
"Content-Type: text/plain; charset=UTF-8\\n"
"Content-Transfer-Encoding: 8bit\\n"
"Plural-Forms: nplurals=1; plural=0;\\n"

"""
_SHORTEST_SENTENCE: Final = 8
# Names that such sentences have.
_TOLD_LATER: Final = re.compile(r"_?(SENTENCES|REMEDIES)|cause|remedy")
# The command line's own facts are read at a shell, in English.
_NOT_ON_PAGES: Final = ("cli",)


@dataclass(frozen=True, slots=True)
class Said:
    """One message, with its plural where it has one, and where it is said."""

    message: str
    plural: str
    file: str


def everything() -> list[Said]:
    """All of it."""
    return [*_templates(), *_code(), *_errors()]


def _templates() -> Iterator[Said]:
    for path in sorted((CONCORD / "web/templates").rglob("*.html")):
        yield from _extracted("jinja2", path, _JINJA)


def _code() -> Iterator[Said]:
    for path in sorted(CONCORD.rglob("*.py")):
        yield from _extracted("python", path, {})


def _extracted(method: str, path: Path, options: dict[str, str]) -> Iterator[Said]:
    found = extract(method, BytesIO(path.read_bytes()), KEYWORDS, options=options)
    for _, message, _, _ in found:
        one, plural = (message[0], message[1]) if isinstance(message, tuple) else (message, "")
        yield Said(one, plural, str(path.relative_to(ROOT)))


def _errors() -> Iterator[Said]:
    for path, call, constants in _raised():
        file = str(path.relative_to(ROOT))
        if ast.unparse(call.func).endswith("Refusal"):
            yield from (Said(text, "", file) for text in _texts(_sentence(call), constants))
        for keyword in call.keywords:
            if keyword.arg in ("remedy", "cause"):
                yield from (Said(text, "", file) for text in _texts(keyword.value, constants))
            if keyword.arg and keyword.arg not in _NO_FACTS:
                yield Said(keyword.arg.replace("_", " "), "", file)
    yield from _kept_apart()


def _kept_apart() -> Iterator[Said]:
    """The tables of `concord.wording`; causes that a module looks up by what went wrong, or finds before it raises."""
    for path in sorted(CONCORD.rglob("*.py")):
        if path.relative_to(CONCORD).parts[0] in _NOT_ON_PAGES:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value and _TOLD_LATER.fullmatch(_target(node)):
                yield from (Said(text, "", str(path.relative_to(ROOT))) for text in _texts(node.value, {}))


def _target(node: ast.Assign | ast.AnnAssign) -> str:
    return ast.unparse(node.targets[0] if isinstance(node, ast.Assign) else node.target)


def _raised() -> Iterator[tuple[Path, ast.Call, dict[str, ast.expr]]]:
    for path in sorted(CONCORD.rglob("*.py")):
        if path.relative_to(CONCORD).parts[0] in _NOT_ON_PAGES:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        constants = dict(_constants(tree))
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _is_error(node.func):
                yield path, node, constants


def _is_error(function: ast.expr) -> bool:
    name = ast.unparse(function).rpartition(".")[2]
    return (name.endswith("Error") and name != "Error" and name[0].isupper()) or name == "Refusal"


def _sentence(call: ast.Call) -> ast.expr | None:
    named = {keyword.arg: keyword.value for keyword in call.keywords}
    return call.args[1] if len(call.args) > 1 else named.get("sentence")


def _constants(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    for node in tree.body:
        if isinstance(node, ast.AnnAssign) and node.value and isinstance(node.target, ast.Name):
            yield node.target.id, node.value
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            yield node.targets[0].id, node.value


def _texts(expression: ast.expr | None, constants: dict[str, ast.expr]) -> Iterator[str]:
    """The constant sentences in it, through `… or "…"`, `"…" if … else "…"` and a module's own names."""
    match expression:
        case ast.Constant(value=str(text)) if len(text) >= _SHORTEST_SENTENCE:
            yield text
        case ast.Name(id=name) if name in constants:
            yield from _texts(constants[name], {})
        case ast.Subscript(value=ast.Name(id=name)) if name in constants:
            yield from _texts(constants[name], {})
        case ast.Dict(values=parts) | ast.BoolOp(values=parts) | ast.Tuple(elts=parts):
            for part in parts:
                yield from _texts(part, constants)
        case ast.IfExp(body=one, orelse=other):
            yield from _texts(one, constants)
            yield from _texts(other, constants)
        case _:
            return


def kept() -> Catalog:
    """The Chinese catalogue."""
    with CHINESE.open("rb") as file:
        return read_po(file, locale="zh_CN")


def main() -> None:
    """Bring the catalogue in step with the words."""
    before, after = kept(), Catalog(locale="zh_CN", fuzzy=False)
    for said in everything():
        if said.message:
            old = before.get(said.message)
            message = (said.message, said.plural) if said.plural else said.message
            after.add(message, old.string if old else "", locations=[(said.file, 0)])
    written = BytesIO()
    write_po(written, after, width=110, sort_output=True, ignore_obsolete=True, include_lineno=False, omit_header=True)
    CHINESE.write_bytes(HEADER.encode() + written.getvalue())
    missing = [one for one in after if one.id and not one.string]
    print(f"{len(list(after)) - 1} messages, {len(missing)} without a translation")  # noqa: T201 - a person runs it


if __name__ == "__main__":
    main()
