"""How long the generated tests search: `make fuzz` sets FUZZ, for so many times as many examples, chosen by chance."""

from __future__ import annotations

import os
from typing import Any, Final

from hypothesis import HealthCheck, settings

FACTOR: Final = int(os.environ.get("FUZZ", "1"))


def search(examples: int, **options: Any) -> settings:
    """Settings for `examples` examples; repeatable in the suite, at random in `make fuzz`."""
    return settings(
        max_examples=examples * FACTOR,
        deadline=None,
        derandomize=FACTOR == 1,
        suppress_health_check=list(HealthCheck),
        **options,
    )
