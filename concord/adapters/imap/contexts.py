"""TLS contexts: one for each certificate authority file and one for the system's, made once, since each costs 20 ms."""

from __future__ import annotations

import ssl
import threading
from pathlib import Path

from concord.errors import MailboxTlsError

_lock = threading.Lock()
_contexts: dict[tuple[str | None, int], ssl.SSLContext] = {}


def context_for(ca_file: str | None) -> ssl.SSLContext:
    """A verifying context, TLS 1.2 or newer. A CA file that has changed is read again. Raises MailboxTlsError."""
    try:
        key = (ca_file, Path(ca_file).stat().st_mtime_ns if ca_file else 0)
        with _lock:
            if key not in _contexts:
                _forget(ca_file)
                _contexts[key] = _made(ca_file)
            return _contexts[key]
    except OSError as error:  # ssl.SSLError, for a file that holds no certificate, is one too
        raise MailboxTlsError("ca_file", ca_file=ca_file, cause=error.strerror or str(error)) from error


def _made(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _forget(ca_file: str | None) -> None:
    for key in [key for key in _contexts if key[0] == ca_file]:
        del _contexts[key]
