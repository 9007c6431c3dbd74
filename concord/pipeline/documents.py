"""Event documents, read for handlers and people. A lost one is made again from the raw bytes (P4)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog

from concord import mime
from concord.errors import ArchiveDamagedError, ArchiveDownError, ArchiveLossError
from concord.model.message import Message
from concord.pipeline.reading import document_of, raw_of
from concord.ports import Archive, Blob, Ledger, Losses, Outbox

log = structlog.get_logger(__name__)

# As `event_key` writes it: the document's digest is in its name.
_NAMED: Final = re.compile(r"-([0-9a-f]{16})\.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Documents:
    """The documents of events, wherever they are needed."""

    archive: Archive
    ledger: Ledger
    outbox: Outbox
    losses: Losses

    def is_away(self) -> bool:
        """Whether the archive takes or gives nothing now: whoever needs it waits, and claims nothing."""
        try:
            self.archive.require()
        except ArchiveDownError:
            return True
        return False

    def read(self, event_id: UUID, message_id: int, key: str) -> bytes:
        """The document's octets. Raises ArchiveDownError; ArchiveLossError where the raw bytes are lost, too."""
        try:
            return _checked(key, self.archive.read(key))
        except ArchiveLossError as error:
            log.warning("event.document_lost", message=message_id, error=error)
        document = self.restore(message_id)[-1]
        if document.key != key:
            # The parser has learned since: what it reads now counts, as in a replay.
            self.outbox.keep_document(event_id, document.key)
        assert isinstance(document.content, bytes)  # noqa: S101 - documents are made in memory
        return document.content

    def restore(self, message_id: int) -> Sequence[Blob]:
        """Make everything again that follows from the raw bytes: attachments, and the document as the last."""
        message = self.ledger.get(message_id)
        blobs = self._made(message)
        for blob in blobs:
            self.archive.repair(blob)
        log.info("event.document_restored", message=message_id)
        return blobs

    def _made(self, message: Message) -> Sequence[Blob]:
        try:
            mail = mime.read(raw_of(message, self.archive))
        except ArchiveLossError as error:
            self.losses.add(message.id, error)
            raise
        _, blobs = document_of(message, mail, message.priority)
        return blobs


def _checked(key: str, content: bytes) -> bytes:
    named = _NAMED.search(key)
    if named and (found := hashlib.sha256(content).hexdigest())[:16] != named[1]:
        raise ArchiveDamagedError("object", key=key, sha256=found)
    return content
