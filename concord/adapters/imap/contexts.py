"""TLS contexts: one for each certificate authority and one for the system's, made once, since each costs 20 ms."""

from __future__ import annotations

import ssl
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Final

from concord.errors import MailboxTlsError

_lock = threading.Lock()
_contexts: dict[tuple[str | None, int], ssl.SSLContext] = {}
_pasted: OrderedDict[str, ssl.SSLContext] = OrderedDict()
_MOST_PASTED: Final = 1000


def context_for(ca_file: str | None, ca_pem: str | None = None) -> ssl.SSLContext:
    """A verifying context, TLS 1.2 or newer. A CA file that has changed is read again. Raises MailboxTlsError."""
    try:
        if ca_pem:
            return _of_pasted(ca_pem)
        key = (ca_file, Path(ca_file).stat().st_mtime_ns if ca_file else 0)
        with _lock:
            if key not in _contexts:
                _forget(ca_file)
                _contexts[key] = _made(ca_file)
            return _contexts[key]
    except (OSError, ValueError, TypeError) as error:  # ssl.SSLError, where there is no certificate, is an OSError
        cause = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise MailboxTlsError("ca_file", ca_file=ca_file, cause=cause) from error


def _of_pasted(pem: str) -> ssl.SSLContext:
    with _lock:
        if pem not in _pasted:
            _pasted[pem] = _made(pem=pem)
            if len(_pasted) > _MOST_PASTED:
                _pasted.popitem(last=False)
        _pasted.move_to_end(pem)
        return _pasted[pem]


def _made(ca_file: str | None = None, pem: str | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file, cadata=pem)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _forget(ca_file: str | None) -> None:
    for key in [key for key in _contexts if key[0] == ca_file]:
        del _contexts[key]
