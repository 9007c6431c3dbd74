"""Whether Concord's parts answer, each within seconds; with cause and remedy where one does not, and never a secret."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from concord.adapters.sql import schema
from concord.bootstrap import Concord
from concord.errors import ConcordError

SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One part, looked at."""

    ok: bool
    detail: str = ""
    remedy: str = ""


class Health:
    """Looks at each part in a thread of its own: one that hangs holds up no other, and no answer."""

    def __init__(self, make: Callable[[], Concord]) -> None:
        self._make = make
        self._threads = ThreadPoolExecutor(max_workers=8, thread_name_prefix="health")

    async def look(self) -> Mapping[str, Check]:
        """Every part, by name, within SECONDS."""
        looks = {"settings": self._settings, "database": self._database, "redis": self._redis}
        found = await asyncio.gather(*(self._one(look) for look in looks.values()))
        return dict(zip(looks, found, strict=True))

    async def _one(self, look: Callable[[], str]) -> Check:
        loop = asyncio.get_running_loop()
        try:
            detail = await asyncio.wait_for(loop.run_in_executor(self._threads, _told, look), SECONDS)
        except TimeoutError:
            return Check(ok=False, detail=f"no answer within {SECONDS:.0f} s", remedy="See whether its server hangs")
        return detail

    def _settings(self) -> str:
        _ = self._make().vault
        return "usable, with a key"

    def _database(self) -> str:
        schema.check(self._make().engine)
        return f"at version {schema.newest()}"

    def _redis(self) -> str:
        waiting = self._make().queue.depth()
        return f"answers; {sum(waiting.values())} tasks wait"


def _told(look: Callable[[], str]) -> Check:
    try:
        return Check(ok=True, detail=look())
    except ConcordError as error:
        return Check(ok=False, detail=error.message, remedy=error.advice)


def document(checks: Mapping[str, Check], version: str) -> dict[str, Any]:
    """The answer of /healthz."""
    parts = {
        name: {"ok": check.ok, "detail": check.detail, **({"remedy": check.remedy} if check.remedy else {})}
        for name, check in checks.items()
    }
    return {
        "status": "ok" if all(check.ok for check in checks.values()) else "degraded",
        "version": version,
        "checks": parts,
    }
