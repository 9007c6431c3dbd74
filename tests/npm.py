"""What tests take from npm (packaging/static puts it there)."""

from __future__ import annotations

from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
AXE: Final = ROOT / ".run/npm/node_modules/axe-core/axe.min.js"
"""Run in a page, it says what keeps people from using that page."""
