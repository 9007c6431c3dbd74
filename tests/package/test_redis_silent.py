"""Connections to Redis go silent: they stay open, and nothing comes through (D1, traps 22 to 24)."""

from __future__ import annotations

import time

import pytest

from tests.figures import Note
from tests.package.host import Host

# What this shows is of Concord and the libraries that it brings, the same on each release: one will do.
pytestmark = pytest.mark.parametrize("suite", ["trixie"], indirect=True, scope="session")

DEAF_WITHIN = 180
CREDENTIAL = "/etc/concord/credentials/redis__url"
# Forwards, until told by SIGUSR1 to let nothing more through on the connections that are open then; new ones work.
PROXY = """\
import asyncio, signal

deaf = set()
links = set()

async def pump(reader, writer, link):
    try:
        while data := await reader.read(65536):
            if link in deaf:
                await asyncio.Event().wait()
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    if link in deaf:
        await asyncio.Event().wait()
    writer.close()

async def serve(reader, writer):
    link = object()
    links.add(link)
    far_reader, far_writer = await asyncio.open_connection("127.0.0.1", 6379)
    await asyncio.gather(pump(reader, far_writer, link), pump(far_reader, writer, link))

async def main():
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, lambda: deaf.update(links))
    async with await asyncio.start_server(serve, "127.0.0.1", 6390) as server:
        await server.serve_forever()

asyncio.run(main())
"""


def test_workers_whose_connections_went_silent_consume_again(host: Host, note: Note) -> None:
    """D1, trap 22: the sockets stay open and nothing comes through."""
    host.add_account("office")
    host.machine.put("/opt/proxy.py", PROXY)
    host.machine.run("systemd-run --unit=proxy python3 /opt/proxy.py")
    host.machine.put(CREDENTIAL, "redis://127.0.0.1:6390/0", mode=0o600, owner="concord")
    host.machine.run("systemctl restart concord-celery.target")
    host.wait_until_up(within=90)
    host.deliver("office")
    host.wait_for_events()

    host.machine.run("systemctl kill --signal=USR1 proxy")
    began = time.monotonic()
    host.deliver("office", 5)

    host.wait_for_events(within=DEAF_WITHIN)
    note("connections to Redis swallowed: back to all mail processed", f"{time.monotonic() - began:.0f} s")
