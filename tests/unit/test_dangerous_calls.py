"""No code of Concord's runs what it is given: the linter's own rules, without the exceptions of comments."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
# exec, pickle, marshal, eval, TLS without a check, shells, weak hashes, XML that resolves entities, templates without
# escaping; and SQL made of text.
RULES: Final = "S102,S301,S302,S307,S313,S314,S318,S324,S501,S602,S604,S605,S608,S701"
_MIGRATIONS: Final = "concord/adapters/sql/migrations/"  # their texts are constants, and nothing of a visitor is there


def found_in(place: str) -> set[tuple[str, str]]:
    """Rule and file of each finding."""
    ruff = str(Path(sys.executable).parent / "ruff")
    command = [ruff, "check", "--isolated", "--ignore-noqa", "--no-cache", "--select", RULES, "--output-format", "json"]
    done = subprocess.run([*command, place], cwd=ROOT, capture_output=True, text=True, check=False)
    return {(one["code"], str(Path(one["filename"]).relative_to(ROOT))) for one in json.loads(done.stdout)}


def test_nothing_is_run_loaded_or_queried_that_came_as_text() -> None:
    found = found_in("concord")

    assert not {one for one in found if not (one[0] == "S608" and one[1].startswith(_MIGRATIONS))}


def test_the_rules_find_what_they_forbid(tmp_path: Path) -> None:
    bad = ROOT / ".run" / f"{tmp_path.name}.py"
    bad.parent.mkdir(exist_ok=True)
    bad.write_text("import pickle, subprocess\neval(x)\npickle.loads(x)\nsubprocess.run(x, shell=True)\n", "utf-8")
    try:
        assert {rule for rule, _ in found_in(str(bad))} == {"S307", "S301", "S602"}
    finally:
        bad.unlink()
