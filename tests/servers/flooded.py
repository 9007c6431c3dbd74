"""Reads one mail from an IMAP server; says by how many octets this process grew, and how it ended: `PORT PLACE`."""

from __future__ import annotations

import resource
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from concord.adapters.imap import ImapSources
from concord.adapters.imap.keys import Keys, NoTokens
from concord.errors import MailboxError
from concord.settings import PollSettings
from tests.fakes.connections import MemoryConnections
from tests.servers.imap_accounts import VAULT, account_at


def _now() -> datetime:
    return datetime.now(UTC)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _read(port: int, place: Path) -> str:
    """How reading ended: an error's code, or nothing."""
    settings = PollSettings(budget=60, timeout=20, spool_directory=place)
    sources = ImapSources(settings, Keys(VAULT, NoTokens()), MemoryConnections(), _now)
    try:
        with sources.open(account_at(port), deadline=_now() + timedelta(seconds=60)) as source:
            status = source.status("INBOX")
            source.select("INBOX", uidvalidity=status.uidvalidity)
            list(source.fetch(source.uids(1), max_size=settings.max_message_bytes))
    except MailboxError as error:
        return error.code
    return ""


if __name__ == "__main__":
    before = _peak()
    ended = _read(int(sys.argv[1]), Path(sys.argv[2]))
    sys.stdout.write(f"\n{_peak() - before} {ended}\n")
