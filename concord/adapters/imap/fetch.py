"""Taking mails: a batch in one round trip, big mails in chunks to a file, one bad mail without its neighbours.

Every octet is the server's. What RFC822.SIZE says is a hint: a mail ends where the server has no more of it.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any, Final

from imapclient.exceptions import ProtocolError
from imapclient.response_parser import parse_fetch_response

from concord.adapters.imap.answers import Answer
from concord.adapters.imap.uid_set import batches, uid_set
from concord.errors import MessageUnreadableError
from concord.model.message import FetchedMail
from concord.ports import MailFacts, Unreadable

# More than this is not asked for in one go, however small the chunks are and however many the batch may have.
BATCH_OCTETS: Final = 8 * 1024 * 1024
FACTS: Final = "FLAGS INTERNALDATE RFC822.SIZE"


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One message's answer to a FETCH: its facts, and one chunk of its octets."""

    uid: int
    size: int | None  # as announced
    internal_date: datetime | None
    flags: tuple[str, ...]
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a FETCH brought, and the server's words where it refused (part of) it."""

    pieces: dict[int, Piece]
    refusal: Answer | None = None


Command = Callable[[str, str], tuple[str, list[Any]]]
"""UID FETCH with a set and items; imaplib's type and data. Raises only for what ends the session."""

Search = Callable[[str], list[int]]
"""UID SEARCH with criteria."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetcher:
    """Fetches from the folder that is selected."""

    command: Command
    search: Search
    batch_messages: int
    chunk: int  # octets
    max_size: int  # octets

    def run(self, uids: Sequence[int]) -> Iterator[FetchedMail | Unreadable]:
        """Every UID's mail or why not, in order; UIDs that vanished are left out."""
        for batch in batches(uids, max(1, min(self.batch_messages, BATCH_OCTETS // self.chunk))):
            pieces = self._ask(batch).pieces
            missing = [uid for uid in batch if uid not in pieces]
            listed = self._listed(missing)
            for uid in batch:
                if uid in pieces:
                    yield from self._whole(pieces.pop(uid))
                elif uid in listed:
                    yield from self._alone(uid)

    def _alone(self, uid: int) -> Iterator[FetchedMail | Unreadable]:
        """One that its batch did not bring, though it is there: asked for once more, by itself."""
        reply = self._ask([uid])
        if uid in reply.pieces:
            yield from self._whole(reply.pieces[uid])
        elif self._listed([uid]):
            yield self._unreadable(uid, None, reply.refusal)

    def _whole(self, first: Piece) -> Iterator[FetchedMail | Unreadable]:
        if len(first.body) < self.chunk:
            if len(first.body) > self.max_size:
                yield self._oversized(first.uid, len(first.body))
            else:
                yield _mail(first, len(first.body), hashlib.sha256(first.body), first.body)
        elif max(first.size or 0, len(first.body)) > self.max_size:
            yield self._oversized(first.uid, first.size)
        else:
            with tempfile.NamedTemporaryFile(prefix="concord-mail-") as file:
                item = self._continued(first, file)
                if item:
                    yield item

    def _continued(self, first: Piece, file: IO[bytes]) -> FetchedMail | Unreadable | None:
        """The rest of a big mail, chunk by chunk, into the file; None if the mail vanished meanwhile."""
        digest, received, body = hashlib.sha256(), 0, first.body
        while True:
            digest.update(body)
            received += len(body)
            if received > self.max_size:
                return self._oversized(first.uid, max(received, first.size or 0))
            file.write(body)
            if len(body) < self.chunk:
                file.flush()
                return _mail(first, received, digest, Path(file.name))
            reply = self._ask([first.uid], received)
            if first.uid not in reply.pieces:
                gone = not self._listed([first.uid])
                return None if gone else self._unreadable(first.uid, first.size, reply.refusal)
            body = reply.pieces[first.uid].body

    def _ask(self, uids: Sequence[int], offset: int = 0) -> Reply:
        facts = "" if offset else f"{FACTS} "
        kind, data = self.command(uid_set(uids), f"(UID {facts}BODY.PEEK[]<{offset}.{self.chunk}>)")
        pieces = {piece.uid: piece for piece in read_pieces(data, offset)}
        refusal = None if kind == "OK" else Answer.read(data[-1] if data else kind)
        return Reply(pieces={uid: pieces[uid] for uid in uids if uid in pieces}, refusal=refusal)

    def _listed(self, uids: Sequence[int]) -> set[int]:
        """Which of these are still there. Some servers pass over in silence what they cannot read."""
        return set(self.search(f"UID {uid_set(uids)}")) & set(uids) if uids else set()

    def _oversized(self, uid: int, size: int | None) -> Unreadable:
        error = MessageUnreadableError(
            "A message is larger than allowed",
            uid=uid,
            size=size,
            limit=self.max_size,
            remedy="Raise poll.max_message_bytes, then 'concord message retry ID'",
        )
        return Unreadable(uid=uid, size=size, error=error, oversized=True)

    @staticmethod
    def _unreadable(uid: int, size: int | None, refusal: Answer | None) -> Unreadable:
        answer = refusal.text if refusal else "its answer cannot be understood"
        error = MessageUnreadableError("The IMAP server would not hand over a message", uid=uid, answer=answer)
        return Unreadable(uid=uid, size=size, error=error)


def read_pieces(data: Sequence[object], offset: int = 0) -> Iterator[Piece]:
    """The answers that carry octets. What cannot be understood, or was not asked for (news of flags), is passed over.

    Each answer is read by itself: read together, sequence numbers that shift during the command could mix two mails.
    """
    for facts in _read(data):
        piece = _piece(facts, offset)
        if piece:
            yield piece


def read_facts(data: Sequence[object]) -> Iterator[tuple[int, MailFacts]]:
    """The answers that say a message's size, by UID."""
    for facts in _read(data):
        uid, size = facts.get(b"UID"), facts.get(b"RFC822.SIZE")
        if isinstance(uid, int) and isinstance(size, int):
            deleted = any(flag.lower() == "\\deleted" for flag in _flags(facts.get(b"FLAGS") or ()))
            yield uid, MailFacts(size=size, is_deleted=deleted)


def _read(data: Sequence[object]) -> Iterator[dict[bytes, Any]]:
    for answer in _answers(data):
        try:
            found = parse_fetch_response(answer, normalise_times=False, uid_is_key=False)
        except (ValueError, LookupError, TypeError, ProtocolError):
            continue
        yield from found.values()


def _answers(data: Sequence[object]) -> Iterator[list[Any]]:
    """Group imaplib's list: an answer is any number of (text, literal) pairs and then the text that ends it."""
    answer: list[object] = []
    for part in data:
        if part is None:
            continue
        answer.append(part)
        if not isinstance(part, tuple):
            yield answer
            answer = []


def _piece(facts: dict[bytes, Any], offset: int) -> Piece | None:
    # Some servers leave the offset out when it is 0; NIL stands for no octets at all.
    for name in (f"BODY[]<{offset}>".encode(), b"BODY[]"):
        if name in facts and b"UID" in facts and isinstance(facts[name], bytes | None):
            when = facts.get(b"INTERNALDATE")
            return Piece(
                uid=facts[b"UID"],
                size=facts.get(b"RFC822.SIZE"),
                internal_date=when.astimezone(UTC) if when else None,
                flags=tuple(_flags(facts.get(b"FLAGS") or ())),
                body=facts[name] or b"",
            )
    return None


def _flags(flags: Sequence[object]) -> Iterator[str]:
    for flag in flags:
        name = flag.decode("utf-8", "replace") if isinstance(flag, bytes) else str(flag)
        if name != "\\Recent":  # true for one session only
            yield name


def _mail(first: Piece, size: int, digest: Any, content: bytes | Path) -> FetchedMail:
    return FetchedMail(
        uid=first.uid,
        size=size,
        sha256=digest.hexdigest(),
        internal_date=first.internal_date,
        flags=first.flags,
        content=content,
    )
