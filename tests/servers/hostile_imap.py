"""An IMAP server that misbehaves on demand: any answer can be replaced by one that no decent server would give.

It runs in an event loop of its own. An answer is a function or a coroutine that is given the `Talk` and says what it
likes; what it does not replace is answered as RFC 9051 wants, from `mails`.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import re
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Self

FACTS = b'FLAGS () INTERNALDATE "01-Nov-2026 10:00:00 +0000"'
UIDVALIDITY = 7
UIDNEXT = 1000


class CutError(Exception):
    """The answer was cut as the test wanted."""


@dataclass(kw_only=True)
class Talk:
    """One command, and the way to answer it."""

    server: HostileImap
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    tag: bytes
    words: bytes  # all after the tag
    left: int | None = None  # octets that may still be sent before the connection is cut
    held: bytearray | None = None  # what is said is collected here instead of being sent

    def send(self, octets: bytes) -> None:
        """Send just these octets."""
        if self.held is not None:
            self.held += octets
            return
        if self.left is not None:
            octets, enough = octets[: self.left], len(octets) >= self.left
            self.left -= len(octets)
            if enough:
                self.writer.write(octets)
                raise CutError
        if not self.writer.is_closing():
            self.writer.write(octets)

    def say(self, *lines: bytes) -> None:
        """Send lines as they are, each with a line end."""
        self.send(b"".join(line + b"\r\n" for line in lines))

    def done(self, text: bytes = b"OK done") -> None:
        self.say(self.tag + b" " + text)

    def cut(self) -> None:
        """Hang up."""
        self.writer.close()

    async def flush(self) -> None:
        """Wait until the client has taken most of it; raises ConnectionError once it has hung up."""
        await self.writer.drain()

    async def listen(self) -> bytes:
        """What the client says next, without the line end."""
        return (await self.reader.readline()).removesuffix(b"\r\n")

    async def secure(self, context: ssl.SSLContext) -> None:
        """TLS from here on."""
        await self.writer.start_tls(context)

    async def hang(self) -> None:
        """Say nothing more, and keep the connection."""
        await self.server.stopping.wait()

    async def drip(self, every: float = 0.05) -> None:
        """One octet now and then, until the client has had enough: no time-out of a socket ever passes."""
        self.send(b"* OK ")
        while not self.server.stopping.is_set():
            self.send(b".")
            await self.flush()
            await asyncio.sleep(every)

    async def flood(self, piece: bytes, octets: int = 100 * 1024 * 1024) -> None:
        """The same piece again and again."""
        many = piece * max(1, 65_536 // len(piece))
        for _ in range(octets // len(many)):
            self.send(many)
            await self.flush()


Answer = Callable[[Talk], Awaitable[None] | None]


class HostileImap:
    """Listens on loopback; `mails` are what INBOX holds, `answers` replace what is said to a verb.

    BODY stands for a FETCH of mails; FETCH for one of anything else as well.
    """

    def __init__(
        self,
        mails: Mapping[int, bytes] | None = None,
        *,
        greeting: bytes = b"* OK ready",
        capabilities: bytes = b"IMAP4rev1 UIDPLUS UNSELECT",
        tls: ssl.SSLContext | None = None,
        **answers: Answer,
    ) -> None:
        self.mails = dict(mails or {})
        self.commands: list[bytes] = []
        self.octets_to: dict[str, int] = {}  # after so many octets of the answer to this verb the connection is cut
        self.defects: list[BaseException] = []  # of the answers themselves
        self.port = 0
        self._greeting = greeting
        self._capabilities = capabilities
        self._tls = tls
        self._decent: dict[str, Answer] = {
            "GREETING": self._greet,
            "CAPABILITY": self._tell_capabilities,
            "STATUS": self.tell_status,
            "LIST": self._list,
            "EXAMINE": self.tell_folder,
            "SELECT": self.tell_folder,
            "SEARCH": self.tell_uids,
            "FETCH": self.tell_mails,
            "STORE": self._store,
            "EXPUNGE": self._expunge,
        }
        self.answers: dict[str, Answer] = dict(answers)
        self._deleted: set[int] = set()
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="hostile-imap", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_exception: object) -> None:
        self._loop.call_soon_threadsafe(self.stopping.set)
        self._thread.join(timeout=30)
        assert not self._thread.is_alive()
        if self.defects:
            raise self.defects[0]

    def verbs(self) -> list[str]:
        """What was asked, in order."""
        return [verb_of(words) for words in self.commands]

    def behave(self) -> None:
        """From now on, every answer is a decent one."""
        self.answers.clear()
        self.octets_to.clear()

    # Answers of a server that behaves.

    def tell_status(self, talk: Talk) -> None:
        talk.say(b'* STATUS "INBOX" (MESSAGES %d UIDNEXT %d UIDVALIDITY %d)' % (len(self.mails), UIDNEXT, UIDVALIDITY))
        talk.done()

    def tell_folder(self, talk: Talk) -> None:
        talk.say(
            b"* %d EXISTS" % len(self.mails),
            b"* 0 RECENT",
            b"* OK [UIDVALIDITY %d] yes" % UIDVALIDITY,
            b"* OK [UIDNEXT %d] soon" % UIDNEXT,
        )
        talk.done(b"OK [READ-ONLY] done")

    def tell_uids(self, talk: Talk) -> None:
        talk.say(b"* SEARCH " + b" ".join(b"%d" % uid for uid in self.wanted(talk)))
        talk.done()

    def tell_mails(self, talk: Talk) -> None:
        for uid in self.wanted(talk):
            self.send_piece(talk, uid)
        talk.done()

    def _greet(self, talk: Talk) -> None:
        talk.say(self._greeting)

    def _tell_capabilities(self, talk: Talk) -> None:
        talk.say(b"* CAPABILITY " + self._capabilities)
        talk.done()

    def _list(self, talk: Talk) -> None:
        talk.say(b'* LIST () "/" INBOX')
        talk.done()

    def _store(self, talk: Talk) -> None:
        if b"Deleted" in talk.words:
            self._deleted |= set(self.wanted(talk))
        talk.done()

    def _expunge(self, talk: Talk) -> None:
        for uid in set(self.wanted(talk)) & self._deleted:
            del self.mails[uid]
        talk.done()

    def wanted(self, talk: Talk) -> list[int]:
        """The UIDs a command names, as far as they are there."""
        found = re.search(rb"UID (?:SEARCH UID|FETCH|STORE|EXPUNGE) ([0-9:,*]+)", talk.words)
        ranges = [part.split(b":") for part in (found[1] if found else b"1:*").split(b",")]
        return [uid for uid in self.mails if any(_inside(uid, *span) for span in ranges)]

    def send_piece(
        self, talk: Talk, uid: int, *, size: int | None = None, facts: bytes = FACTS, body: bytes | None = None
    ) -> None:
        """One mail's answer to a FETCH; `size` is the lie told as RFC822.SIZE, `body` the mail that is sent instead."""
        number = list(self.mails).index(uid) + 1
        raw = self.mails[uid] if body is None else body
        told = len(raw) if size is None else size
        found = re.search(rb"<(\d+)\.(\d+)>", talk.words)
        if not found:
            talk.say(b"* %d FETCH (UID %d FLAGS () RFC822.SIZE %d)" % (number, uid, told))
            return
        offset, most = int(found[1]), int(found[2])
        piece = raw[offset : offset + most]
        head = b"* %d FETCH (UID %d %s RFC822.SIZE %d BODY[]<%d> {%d}\r\n"
        talk.send(head % (number, uid, facts, told, offset, len(piece)) + piece + b")\r\n")

    # The connections.

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._listen())
        finally:
            self._loop.close()

    async def _listen(self) -> None:
        self.stopping = asyncio.Event()
        talks: set[asyncio.Task[None]] = set()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            talks.add(task)
            try:
                await self._serve(reader, writer)
            finally:
                talks.discard(task)

        listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=self._tls, limit=1024 * 1024)
        self.port = int(listener.sockets[0].getsockname()[1])
        self._ready.set()
        await self.stopping.wait()
        listener.close()
        for task in list(talks):
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)
        await self._loop.shutdown_default_executor()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with _client_gone():
                await self._answer(Talk(server=self, reader=reader, writer=writer, tag=b"*", words=b""), "GREETING")
                while text := await reader.readline():
                    tag, _, words = text.rstrip(b"\r\n").partition(b" ")
                    self.commands.append(words)
                    talk = Talk(server=self, reader=reader, writer=writer, tag=tag, words=words)
                    await self._answer(talk, verb_of(words))
        except Exception as error:  # noqa: BLE001 - told to the test when the server ends
            self.defects.append(error)
        finally:
            # A client that has stopped reading would keep a decent goodbye waiting for ever.
            if self.stopping.is_set():
                writer.transport.abort()
            writer.close()

    async def _answer(self, talk: Talk, verb: str) -> None:
        if verb == "FETCH" and b"BODY" in talk.words and "BODY" in self.answers:
            verb = "BODY"
        answer = self.answers.get(verb) or self._decent.get(verb, Talk.done)
        talk.left = self.octets_to.get(verb)
        try:
            waiting = answer(talk)
            if inspect.isawaitable(waiting):
                await waiting
            await talk.flush()
        except CutError:
            talk.cut()


@contextlib.contextmanager
def _client_gone() -> Iterator[None]:
    """That the client hangs up is no defect: most tests want just that."""
    with contextlib.suppress(OSError, asyncio.CancelledError, ssl.SSLError, ValueError):
        yield


def verb_of(words: bytes) -> str:
    """FETCH, for `UID FETCH 1 (FLAGS)`."""
    return words.upper().removeprefix(b"UID ").split(b" ")[0].decode("ascii", "replace")


def _inside(uid: int, low: bytes, high: bytes | None = None) -> bool:
    return int(low) <= uid and (high == b"*" or uid <= int(high or low))
