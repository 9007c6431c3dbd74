"""Asking the server again for bytes that the archive lost. They are stored only where they are the very same.

Same UIDVALIDITY, UID and digest: then the message never notices. What cannot be had stays counted and waits, for the
server or for a restored backup; nothing is given up for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from typing import Final

import structlog

from concord.errors import ArchiveLossError, FolderRenumberedError, MailboxFolderError
from concord.model.loss import Loss, Verdict
from concord.model.message import FetchedMail
from concord.pipeline.folder import PollPorts
from concord.ports import Archive, Blob, MailSource

log = structlog.get_logger(__name__)

PER_POLL: Final = 20
# A session that dies over one of them must not die over it at every poll.
AGAIN: Final = timedelta(minutes=15)
# The server will hardly change its mind; a restored backup is noticed then, too.
SELDOM: Final = timedelta(hours=6)
_CHUNK: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Refetch:
    """What one poll does for its account's lost messages."""

    ports: PollPorts
    source: MailSource
    account_id: int

    def run(self) -> None:
        """Ask for those that are due. Without a loss it costs one small query."""
        losses = self.ports.losses.due(self.account_id, limit=PER_POLL)
        if not losses:
            return
        back = [loss for loss in losses if is_kept(self.ports.archive, loss)]
        self._settle(back)
        wanted = [loss for loss in losses if loss not in back]
        self._postpone(wanted, AGAIN)
        for (folder, uidvalidity), those in groupby(sorted(wanted, key=_folder), key=_folder):
            lacking = {loss.uid: loss for loss in those}
            try:
                self.source.select(folder, uidvalidity=uidvalidity)
                self._ask(lacking)
            except MailboxFolderError:
                self._postpone(list(lacking.values()), SELDOM, Verdict.GONE)
            except FolderRenumberedError:
                self._postpone(list(lacking.values()), SELDOM, Verdict.RENUMBERED)

    def _ask(self, lacking: dict[int, Loss]) -> None:
        """Take what the server answers out of `lacking`."""
        for item in self.source.fetch(sorted(lacking), max_size=self.ports.settings.max_message_bytes):
            loss = lacking.pop(item.uid)
            if not isinstance(item, FetchedMail):
                self._postpone([loss], AGAIN, Verdict.UNREADABLE)
            elif item.sha256 != loss.sha256:
                self._postpone([loss], SELDOM, Verdict.CHANGED)
            else:
                self._restore(loss, item)
        self._postpone(list(lacking.values()), SELDOM, Verdict.GONE)

    def _restore(self, loss: Loss, mail: FetchedMail) -> None:
        self.ports.archive.repair(
            Blob(
                key=loss.archive_key,
                sha256=mail.sha256,
                size=mail.size,
                content=mail.content,
                content_type="message/rfc822",
            )
        )
        self._settle([loss])

    def _settle(self, losses: Iterable[Loss]) -> None:
        ids = [loss.message_id for loss in losses]
        if ids:
            self.ports.queue.process(self.ports.losses.settle(ids))
            log.info("message.restored", messages=ids)

    def _postpone(self, losses: Sequence[Loss], pause: timedelta, verdict: Verdict | None = None) -> None:
        if not losses:
            return
        ids = [loss.message_id for loss in losses]
        self.ports.losses.postpone(ids, due_at=self.ports.clock() + pause, verdict=verdict)
        if verdict is not None:
            log.warning("message.lost", messages=ids, server=verdict.value)


def is_kept(archive: Archive, loss: Loss) -> bool:
    """Whether the archive has the bytes again, a restored backup's perhaps. Big ones are read piece by piece."""
    digest = hashlib.sha256()
    try:
        with closing(archive.open(loss.archive_key)) as stream:
            while piece := stream.read(_CHUNK):
                digest.update(piece)
    except ArchiveLossError:
        return False
    return digest.hexdigest() == loss.sha256


def _folder(loss: Loss) -> tuple[str, int]:
    return loss.folder, loss.uidvalidity
