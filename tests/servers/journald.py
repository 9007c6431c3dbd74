"""A socket that stands where journald's does, and reads what comes as journald would."""

from __future__ import annotations

import array
import fcntl
import os
import socket
from pathlib import Path
from typing import Final, Self

MOST: Final = 1 << 20


class Journald:
    """Binds `folder/journal`; entries are read one by one, each a list of its fields in order."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "journal"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.settimeout(20)
        self.seals: int | None = None

    def __enter__(self) -> Self:
        self.socket.bind(str(self.path))
        return self

    def __exit__(self, *_exception: object) -> None:
        self.socket.close()
        self.path.unlink(missing_ok=True)

    def entry(self) -> list[tuple[str, str]]:
        """The next entry. `seals` then says how its file in memory was sealed; None where it was a datagram."""
        self.seals = None
        data, rights, _flags, _from = self.socket.recvmsg(MOST, socket.CMSG_SPACE(array.array("i").itemsize))
        for _level, _kind, descriptor in rights:
            file = array.array("i", descriptor)[0]
            self.seals = fcntl.fcntl(file, fcntl.F_GET_SEALS)
            data = os.pread(file, os.fstat(file).st_size, 0)
            os.close(file)
        return parsed(data)

    def fields(self) -> dict[str, str]:
        """The next entry; where a field comes more than once, its last value."""
        return dict(self.entry())

    def drain(self) -> int:
        """Take whatever waits; how many entries that was."""
        self.socket.settimeout(0)
        count = 0
        try:
            while self.socket.recv(MOST):
                count += 1
        except BlockingIOError:
            return count
        finally:
            self.socket.settimeout(20)
        return count


def parsed(entry: bytes) -> list[tuple[str, str]]:
    """The protocol, read back."""
    fields = []
    while entry:
        name, separator, rest = entry.partition(b"\n")
        if b"=" in name:
            name, _, value = name.partition(b"=")
            entry = rest
        else:
            assert separator
            length = int.from_bytes(rest[:8], "little")
            value, entry = rest[8 : 8 + length], rest[9 + length :]
        fields.append((name.decode(), value.decode()))
    return fields
