"""Having systemd know the workers that there are: its own one-shot unit does it, as root; we ask for it and look.

An unprivileged user can neither link a unit into a target nor write polkit's rules. concord-workers.service does both,
from the names of the workers' files alone (see there).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from concord.adapters.systemd_bus import BusError, SystemdBus, systemd_bus
from concord.adapters.systemd_move import REFUSED, UNKNOWN
from concord.errors import DaemonFailedError, SupervisorRefusedError, UnknownDaemonError
from concord.model.daemon import SETTLE, TARGET, unit_name, worker
from concord.model.worker import BUILT_IN

SECONDS: Final = 30.0
# One that was under way already may have looked before the file was there.
_TRIES: Final = 3
_PAUSE: Final = 0.1


class Adoption:
    """One round of it."""

    def __init__(self, address: str | None, instances: Sequence[str]) -> None:
        self._address = address
        self._wanted = {unit_name(worker(instance)) for instance in instances if instance not in BUILT_IN}

    async def run(self) -> None:
        """Until the target has exactly these workers and we may move them. Raises as the port says."""
        try:
            async with asyncio.timeout(SECONDS), systemd_bus(self._address) as bus:
                before = await self._known(bus)
                await bus.follow_jobs()
                await self._settle(bus)
                for unit in sorted(self._wanted - before):
                    await self._until_allowed(bus, unit)
        except TimeoutError as error:
            raise DaemonFailedError("workers_noted_late", after=f"{SECONDS:.0f} s", unit=SETTLE) from error

    async def _settle(self, bus: SystemdBus) -> None:
        for _ in range(_TRIES):
            result = await bus.result(await self._start(bus))
            if result != "done":
                raise DaemonFailedError("workers_not_noted", unit=SETTLE, cause=result)
            if await self._known(bus) == self._wanted:
                return
        raise DaemonFailedError("other_workers_noted", unit=SETTLE)

    async def _start(self, bus: SystemdBus) -> str:
        try:
            [job] = await bus.manager("StartUnit", "ss", SETTLE, "replace")
        except BusError as error:
            if error.name in REFUSED:
                raise SupervisorRefusedError("workers", unit=SETTLE) from error
            if error.name in UNKNOWN:
                raise UnknownDaemonError("settle_unit", unit=SETTLE) from error
            raise DaemonFailedError("workers_not_noted", unit=SETTLE, cause=error) from error
        return str(job)

    async def _known(self, bus: SystemdBus) -> set[str]:
        """The further workers that the target has."""
        wants: list[str] = (await bus.unit(TARGET))["Wants"]
        own = {unit_name(worker(instance)) for instance in BUILT_IN}
        return {unit for unit in wants if unit.startswith(unit_name(worker("")).removesuffix(".service"))} - own

    async def _until_allowed(self, bus: SystemdBus, unit: str) -> None:
        """Polkit reads its rules anew in its own time. To forget a failure that never was moves nothing."""
        while True:
            try:
                await bus.manager("ResetFailedUnit", "s", unit)
            except BusError as error:
                if error.name not in REFUSED:
                    return
            else:
                return
            await asyncio.sleep(_PAUSE)
