"""Where a private development set lives: its folders, its ports, and the environment its processes get."""

from __future__ import annotations

import getpass
import hashlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
# Dovecot's and supervisord's sockets lie some 40 characters deeper, and a socket's path ends at 107.
LONGEST_FOR_SOCKETS: Final = 60
USABLE_PORTS: Final = range(1024, 65_001)


class CannotRunError(Exception):
    """What keeps the set from running, in a sentence with its remedy."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Loopback ports, well off the usual ones, each with the variable that changes it."""

    redis: int
    imap: int  # the next two are IMAPS and LMTP
    flower: int
    admin: int

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Ports:
        """From REDIS_PORT, IMAP_PORT, FLOWER_PORT and ADMIN_PORT."""
        return cls(
            redis=_port(environment, "REDIS_PORT", 17379),
            imap=_port(environment, "IMAP_PORT", 17143),
            flower=_port(environment, "FLOWER_PORT", 17555),
            admin=_port(environment, "ADMIN_PORT", 17300),
        )

    @property
    def imaps(self) -> int:
        return self.imap + 1

    @property
    def lmtp(self) -> int:
        return self.imap + 2

    def variables(self) -> dict[int, str]:
        """Every port, with the variable to set where it is taken."""
        return {
            self.redis: "REDIS_PORT",
            self.imap: "IMAP_PORT",
            self.imaps: "IMAP_PORT",
            self.lmtp: "IMAP_PORT",
            self.flower: "FLOWER_PORT",
            self.admin: "ADMIN_PORT",
        }


@dataclass(frozen=True)
class State:
    """The folders of one development set, and the names of what lies in them."""

    folder: Path
    logs: Path
    ports: Ports

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> State:
        """From RUN_DIR (.run) and LOG_DIR (logs), and the ports' variables."""
        return cls(
            folder=ROOT / environment.get("RUN_DIR", ".run"),
            logs=ROOT / environment.get("LOG_DIR", "logs"),
            ports=Ports.read(environment),
        )

    @cached_property
    def servers(self) -> Path:
        """Where the private servers live: in `folder`, unless Dovecot's unprivileged users could not come by there."""
        inside = self.folder / "servers"
        if len(str(inside)) <= LONGEST_FOR_SOCKETS and _others_may_pass(self.folder):
            return inside
        return Path("/var/tmp") / f"concord-{os.getuid()}-{hashlib.sha256(str(inside).encode()).hexdigest()[:8]}"  # noqa: S108 - its owner is checked before use

    @property
    def credentials(self) -> Path:
        return self.folder / "credentials"

    @property
    def config(self) -> Path:
        return self.folder / "concord.toml"

    @property
    def redis(self) -> Path:
        return self.servers / "redis"

    @property
    def dovecot(self) -> Path:
        return self.servers / "dovecot"

    @property
    def socket(self) -> Path:
        """Supervisord's. Where it lies is the daemons' run directory."""
        return self.servers / "supervisor.sock"

    @property
    def certificate(self) -> Path:
        """Dovecot's, its own authority."""
        return self.dovecot / "cert.pem"

    def environment(self) -> dict[str, str]:
        """What the daemons, and the commands that speak to the same set, find in their environment."""
        # A service manager's socket is for the process it started, not for ours.
        kept = {
            name: value for name, value in os.environ.items() if name not in ("CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET")
        }
        return kept | {
            "PATH": f"{kept.get('PATH', os.defpath)}:/usr/sbin:/sbin",
            "CONCORD_CONFIG": str(self.config),
            "CONCORD_CREDENTIALS": str(self.credentials),
            "DAEMON_BIN": str(Path(sys.executable).parent),
            "DAEMON_STATE": str(self.folder),
            "DAEMON_SERVERS": str(self.servers),
            "DAEMON_LOGS": str(self.logs),
            "DAEMON_RUN": str(self.socket.parent),
            "DAEMON_USER": getpass.getuser(),
        }


def _port(environment: Mapping[str, str], name: str, default: int) -> int:
    text = environment.get(name) or str(default)
    if not text.isdecimal() or int(text) not in USABLE_PORTS:
        raise CannotRunError(f"{name}={text} is no port: give a number from 1024 to 65000.")
    return int(text)


def _others_may_pass(folder: Path) -> bool:
    if os.getuid() != 0:
        return True
    existing = (place for place in [folder, *folder.parents] if place.exists())
    return all(place.stat().st_mode & 0o001 for place in existing)
