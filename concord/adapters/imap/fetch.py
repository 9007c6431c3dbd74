"""Taking mails: a batch in one round trip, big mails in chunks to a file, one bad mail without its neighbours.

Every octet is the server's. RFC822.SIZE is a hint that is checked:

* More octets than announced are taken as they come (Exchange estimates sizes, Dovecot may have cached an old one).
* Fewer are never taken at once. The rest is asked for by its offset; what comes is appended. A server that answers
  with a complete, empty literal has said twice where the mail ends, so its size was wrong and the mail is whole. NIL,
  silence or a refusal is no such answer: the mail is Unreadable and asked for again. Neither is no octet at all, unless
  the size is 0.

The pipeline compares the server's size with what was taken before it moves or deletes, so that a mail whose size was
announced wrongly stays on the server.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from imapclient.datetime_util import parse_to_datetime
from imapclient.exceptions import ProtocolError
from imapclient.response_parser import parse_response

from concord.adapters.imap.answers import Answer
from concord.adapters.imap.pace import Pace
from concord.adapters.imap.spool import Part, Spool
from concord.adapters.imap.uid_set import uid_set
from concord.errors import MailboxError, MessageUnreadableError
from concord.model.message import FetchedMail
from concord.ports import MailFacts, Unreadable

FACTS: Final = "FLAGS INTERNALDATE RFC822.SIZE"
# RFC 9051 section 9: nz-number, and number64 for sizes.
HIGHEST_UID: Final = 2**32 - 1
HIGHEST_SIZE: Final = 2**63 - 1
# Before and after these, a date is a clock's or a server's mistake, which sorting and time zones need not survive.
_YEARS: Final = range(1970, 2200)
# Where it is unclear whether a refusal is about one mail, so many others at most are asked for, from so near.
WITNESSES: Final = 3
NEAR: Final = 100
_MOST_FLAGS: Final = 200
_LONGEST_FLAG: Final = 200
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One message's answer to a FETCH: its facts, and one chunk of its octets; None where the server says NIL."""

    uid: int
    size: int | None  # as announced
    internal_date: datetime | None
    flags: tuple[str, ...]
    body: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What came of one command: imaplib's type and data, or the trouble that ended the session and what came before."""

    kind: str
    data: list[Any]
    trouble: MailboxError | None = None
    doubt: MailboxError | None = None  # a refusal that may be about the account, or about one mail


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a FETCH brought, the server's words where it refused (part of) it, and what ended the session meanwhile."""

    pieces: dict[int, Piece]
    asked: int  # octets of each mail
    refusal: Answer | None = None
    trouble: MailboxError | None = None
    doubt: MailboxError | None = None


Command = Callable[[str, str, int], Answered]
"""UID FETCH with a set, items, and the number of octets that may come."""

Search = Callable[[str], list[int]]
"""UID SEARCH with criteria."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetcher:
    """Fetches from the folder that is selected."""

    command: Command
    search: Search
    spool: Spool
    spool_key: Callable[[int], str]
    pace: Pace
    batch_messages: int
    chunk: int  # octets
    max_size: int  # octets

    def run(self, uids: Sequence[int]) -> Iterator[FetchedMail | Unreadable]:
        """Every UID's mail or why not, in order; UIDs that vanished are left out."""
        done = 0
        while done < len(uids):
            batch = uids[done : done + max(1, min(self.batch_messages, self.pace.octets // self._octets()))]
            done += len(batch)
            reply = self._ask(batch)
            if reply.trouble:
                yield from self._came(batch, reply)
                raise reply.trouble
            missing = [uid for uid in batch if uid not in reply.pieces]
            listed = self._listed(missing)
            for uid in batch:
                if uid in reply.pieces:
                    yield from self._whole(reply.pieces.pop(uid), reply.asked)
                elif uid in listed:
                    yield from self._alone(uid)

    def _came(self, batch: Sequence[int], reply: Reply) -> Iterator[FetchedMail]:
        """The mails that came whole before the session ended, up to the first that did not: the cursor stands there."""
        for uid in batch:
            piece = reply.pieces.get(uid)
            if piece is None or not piece.body or not _is_end(piece, len(piece.body), reply.asked):
                return
            if len(piece.body) > self.max_size:
                return
            yield _mail(piece, len(piece.body), hashlib.sha256(piece.body).hexdigest(), piece.body)

    def _alone(self, uid: int) -> Iterator[FetchedMail | Unreadable]:
        """One that its batch did not bring, though it is there: asked for once more, by itself."""
        reply = self._answer(uid)
        piece = reply.pieces.get(uid)
        if piece and (piece.body or piece.size == 0):
            yield from self._whole(piece, reply.asked)
        elif self._listed([uid]):
            self._blame(uid, reply.doubt)
            yield self._unreadable(uid, piece.size if piece else None, reply.refusal)

    def _blame(self, uid: int, doubt: MailboxError | None) -> None:
        """Raise the doubt where the server hands over no other mail either: then its refusal was not about this one."""
        if doubt is None:
            return
        near = self.search(f"UID {max(1, uid - NEAR)}:{min(uid + NEAR, HIGHEST_UID)}")
        others = sorted((other for other in near if other != uid), key=lambda other: abs(other - uid))
        for other in others[:WITNESSES]:
            answered = self.command(uid_set([other]), "(UID BODY.PEEK[]<0.1>)", 1)
            if answered.trouble:
                raise answered.trouble
            if any(piece.body for piece in read_pieces(answered.data)):
                return
        raise doubt

    def _whole(self, first: Piece, asked: int) -> Iterator[FetchedMail | Unreadable]:
        if not first.body and first.size != 0:
            yield from self._alone(first.uid)
            return
        body = first.body or b""
        ended = _is_end(first, len(body), asked) or (len(body) < asked and self._is_confirmed(first.uid, len(body)))
        if max(len(body), 0 if ended else first.size or 0) > self.max_size:
            yield self._oversized(first.uid, len(body) if ended else first.size)
        elif ended:
            yield _mail(first, len(body), hashlib.sha256(body).hexdigest(), body)
        elif len(body) > asked:
            yield self._unreadable(first.uid, first.size, None)
        else:
            with self.spool.part(self.spool_key(first.uid)) as part:
                item = self._continued(first, body, part)
                if item:
                    yield item

    def _is_confirmed(self, uid: int, length: int) -> bool:
        """Whether the server, asked for what it announced behind its last octet, says that there is nothing."""
        piece = self._answer(uid, length).pieces.get(uid)
        return piece is not None and piece.body == b""

    def _continued(self, first: Piece, head: bytes, part: Part) -> FetchedMail | Unreadable | None:
        """The rest of a big mail, chunk by chunk, into the file; None if the mail vanished meanwhile."""
        if not part.resume(first.size, head):
            part.restart()
            part.write(head)
        began = part.length
        while True:
            if part.length > self.max_size:
                return self._oversized(first.uid, max(part.length, first.size or 0))
            overlap, part.overlap = part.overlap, b""
            reply = self._ask([first.uid], part.length - len(overlap))
            if reply.trouble:
                raise self._interrupted(reply.trouble, part, first.size, began)
            piece = reply.pieces.get(first.uid)
            body = piece.body if piece else None
            if body is None and not (piece and part.length == first.size):
                if not self._listed([first.uid]):
                    return None
                self._blame(first.uid, reply.doubt)
                return self._unreadable(first.uid, first.size, reply.refusal)
            body = body or b""
            if not body.startswith(overlap):
                part.restart()
                part.write(head)
                began = 0
                continue
            part.write(body[len(overlap) :])
            # That no more came than the overlap is no end: no more may have been asked for.
            if not body or (len(body) < reply.asked and part.length >= (first.size or 0)):
                return _mail(first, part.length, part.sha256, part.path)

    @staticmethod
    def _interrupted(trouble: MailboxError, part: Part, size: int | None, began: int) -> MailboxError:
        """Keep the part that came, and note in the error that the poll made progress."""
        kept = part.keep(size)
        if kept > began:
            trouble.kept = kept - began
        return trouble

    def _octets(self) -> int:
        """How much of one mail to ask for."""
        return min(self.chunk, self.pace.octets)

    def _answer(self, uid: int, offset: int = 0) -> Reply:
        reply = self._ask([uid], offset)
        if reply.trouble:
            raise reply.trouble
        return reply

    def _ask(self, uids: Sequence[int], offset: int = 0) -> Reply:
        facts, asked = "" if offset else f"{FACTS} ", self._octets()
        answered = self.command(uid_set(uids), f"(UID {facts}BODY.PEEK[]<{offset}.{asked}>)", asked * len(uids))
        found: dict[int, Piece] = {}
        contradicted: set[int] = set()
        for piece in read_pieces(answered.data, offset):
            if piece.uid in found and found[piece.uid].body != piece.body:
                contradicted.add(piece.uid)
            found[piece.uid] = piece
        refusal = None
        if answered.kind != "OK" and answered.trouble is None:
            refusal = Answer.read(answered.data[-1] if answered.data else answered.kind)
        return Reply(
            pieces={uid: found[uid] for uid in uids if uid in found and uid not in contradicted},
            asked=asked,
            refusal=refusal,
            trouble=answered.trouble,
            doubt=answered.doubt,
        )

    def _listed(self, uids: Sequence[int]) -> set[int]:
        """Which of these are still there. Some servers pass over in silence what they cannot read."""
        return set(self.search(f"UID {uid_set(uids)}")) & set(uids) if uids else set()

    def _oversized(self, uid: int, size: int | None) -> Unreadable:
        error = MessageUnreadableError("too_large", uid=uid, size=size, limit=self.max_size)
        return Unreadable(uid=uid, size=size, error=error, oversized=True)

    @staticmethod
    def _unreadable(uid: int, size: int | None, refusal: Answer | None) -> Unreadable:
        answer = refusal.text if refusal else "its answer cannot be understood"
        error = MessageUnreadableError("withheld", uid=uid, answer=answer)
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
        uid, size = facts.get(b"UID"), _number(facts.get(b"RFC822.SIZE"))
        if isinstance(uid, int) and size is not None:
            deleted = any(flag.lower() == "\\deleted" for flag in _flags(facts.get(b"FLAGS")))
            yield uid, MailFacts(size=size, is_deleted=deleted)


def _read(data: Sequence[object]) -> Iterator[dict[bytes, Any]]:
    for answer in grouped(data):
        try:
            parsed = parse_response(answer)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError, ProtocolError):
            continue
        yield _facts(parsed)


def grouped(data: Sequence[object]) -> Iterator[list[Any]]:
    """Group imaplib's list: an answer is any number of (text, literal) pairs and then the text that ends it."""
    answer: list[object] = []
    for part in data:
        if part is None:
            continue
        answer.append(part)
        if not isinstance(part, tuple):
            yield answer
            answer = []


def _facts(parsed: tuple[Any, ...]) -> dict[bytes, Any]:
    """Names and values of `SEQUENCE (NAME VALUE ...)`; nothing where it is anything else."""
    match parsed:
        case (_, tuple() as items) if len(items) % 2 == 0:
            pairs = zip(items[::2], items[1::2], strict=True)
            return {name.upper(): value for name, value in pairs if isinstance(name, bytes)}
    return {}


def _piece(facts: dict[bytes, Any], offset: int) -> Piece | None:
    uid = facts.get(b"UID")
    if not isinstance(uid, int) or not 1 <= uid <= HIGHEST_UID:
        return None
    # Some servers leave the offset out where it is 0.
    for name in (f"BODY[]<{offset}>".encode(), *([] if offset else [b"BODY[]"])):
        body = facts.get(name, ())
        if isinstance(body, bytes | None):
            return Piece(
                uid=uid,
                size=_number(facts.get(b"RFC822.SIZE")),
                internal_date=_date(facts.get(b"INTERNALDATE")),
                flags=tuple(_flags(facts.get(b"FLAGS"))),
                body=body,
            )
    return None


def _number(value: object) -> int | None:
    return value if isinstance(value, int) and 0 <= value <= HIGHEST_SIZE else None


def _date(value: object) -> datetime | None:
    """INTERNALDATE in UTC, which a server that names no zone is taken to mean; None where it is no possible date."""
    if not isinstance(value, bytes):
        return None
    try:
        when = parse_to_datetime(value, normalise=False)
        when = when.astimezone(UTC) if when.tzinfo else when.replace(tzinfo=UTC)
    except (ValueError, LookupError, TypeError, ArithmeticError):
        return None
    return when if when.year in _YEARS else None


def _flags(flags: object) -> Iterator[str]:
    if not isinstance(flags, tuple):
        return
    for flag in flags[:_MOST_FLAGS]:
        name = flag.decode("utf-8", "replace") if isinstance(flag, bytes) else str(flag)
        is_word = isinstance(flag, bytes | int) and not _CONTROL.search(name)
        if is_word and name != "\\Recent":  # \Recent is true for one session only
            yield name[:_LONGEST_FLAG]


def _is_end(first: Piece, length: int, asked: int) -> bool:
    """Whether this first chunk is the whole mail: shorter than asked for, or all that a server sends regardless."""
    if length > asked:
        return length == first.size
    return length < asked and length >= (first.size or 0)


def _mail(first: Piece, size: int, sha256: str, content: bytes | Path) -> FetchedMail:
    return FetchedMail(
        uid=first.uid,
        size=size,
        sha256=sha256,
        internal_date=first.internal_date,
        flags=first.flags,
        content=content,
    )
