"""A connection that goes where the guard looked, and is over when its time is: httpcore's network, made strict.

Host header, SNI and certificate check keep the name of the URL; only the socket knows the address.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterable
from typing import Any, NoReturn

import httpcore

from concord.egress.guard import EgressGuard
from concord.errors import HandlerError


class Deadline:
    """The moment by which a call is over, whatever the receiver does: dripping octets buys it no time."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self, host: str) -> float:
        """Seconds until then. HandlerError when there are none."""
        remaining = self._end - time.monotonic()
        if remaining <= 0:
            _too_late(host)
        return remaining


class GuardedNetwork(httpcore.NetworkBackend):
    """Connects to exactly the addresses that were checked: there is no second look-up that could answer otherwise."""

    def __init__(self, guard: EgressGuard, deadline: Deadline, *, connect_seconds: float) -> None:
        self._guard = guard
        self._deadline = deadline
        self._connect_seconds = connect_seconds

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Try the addresses in turn. Raises AddressForbiddenError or HandlerError."""
        del timeout, local_address, socket_options  # the deadline is the time-out
        trouble: OSError | None = None
        for address in self._guard.addresses(host, port, seconds=self._deadline.left(host)):
            seconds = min(self._connect_seconds, self._deadline.left(host))
            try:
                return TimedStream(socket.create_connection((address, port), timeout=seconds), host, self._deadline)
            except OSError as error:
                trouble = error
        raise HandlerError("unreachable", host=host, port=port, cause=trouble) from trouble


class TimedStream(httpcore.NetworkStream):
    """A socket whose every wait ends with the deadline."""

    def __init__(self, connection: socket.socket, host: str, deadline: Deadline) -> None:
        self._socket = connection
        self._host = host
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        del timeout
        self._socket.settimeout(self._deadline.left(self._host))
        try:
            return self._socket.recv(max_bytes)
        except TimeoutError:
            _too_late(self._host)
        except OSError as error:
            raise HandlerError("hung_up", host=self._host, cause=error) from error

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        del timeout
        rest = memoryview(buffer)
        while rest:
            self._socket.settimeout(self._deadline.left(self._host))
            try:
                rest = rest[self._socket.send(rest) :]
            except TimeoutError:
                _too_late(self._host)
            except OSError as error:
                # httpcore then reads the answer: a receiver may refuse a body before it has read all of it.
                raise httpcore.WriteError(error) from error

    def close(self) -> None:
        self._socket.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        del timeout
        self._socket.settimeout(self._deadline.left(self._host))
        try:
            secured = ssl_context.wrap_socket(self._socket, server_hostname=server_hostname)
        except TimeoutError:
            self.close()
            _too_late(self._host)
        except OSError as error:
            self.close()
            raise HandlerError("tls", host=self._host, cause=error) from error
        return TimedStream(secured, self._host, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        """Nothing: httpcore asks which protocol was agreed (HTTP/1.1), and after kept connections (there are none)."""
        del info


def _too_late(host: str) -> NoReturn:
    raise HandlerError("timeout", host=host) from None
