"""Debian on disk: a tree of each suite with all that Concord depends on, made once and kept."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.package.failure import MachineError

SUITES: Final = ("bookworm", "trixie")
# All that concord depends on or recommends, so that apt needs no network to install it; then what a mail host has.
PACKAGES: Final = (
    "systemd", "systemd-sysv", "dbus", "polkitd", "init-system-helpers", "python3", "libsqlite3-0", "redis-server",
    "logrotate", "cron", "dovecot-imapd", "procps", "iproute2", "ca-certificates", "curl", "openssl",
)  # fmt: skip
UNWANTED: Final = (
    "getty.target console-getty.service systemd-timesyncd.service apt-daily.timer apt-daily-upgrade.timer "
    "dpkg-db-backup.timer e2scrub_all.timer fstrim.timer man-db.timer"
)
UNSAFE_IO: Final = "/etc/dpkg/dpkg.cfg.d/unsafe-io"
# What is done to a tree after its packages are in; part of what the tree is known by.
PREPARE: Final = (
    'echo debian > "$1/etc/hostname"',
    'echo "127.0.0.1 localhost debian" > "$1/etc/hosts"',
    # Nobody logs in on a terminal here, and time comes from the host.
    f'chroot "$1" systemctl mask -q {UNWANTED}',
    # dpkg waits for the disk after each of 9,000 files; machines side by side would wait for each other.
    f'echo force-unsafe-io > "$1{UNSAFE_IO}"',
    'rm -rf "$1"/var/cache/apt/archives/*.deb',
)
KEPT_SECONDS: Final = 86_400
MAIL_USER: Final = "mail"
PASSWORD: Final = "sesame"
DOVECOT: Final = {
    "bookworm": f"""\
protocols = imap
listen = 127.0.0.1
ssl = no
disable_plaintext_auth = no
auth_failure_delay = 0
mail_max_userip_connections = 1000
mail_location = maildir:/srv/mail/%u
first_valid_uid = 1
first_valid_gid = 1
passdb {{
  driver = static
  args = password={PASSWORD}
}}
userdb {{
  driver = static
  args = uid={MAIL_USER} gid={MAIL_USER} home=/srv/mail/%u
}}
""",
    "trixie": f"""\
dovecot_config_version = 2.4.0
dovecot_storage_version = 2.4.0
protocols = imap
listen = 127.0.0.1
ssl = no
auth_allow_cleartext = yes
auth_failure_delay = 0
mail_max_userip_connections = 1000
mail_driver = maildir
mail_path = /srv/mail/%{{user}}
first_valid_uid = 1
first_valid_gid = 1
passdb static {{
  password = {PASSWORD}
}}
userdb static {{
  fields {{
    uid = {MAIL_USER}
    gid = {MAIL_USER}
    home = /srv/mail/%{{user}}
  }}
}}
""",
}


def cache_folder() -> Path:
    """Where trees are kept between runs."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "concord-packages" / "machines"


def tree(suite: str) -> Path:
    """The suite's tree, made if this definition of it has none yet (about half a minute, and Debian's mirror)."""
    definition = json.dumps([PACKAGES, PREPARE, DOVECOT[suite]])
    place = cache_folder() / f"{suite}-{hashlib.sha256(definition.encode()).hexdigest()[:12]}"
    place.parent.mkdir(parents=True, exist_ok=True)
    with locked(place.parent / f"{suite}.lock"):
        if not place.exists():
            _make_tree(suite, place)
        forget_unused(place, f"{suite}-*")
    return place


def forget_unused(place: Path, pattern: str) -> None:
    """Take away what lies beside this folder and was not used for a day; sooner, another run may be using it."""
    os.utime(place)
    for other in place.parent.glob(pattern):
        if other.is_dir() and other.stat().st_mtime < time.time() - KEPT_SECONDS:
            shutil.rmtree(other, ignore_errors=True)


def _make_tree(suite: str, place: Path) -> None:
    fresh = place.with_name(f"{place.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    hooks = [f"--customize-hook={line}" for line in PREPARE]
    options = ["--quiet", "--variant=minbase", f"--include={','.join(PACKAGES)}", *hooks]
    made = subprocess.run(
        ["mmdebstrap", *options, suite, fresh, *_mirror()],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    )
    if made.returncode:
        raise MachineError(f"no tree of Debian {suite} could be made:\n{made.stderr[-4000:]}")
    (fresh / "etc/dovecot/dovecot.conf").write_text(DOVECOT[suite], encoding="utf-8")
    mail = fresh / "srv/mail"
    mail.mkdir()
    os.chown(mail, *ids(fresh, MAIL_USER))
    (fresh / "etc/resolv.conf").unlink(missing_ok=True)
    fresh.rename(place)


def _mirror() -> list[str]:
    """The Debian mirror this host uses, where it names one."""
    for path in [*Path("/etc/apt/sources.list.d").glob("*.sources")]:
        for stanza in path.read_text(encoding="utf-8").split("\n\n"):
            fields = dict(line.split(":", 1) for line in stanza.splitlines() if ":" in line and line[:1] not in "# ")
            if "debian-archive-keyring" in fields.get("Signed-By", "") and "security" not in fields.get("URIs", ""):
                return fields["URIs"].split()[:1]
    return []


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield


def ids(root: Path, user: str) -> tuple[int, int]:
    for line in (root / "etc/passwd").read_text(encoding="utf-8").splitlines():
        name, _, uid, gid, *_rest = line.split(":")
        if name == user:
            return int(uid), int(gid)
    raise MachineError(f"no user {user} in {root}")
