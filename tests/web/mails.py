"""Mails behind the pages: polled from a mailbox in memory, processed or not, as a test wants them."""

from __future__ import annotations

from datetime import timedelta

from concord.bootstrap import Concord, now
from concord.errors import ArchiveMissingError
from concord.model.account import Account, StartKind, StartPoint
from concord.model.message import Message, MessageState
from concord.ports import MessageFilter
from tests.factories import sealed_in
from tests.fakes.mailbox import MemoryMailboxes
from tests.fakes.queue import MemoryQueue


class Mails:
    """The mailbox 'sales', and what Concord makes of its mail."""

    def __init__(self, parts: Concord) -> None:
        self.parts = parts
        self.mailboxes = MemoryMailboxes()
        self.queue = MemoryQueue()
        vars(parts).update(sources=self.mailboxes, queue=self.queue)
        self.mailboxes.add_user("sales")
        account = Account(name="sales", host="mail.example.com", user="sales", start=StartPoint(kind=StartKind.ALL))
        self.account = parts.accounts.add(sealed_in(parts.vault, account, "sesame"))

    def arrive(self, *raws: bytes, processed: bool = True) -> list[Message]:
        """They come; in the order given."""
        known = {one.id for one in self._all()}
        if not known:
            # The folder begins empty: what comes now is new mail, and not a backfill, which goes newest first.
            self.parts.poller.poll(self.account.id, forced=True)
        for raw in raws:
            self.mailboxes.deliver("sales", raw)
        self.parts.poller.poll(self.account.id, forced=True)
        fresh = sorted((one for one in self._all() if one.id not in known), key=lambda one: one.uid)
        if processed:
            self.parts.processor.process([one.id for one in fresh])
        return [self.parts.ledger.get(one.id) for one in fresh]

    def quarantine(self, *raws: bytes) -> list[Message]:
        """They come, their bytes are lost, and they are set aside, as by a version that blamed them for it."""
        fresh = self.arrive(*raws, processed=False)
        for claim in self.parts.ledger.claim([one.id for one in fresh], until=now() + timedelta(minutes=5)):
            key = claim.message.archive_key or ""
            self.parts.archive.delete(key)
            self.parts.ledger.quarantine(claim, ArchiveMissingError("object", key=key))
        found = [self.parts.ledger.get(one.id) for one in fresh]
        assert {one.state for one in found} == {MessageState.QUARANTINED}
        return found

    def _all(self) -> list[Message]:
        return self.parts.ledger.search(MessageFilter(limit=1000))
