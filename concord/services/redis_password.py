"""A password for the Redis of this machine, which everybody on it can use as it is installed (D2).

The address with the password lies in the credentials directory before Redis asks for it, under a name that nobody
reads: killed at any point, the next run goes on with the same password.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from concord.adapters import redis_password as redis
from concord.auditing import audited
from concord.errors import UsageError
from concord.services.key_file import write
from concord.settings import credential_prefix, credentials_directory

if TYPE_CHECKING:
    from concord.bootstrap import Concord
    from concord.model.caller import Caller

_NAME: Final = "redis__url"
_LOCAL: Final = ("localhost", "127.0.0.1", "::1")
_OCTETS: Final = 32


def protect(parts: Concord, *, shared: bool, by: Caller) -> Path:
    """Give Redis a password; the credential file that has its address with the password.

    With `shared`, also where others keep keys in it. Raises UsageError, which says what is in the way, and
    QueueDownError.
    """
    settings = parts.settings.redis
    url = settings.url.get_secret_value()
    file = _place(url)
    pending = file.with_name(f".{file.name}.new")
    with audited(parts.audit, by, "secrets.protect_redis"):
        address = _pending(pending, url)
        # Where there is no password, Redis takes any.
        if address and not redis.is_open(settings) and redis.opens(settings, address):
            redis.keep(settings, address)
        else:
            # Asked in any case: a Redis that has another password refuses here, before the pending one is removed.
            others = redis.other_databases(settings)
            if others and not shared:
                raise UsageError("redis_shared", databases=", ".join(map(str, others)))
            pending.unlink(missing_ok=True)
            password = secrets.token_urlsafe(_OCTETS)
            write(pending, [redis.with_password(url, password)])
            try:
                redis.set_password(settings, password)
            except UsageError:
                pending.unlink()
                raise
        pending.replace(file)
    return file


def _place(url: str) -> Path:
    parts = urlsplit(url)
    if parts.username or parts.password:
        raise UsageError("redis_has_password")
    if parts.scheme != "redis" or parts.hostname not in _LOCAL:
        raise UsageError("redis_elsewhere", host=parts.hostname or parts.path)
    if stronger := [name for name in os.environ if name.upper() in ("CONCORD_REDIS__URL", "CONCORD_REDIS")]:
        raise UsageError("redis_named", variable=stronger[0])
    folder = credentials_directory()
    if folder is None:
        raise UsageError("redis_no_folder")
    return folder / f"{credential_prefix(folder)}{_NAME}"


def _pending(file: Path, url: str) -> str:
    """The address that a killed run meant to give to Redis at this one; empty where there was none."""
    try:
        address = file.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return ""
    return address if address == redis.with_password(url, urlsplit(address).password or "") else ""
