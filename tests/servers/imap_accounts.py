"""Accounts and sources for tests that speak IMAP to a server on this machine."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from concord.adapters.imap import ImapSources
from concord.adapters.imap.keys import Keys, NoTokens
from concord.adapters.imap.session import ImapSession
from concord.model.account import Account, Tls
from concord.ports import FolderStatus, MailSource, TokenSource
from concord.settings import PollSettings
from tests.fakes.connections import MemoryConnections
from tests.fakes.vault import NullVault
from tests.servers.dovecot import Dovecot

VAULT = NullVault()
SPOOL = Path(tempfile.mkdtemp(prefix="concord-spool-"))
atexit.register(shutil.rmtree, SPOOL, ignore_errors=True)


def now() -> datetime:
    return datetime.now(UTC)


def account_on(dovecot: Dovecot, user: str, tls: Tls = Tls.IMPLICIT, **changes: Any) -> Account:
    """The account of a Dovecot user."""
    known: dict[str, Any] = {
        "id": 1,
        "name": f"{user}-account",
        "host": dovecot.host,
        "port": dovecot.imaps_port if tls is Tls.IMPLICIT else dovecot.imap_port,
        "tls": tls,
        "user": user,
        "secret": VAULT.seal(dovecot.passwords[user]),
        "ca_file": dovecot.ca_file,
    }
    return Account(**{**known, **changes})


def account_at(port: int, **changes: Any) -> Account:
    """An account in clear on some port of this machine."""
    known: dict[str, Any] = {
        "id": 1,
        "name": "evil",
        "host": "127.0.0.1",
        "port": port,
        "tls": Tls.NONE,
        "user": "alice",
        "secret": VAULT.seal("hunter2"),
    }
    return Account(**{**known, **changes})


class Polls:
    """Sources with a budget in memory; `open` gives a minute unless told otherwise."""

    def __init__(
        self, tokens: TokenSource | None = None, connections: MemoryConnections | None = None, **settings: Any
    ) -> None:
        self.connections = connections or MemoryConnections()
        own = {"connect_timeout": 5, "timeout": 10, "spool_directory": SPOOL}
        self.settings = PollSettings(**{**own, **settings})
        self.sources = ImapSources(self.settings, Keys(VAULT, tokens or NoTokens()), self.connections, now)

    def open(self, account: Account, *, seconds: float = 60) -> AbstractContextManager[ImapSession]:
        return self.sources.open(account, deadline=now() + timedelta(seconds=seconds))


def open_folder(source: MailSource, folder: str = "INBOX", *, writable: bool = False) -> FolderStatus:
    """Select a folder so that its messages may be named by their UIDs."""
    return source.select(folder, uidvalidity=source.select(folder).uidvalidity, writable=writable)
