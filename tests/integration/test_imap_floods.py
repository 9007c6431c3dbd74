"""A server that never stops talking costs a bounded amount of memory, measured in a process of its own (P17)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final

import pytest

from tests.servers.hostile_imap import HostileImap, Talk

MIB: Final = 1024 * 1024
FLOOD: Final = 400 * MIB
BOUND: Final = 120 * MIB  # a list of a million UIDs may come, and the objects made of it


async def lines(talk: Talk) -> None:
    await talk.flood(b"* 1 FETCH (FLAGS (\\Seen))\r\n", FLOOD)


async def line(talk: Talk) -> None:
    talk.send(b"* SEARCH ")
    await talk.flood(b"1 ", FLOOD)


async def literal(talk: Talk) -> None:
    talk.send(b"* 1 FETCH (UID 1 BODY[]<0> {%d}\r\n" % FLOOD)
    await talk.flood(b"x", FLOOD)


@pytest.mark.parametrize(("flood", "verb"), [(lines, "SEARCH"), (lines, "BODY"), (line, "SEARCH"), (literal, "BODY")])
def test_flood_costs_little_memory(flood: Callable[[Talk], Awaitable[None]], verb: str, tmp_path: Path) -> None:
    with HostileImap({1: b"Subject: one\r\n\r\n"}) as server:
        server.answers[verb] = flood
        command = [sys.executable, "-m", "tests.servers.flooded", str(server.port), str(tmp_path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)

    grown, ended = done.stdout.splitlines()[-1].split()
    assert int(grown) < BOUND
    assert ended in ("mailbox_protocol", "mailbox_down")
