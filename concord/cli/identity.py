"""Who asks, and with whose rights: root at the prompt works in an installed Concord as the user concord.

What root made in /var/lib/concord (a month's folder of the archive, say) the daemons could not write to at night.
Root's rights go for good, since what a command then parses (mails, rows, a server's answers) comes from strangers.
The few verbs that move units keep them as the saved user (`put_on`, `files.as_caller`); files that a person names are
read before they go.
"""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import Final

from concord.errors import UsageError
from concord.model.caller import Caller
from concord.model.daemon import USER

_LOGIN: Final = Path("/proc/self/loginuid")
_NOBODY_LOGGED_IN: Final = 2**32 - 1
_UMASK: Final = 0o027


class _Before:
    """Who started this process, where it became somebody else for good."""

    uid: int | None = None


def put_on() -> None:
    """Take on the effective rights of the user concord where root runs what is installed; the saved ones stay root's.

    Idempotent. Only for verbs that ask systemd with root's rights.
    """
    user = _installed_user()
    if user is None or os.geteuid() != 0:
        return
    _join(user)
    os.setegid(user.pw_gid)
    os.seteuid(user.pw_uid)


def become() -> None:
    """Become the user concord for good where root runs what is installed: nothing of root is left."""
    user = _installed_user()
    if user is not None:
        _become(user)


def drop_root() -> None:
    """Become the user concord for good wherever root asks, its own configuration or not. Raises UsageError."""
    if 0 not in os.getresuid():
        return
    try:
        user = pwd.getpwnam(USER)
    except KeyError:
        raise UsageError("no_user", user=USER) from None
    _become(user)


def actor() -> str:
    """The person behind the command, also behind sudo or su; else the user it runs as."""
    uid = _login_uid()
    if uid is not None:
        return _name(uid)
    # Anybody can set a variable; only root is told by sudo.
    uid = os.getuid() if _Before.uid is None else _Before.uid
    asked_by = os.environ.get("SUDO_USER", "") if uid == 0 else ""
    return asked_by or _name(uid)


def caller() -> Caller:
    """The same, as the audit has it."""
    return Caller(actor=actor(), via="cli")


def _installed_user() -> pwd.struct_passwd | None:
    """None where another's rights are not wanted or not to be had: not root, an own configuration, no package."""
    from concord.settings import DEFAULT_CONFIG

    if os.getuid() != 0 or "CONCORD_CONFIG" in os.environ or not DEFAULT_CONFIG.is_file():
        return None
    try:
        return pwd.getpwnam(USER)
    except KeyError:
        return None


def _become(user: pwd.struct_passwd) -> None:
    if _Before.uid is None:
        _Before.uid = os.getuid()
    os.seteuid(0)
    _join(user)
    os.setresgid(user.pw_gid, user.pw_gid, user.pw_gid)
    os.setresuid(user.pw_uid, user.pw_uid, user.pw_uid)


def _join(user: pwd.struct_passwd) -> None:
    os.setgroups(os.getgrouplist(user.pw_name, user.pw_gid))
    os.umask(_UMASK)
    # Libraries look there for settings of the user's own, and root's are closed to us.
    os.environ["HOME"] = user.pw_dir


def _login_uid() -> int | None:
    """Who logged in, as the kernel remembers it (pam_loginuid(8)); None for what no login began."""
    try:
        uid = int(_LOGIN.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    return None if uid == _NOBODY_LOGGED_IN else uid


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"
