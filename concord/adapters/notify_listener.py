"""The other end of sd_notify(3): a socket that hears which process says what. The kernel vouches for the process."""

from __future__ import annotations

import select
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from concord.errors import SettingsError

_CREDENTIALS: Final = struct.Struct("3i")  # pid, uid, gid: unix(7)
_MESSAGE_BYTES: Final = 4096
_MESSAGES_AT_ONCE: Final = 256


class Heard(NamedTuple):
    """One datagram."""

    pid: int
    message: bytes


class NotifyListener:
    """Used as a context manager. Takes the path over from whoever had it before."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
        self._inode = -1

    def __enter__(self) -> Self:
        """Raises SettingsError where there can be no such socket."""
        try:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            self.path.unlink(missing_ok=True)
            self._socket.bind(str(self.path))
            self.path.chmod(0o660)
            self._inode = self.path.stat().st_ino
        except OSError as error:
            self._socket.close()
            raise SettingsError("notify_socket", socket=self.path, cause=error.strerror or error) from error
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _tb: TracebackType | None
    ) -> None:
        if self.is_reachable():
            self.path.unlink(missing_ok=True)
        self._socket.close()

    def is_reachable(self) -> bool:
        """Whether what is sent to the path still comes to us."""
        try:
            return self.path.stat().st_ino == self._inode
        except OSError:
            return False

    def hear(self, seconds: float) -> Iterator[Heard]:
        """What is said within so many seconds, what has waited until now first."""
        deadline = time.monotonic() + seconds
        yield from self._waiting()
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self._socket], [], [], left)[0]:
                yield from self._waiting()

    def _waiting(self) -> Iterator[Heard]:
        # Not for ever: one that shouts keeps nobody from being judged.
        for _ in range(_MESSAGES_AT_ONCE):
            try:
                # There is no room for descriptors that may be sent along: the kernel closes them.
                message, ancillary, _, _ = self._socket.recvmsg(_MESSAGE_BYTES, socket.CMSG_SPACE(_CREDENTIALS.size))
            except BlockingIOError:
                return
            for level, kind, data in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS) and len(data) == _CREDENTIALS.size:
                    yield Heard(_CREDENTIALS.unpack(data)[0], message)
