"""Makes a development set's folders: settings, secrets, and the configuration of the private Redis and Dovecot.

Written anew at each start, since ports may change; secrets and data stay.
"""

from __future__ import annotations

import getpass
import grp
import os
import secrets
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Final

import psutil
from cryptography.fernet import Fernet

from concord.adapters.supervisord_programs import write_programs
from concord.manager.worker_files import WorkerFiles
from concord.settings import WorkerSettings
from deploy.demo.mails import ALICE, BOB
from deploy.demo.state import ROOT, CannotRunError, State

DOVECOT_TEMPLATE: Final = ROOT / "deploy/demo/dovecot.conf.in"
TURN_LOGS_AT: Final = 10 * 1024 * 1024

SETTINGS: Final = """\
# Written by make run and make demo. For a change of your own use the environment: CONCORD_POLL__INTERVAL=10 make run
[database]
url = "sqlite:///{folder}/concord.db"

[archive]
path = "{folder}/archive"

[poll]
interval = 3
backoff_base = 2

[upkeep]
sweep_interval = 5

[worker]
soft_shutdown_timeout = 5

[worker.poll]
concurrency = 8

[worker.deliver]
concurrency = 8

[flower]
port = {flower}

[admin]
port = {admin}

[service]
supervisor = "supervisord"
run_directory = "{run}"
programs_file = "{folder}/workers.conf"

[log]
style = "json"
"""

REDIS: Final = """\
bind 127.0.0.1
port {port}
requirepass {password}
dir {folder}
save ""
appendonly yes
maxmemory-policy noeviction
# Its title would overwrite the environment by which a next run knows its own leftovers.
set-proc-title no
"""


def prepare(state: State) -> None:
    """Make everything the daemons need before they start. Raises CannotRunError."""
    for folder in (state.folder, state.logs, state.servers):
        folder.mkdir(parents=True, exist_ok=True)
    if state.servers.lstat().st_uid != os.getuid() or state.servers.is_symlink():
        raise CannotRunError(f"{state.servers} belongs to somebody else: remove it, or set RUN_DIR to another folder.")
    state.credentials.mkdir(mode=0o700, exist_ok=True)
    _keep_secret(state.credentials / "secret_key", Fernet.generate_key().decode())
    _keep_secret(state.credentials / "flower__password", secrets.token_urlsafe(12))
    _write_settings(state)
    write_programs(
        WorkerFiles(state.config.parent / "workers", WorkerSettings()).instances(), state.folder / "workers.conf"
    )
    _prepare_redis(state)
    _prepare_dovecot(state)
    _turn_logs(state.logs)


def check_ports(state: State) -> None:
    """Raises CannotRunError for the first port that somebody else listens on."""
    for port, variable in state.ports.variables().items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                remedy = f"Stop that, or choose another: {variable}={port + 1000} make …"
                raise CannotRunError(f"Port {port} is taken{_by_whom(port)}. {remedy}") from None


def mail_password(state: State) -> str:
    """The demo mailboxes' password."""
    return (state.folder / "mail-password").read_text(encoding="utf-8")


def admin_password(state: State) -> str:
    """With which the user `admin` signs in to the admin site; made when first asked for."""
    return _keep_secret(state.folder / "admin-password", secrets.token_urlsafe(12))


def _write_settings(state: State) -> None:
    ports = {"flower": state.ports.flower, "admin": state.ports.admin}
    text = SETTINGS.format(folder=state.folder, run=state.socket.parent, **ports)
    state.config.write_text(text, encoding="utf-8")


def _prepare_redis(state: State) -> None:
    state.redis.mkdir(exist_ok=True)
    password = _keep_secret(state.folder / "redis-password", secrets.token_urlsafe(18))
    conf = REDIS.format(port=state.ports.redis, password=password, folder=state.redis)
    _write(state.redis / "redis.conf", conf, 0o600)
    _write(state.credentials / "redis__url", f"redis://:{password}@127.0.0.1:{state.ports.redis}/0", 0o600)


def _prepare_dovecot(state: State) -> None:
    _keep_secret(state.folder / "mail-password", secrets.token_urlsafe(12))
    user = "mail" if os.getuid() == 0 else getpass.getuser()
    for folder in ("run", "state", "mail"):
        (state.dovecot / folder).mkdir(parents=True, exist_ok=True)
    if os.getuid() == 0:
        shutil.chown(state.dovecot / "mail", user, user)
    _make_certificate(state)
    _write_users(state)
    text = DOVECOT_TEMPLATE.read_text(encoding="utf-8")
    for word, value in _dovecot_words(state, user).items():
        text = text.replace(f"@{word}@", value)
    _write(state.dovecot / "dovecot.conf", text, 0o644)


def _write_users(state: State) -> None:
    place = state.dovecot / "users"
    _write(place, "".join(f"{name}:{{PLAIN}}{mail_password(state)}::::::\n" for name in (ALICE, BOB)), 0o640)
    if os.getuid() == 0:
        shutil.chown(place, group="dovecot")


def _dovecot_words(state: State, mail_user: str) -> dict[str, str]:
    privileged = os.getuid() == 0
    me, mine = getpass.getuser(), grp.getgrgid(os.getgid()).gr_name
    return {
        "STATE": str(state.dovecot),
        "NAME": "concord-demo",
        "CERTIFICATE": str(state.certificate),
        "KEY": str(state.dovecot / "key.pem"),
        "INTERNAL_USER": "dovecot" if privileged else me,
        "INTERNAL_GROUP": "dovecot" if privileged else mine,
        "LOGIN_USER": "dovenull" if privileged else me,
        "LOGIN_CHROOT": "login" if privileged else "",
        "ANVIL_CHROOT": "empty" if privileged else "",
        "MAIL_USER": mail_user,
        "MAIL_GROUP": mail_user if privileged else mine,
        "IMAP_PORT": str(state.ports.imap),
        "IMAPS_PORT": str(state.ports.imaps),
        "LMTP_PORT": str(state.ports.lmtp),
    }


def _make_certificate(state: State) -> None:
    if state.certificate.exists():
        return
    names = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    use = ["-addext", "keyUsage=critical,digitalSignature,keyCertSign"]
    files = ["-keyout", str(state.dovecot / "key.pem"), "-out", str(state.certificate)]
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "3650", *names, *use, *files]
    subprocess.run(command, check=True, capture_output=True)


def _turn_logs(logs: Path) -> None:
    """A log grown big is set aside before the daemons open it: nobody else does that in a checkout."""
    for log in [*logs.glob("celery-*.log"), *logs.glob("concord-*.log")]:
        if log.stat().st_size > TURN_LOGS_AT:
            log.rename(log.with_suffix(".log.1"))


def _keep_secret(path: Path, fresh: str) -> str:
    if not path.exists():
        _write(path, fresh, 0o600)
    return path.read_text(encoding="utf-8")


def _write(path: Path, text: str, mode: int) -> None:
    """Beside, then renamed: a reader sees the old file or the new one, and nobody a secret before its mode is set."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)


def _by_whom(port: int) -> str:
    for connection in psutil.net_connections(kind="tcp"):
        is_listener = connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,)
        if is_listener and connection.pid:
            return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    return ""
