"""One short conversation with systemd over D-Bus: methods, properties, and how its jobs ended.

The interface is that of org.freedesktop.systemd1(5), spoken with plain messages.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from dbus_fast import AuthError, BusType, InvalidAddressError, InvalidMessageError, Message, MessageType
from dbus_fast.aio import MessageBus
from dbus_fast.auth import AuthExternal

from concord.errors import SupervisorDownError

# systemd answers in milliseconds, but not while it reloads its units, and polkit may have to be started first.
CALL_SECONDS: Final = 25.0
# How often a job is looked for whose end may have been missed: systemd re-executes itself on its upgrade.
LOOK_SECONDS: Final = 2.0

_SYSTEMD: Final = "org.freedesktop.systemd1"
_MANAGER: Final = "org.freedesktop.systemd1.Manager"
_PATH: Final = "/org/freedesktop/systemd1"
_BUS: Final = "org.freedesktop.DBus"
_BUS_PATH: Final = "/org/freedesktop/DBus"
_PROPERTIES: Final = "org.freedesktop.DBus.Properties"
_JOB: Final = "org.freedesktop.systemd1.Job"
_JOB_REMOVED: Final = f"type='signal',sender='{_SYSTEMD}',path='{_PATH}',interface='{_MANAGER}',member='JobRemoved'"

# The bus answers in systemd's place.
_NOBODY_THERE: Final = (
    f"{_BUS}.Error.ServiceUnknown",
    f"{_BUS}.Error.NameHasNoOwner",
    f"{_BUS}.Error.NoReply",
    f"{_BUS}.Error.Disconnected",
    f"{_BUS}.Error.Spawn.",
)
_UNREACHABLE: Final = (OSError, EOFError, AuthError, InvalidAddressError, InvalidMessageError)


class BusError(Exception):
    """systemd, or polkit for it, said no. `name` is D-Bus's name for why."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


class SystemdBus:
    """A connection. All raise BusError, and SupervisorDownError where nobody answers."""

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus
        self._owner = ""
        self._results: dict[str, str] = {}
        self._news = asyncio.Event()

    async def manager(self, member: str, signature: str = "", *body: object) -> list[Any]:
        """Call a method of systemd's manager."""
        return await self._call(_SYSTEMD, _PATH, _MANAGER, member, signature, body)

    async def unit(self, unit: str) -> dict[str, Any]:
        """All properties of a unit, loaded if need be; what systemd does not know has LoadState `not-found`."""
        [path] = await self.manager("LoadUnit", "s", unit)
        # No interface means: of all interfaces.
        [properties] = await self._call(_SYSTEMD, path, _PROPERTIES, "GetAll", "s", [""])
        return {name: variant.value for name, variant in properties.items()}

    async def processes(self, unit: str) -> list[int]:
        """Every process in the unit's control group."""
        try:
            [found] = await self.manager("GetUnitProcesses", "s", unit)
        except BusError:
            return []  # nothing of it is left, the unit itself included
        return [pid for _group, pid, _command in found]

    async def follow_jobs(self) -> None:
        """From here on no job ends unnoticed. Comes before the first job, which may end before its number is known."""
        [self._owner] = await self._call(_BUS, _BUS_PATH, _BUS, "GetNameOwner", "s", [_SYSTEMD])
        self._bus.add_message_handler(self._hear)
        await self._call(_BUS, _BUS_PATH, _BUS, "AddMatch", "s", [_JOB_REMOVED])
        await self.manager("Subscribe")

    async def result(self, job: str) -> str:
        """Wait for a job's end: `done`, `failed`, `dependency`, `canceled`, …; `unknown` where it passed unseen."""
        while job not in self._results:
            self._news.clear()
            try:
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._news.wait()
            except TimeoutError:
                if not await self._is_queued(job):
                    self._results.setdefault(job, "unknown")
        return self._results[job]

    def ended(self, job: str) -> str:
        """How a job ended, as far as it is known; else empty."""
        return self._results.get(job, "")

    async def _is_queued(self, job: str) -> bool:
        try:
            await self._call(_SYSTEMD, job, _PROPERTIES, "Get", "ss", [_JOB, "State"])
        except BusError:
            return False
        return True

    def _hear(self, message: Message) -> None:
        # Anybody on the bus may send us a signal of that name.
        if (message.member, message.interface, message.sender) != ("JobRemoved", _MANAGER, self._owner):
            return
        _number, job, _unit, result = message.body
        self._results[job] = result
        self._news.set()

    async def _call(
        self, destination: str, path: str, interface: str, member: str, signature: str, body: Sequence[object]
    ) -> list[Any]:
        message = Message(
            destination=destination, path=path, interface=interface, member=member, signature=signature, body=list(body)
        )
        late = asyncio.timeout(CALL_SECONDS)
        try:
            async with late:
                reply = await self._bus.call(message)
        except _UNREACHABLE as error:
            cause = f"no answer to {member} within {CALL_SECONDS:.0f} s" if late.expired() else _told(error)
            raise SupervisorDownError("systemd", cause=cause) from error
        return _body(reply)


@asynccontextmanager
async def systemd_bus(address: str | None) -> AsyncIterator[SystemdBus]:
    """To the system bus, or to the bus at an address, as our effective user. Raises SupervisorDownError."""
    try:
        # The library would name the real user; the kernel vouches for the effective one.
        bus = MessageBus(address, BusType.SYSTEM, AuthExternal(os.geteuid()))
        async with asyncio.timeout(CALL_SECONDS):
            await bus.connect()
    except _UNREACHABLE as error:
        raise SupervisorDownError("dbus", cause=_told(error)) from error
    try:
        yield SystemdBus(bus)
    finally:
        bus.disconnect()
        with suppress(*_UNREACHABLE):
            async with asyncio.timeout(CALL_SECONDS):
                await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]  # as the library has it


def _body(reply: Message | None) -> list[Any]:
    if reply is None:
        raise SupervisorDownError("systemd", cause="the connection to its D-Bus was closed")
    if reply.message_type is not MessageType.ERROR:
        return list(reply.body)
    name, text = str(reply.error_name), str(reply.body[0]) if reply.body else str(reply.error_name)
    if name.startswith(_NOBODY_THERE):
        raise SupervisorDownError("systemd", cause=text)
    raise BusError(name, text)


def _told(error: Exception) -> str:
    return str(error) or type(error).__name__
