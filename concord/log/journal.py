"""The journal's own protocol: a line's facts become fields to search by, `journalctl CONCORD_ACCOUNT=office`.

Source: systemd.io, "Native Journal Protocol"; systemd.exec(5), $JOURNAL_STREAM.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
from collections.abc import Iterable
from enum import Enum
from typing import Final

ADDRESS: Final = "/run/systemd/journal/socket"
# More than a datagram may hold: the same bytes go as a file in memory.
_TOO_BIG: Final = (errno.EMSGSIZE, errno.ENOBUFS)
_SEALS: Final = fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL
# A journal that takes nothing for so long is waited for no more, until it takes a line again.
_PATIENCE_SECONDS: Final = 1


class Receipt(Enum):
    """What became of an entry."""

    TAKEN = "taken"
    FULL = "full"  # the journal is there and takes nothing just now
    GONE = "gone"  # there is no journal


def is_standard_error() -> bool:
    """Whether what this process writes to standard error ends in the journal."""
    device, _, inode = os.environ.get("JOURNAL_STREAM", "").partition(":")
    try:
        status = os.fstat(2)
    except OSError:
        return False
    return (str(status.st_dev), str(status.st_ino)) == (device, inode)


class Journal:
    """Sends entries. Safe over a fork: every entry is a datagram of its own."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        # The kernel's own limit to waiting: Python's would poll, and a datagram socket always looks ready.
        limit = struct.pack("@ll", _PATIENCE_SECONDS, 0)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        self._is_stuck = False

    def send(self, fields: Iterable[tuple[str, str]]) -> Receipt:
        """Hand one entry over. Waits a second at most, and not at all while the journal has been stuck since."""
        entry = encoded(fields)
        try:
            self._send(entry)
        except OSError as error:
            self._is_stuck = error.errno in (errno.EAGAIN, errno.EWOULDBLOCK)
            return Receipt.FULL if self._is_stuck else Receipt.GONE
        self._is_stuck = False
        return Receipt.TAKEN

    def close(self) -> None:
        """Let the socket go."""
        self._socket.close()

    def _send(self, entry: bytes) -> None:
        flags = socket.MSG_NOSIGNAL | (socket.MSG_DONTWAIT if self._is_stuck else 0)
        try:
            self._socket.sendto(entry, flags, self._address)
        except OSError as error:
            if error.errno not in _TOO_BIG:
                raise
            self._send_file(entry, flags)

    def _send_file(self, entry: bytes, flags: int) -> None:
        file = os.memfd_create("concord-log", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        with os.fdopen(file, "wb") as memory:
            memory.write(entry)
            memory.flush()
            # Sealed, so that the journal may read it without fear of its changing.
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
            # Not socket.send_fds, which until Python 3.12 drops flags and address.
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("@i", file))
            self._socket.sendmsg([], [rights], flags, self._address)


def encoded(fields: Iterable[tuple[str, str]]) -> bytes:
    """An entry as it travels. A value with a line break goes with its length, so that it cannot begin another field."""
    return b"".join(_encoded(name, value.encode(errors="backslashreplace")) for name, value in fields)


def _encoded(name: str, value: bytes) -> bytes:
    if b"\n" in value:
        return name.encode() + b"\n" + struct.pack("<Q", len(value)) + value + b"\n"
    return name.encode() + b"=" + value + b"\n"
