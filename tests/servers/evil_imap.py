"""An IMAP server that misbehaves on demand: any answer can be replaced by one that no decent server would give."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

FACTS = b'FLAGS () INTERNALDATE "01-Nov-2026 10:00:00 +0000"'


@dataclass(kw_only=True)
class Talk:
    """One command, and the way to answer it."""

    server: EvilImap
    line: socket.socket
    tag: bytes
    words: bytes  # all after the tag

    def say(self, *lines: bytes) -> None:
        """Send lines as they are, each with a line end."""
        self.line.sendall(b"".join(line + b"\r\n" for line in lines))

    def done(self, text: bytes = b"OK done") -> None:
        self.say(self.tag + b" " + text)

    def cut(self) -> None:
        """Hang up."""
        self.line.shutdown(socket.SHUT_RDWR)

    def drip(self, every: float = 0.05) -> None:
        """One octet now and then, until the client has had enough: no time-out of a socket ever passes."""
        with contextlib.suppress(OSError):
            self.line.sendall(b"* OK ")
            while not self.server.stopping.wait(every):
                self.line.sendall(b".")


Answer = Callable[[Talk], None]


class EvilImap:
    """Listens on loopback; `mails` are what INBOX holds, `answers` replace what is said to a verb."""

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
        self.stopping = threading.Event()
        self._greeting = greeting
        self._capabilities = capabilities
        self._tls = tls
        self._answers: dict[str, Answer] = {
            "GREETING": self._greet,
            "CAPABILITY": self._tell_capabilities,
            "STATUS": self.tell_status,
            "EXAMINE": self._select,
            "SELECT": self._select,
            "SEARCH": self._search,
            "FETCH": self.tell_mails,
            **answers,
        }
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._lines: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        for line in self._lines:
            with contextlib.suppress(OSError):
                line.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(timeout=30)
            assert not thread.is_alive()
        for line in [self._listener, *self._lines]:
            line.close()

    def verbs(self) -> list[str]:
        """What was asked, in order."""
        return [_verb(words) for words in self.commands]

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                line, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(line,), daemon=True)
                self._lines.append(line)
                self._threads.append(thread)
                thread.start()

    def _serve(self, line: socket.socket) -> None:
        if self._tls:
            try:
                line = self._tls.wrap_socket(line, server_side=True)
            except OSError:
                return
            self._lines.append(line)
        with contextlib.suppress(OSError), line.makefile("rb") as lines:
            self._answers["GREETING"](Talk(server=self, line=line, tag=b"*", words=b""))
            for text in lines:
                tag, _, words = text.rstrip(b"\r\n").partition(b" ")
                self.commands.append(words)
                talk = Talk(server=self, line=line, tag=tag, words=words)
                self._answers.get(_verb(words), Talk.done)(talk)

    def _greet(self, talk: Talk) -> None:
        talk.say(self._greeting)

    def _tell_capabilities(self, talk: Talk) -> None:
        talk.say(b"* CAPABILITY " + self._capabilities)
        talk.done()

    def tell_status(self, talk: Talk) -> None:
        """The answer of a server that behaves."""
        talk.say(b'* STATUS "INBOX" (MESSAGES %d UIDNEXT 1000 UIDVALIDITY 7)' % len(self.mails))
        talk.done()

    def _select(self, talk: Talk) -> None:
        talk.say(b"* %d EXISTS" % len(self.mails), b"* 0 RECENT", b"* OK [UIDVALIDITY 7] yes")
        talk.done(b"OK [READ-ONLY] done")

    def _search(self, talk: Talk) -> None:
        talk.say(b"* SEARCH " + b" ".join(b"%d" % uid for uid in self.wanted(talk)))
        talk.done()

    def tell_mails(self, talk: Talk) -> None:
        """The answer of a server that behaves."""
        for uid in self.wanted(talk):
            self.send_piece(talk, uid)
        talk.done()

    def wanted(self, talk: Talk) -> list[int]:
        """The UIDs a command names, as far as they are there."""
        found = re.search(rb"UID (?:SEARCH UID|FETCH) ([0-9:,*]+)", talk.words)
        ranges = [part.split(b":") for part in (found[1] if found else b"1:*").split(b",")]
        return [uid for uid in self.mails if any(_inside(uid, *span) for span in ranges)]

    def send_piece(self, talk: Talk, uid: int, *, size: int | None = None) -> None:
        """One mail's answer to a partial FETCH; `size` is the lie told as RFC822.SIZE."""
        found = re.search(rb"<(\d+)\.(\d+)>", talk.words)
        offset, most = (int(found[1]), int(found[2])) if found else (0, 0)
        raw = self.mails[uid]
        piece = raw[offset : offset + most]
        told = len(raw) if size is None else size
        head = b"* %d FETCH (UID %d %s RFC822.SIZE %d BODY[]<%d> {%d}\r\n" % (
            list(self.mails).index(uid) + 1,
            uid,
            FACTS,
            told,
            offset,
            len(piece),
        )
        talk.line.sendall(head + piece + b")\r\n")


def _verb(words: bytes) -> str:
    return words.upper().removeprefix(b"UID ").split(b" ")[0].decode("ascii", "replace")


def _inside(uid: int, low: bytes, high: bytes | None = None) -> bool:
    return int(low) <= uid and (high == b"*" or uid <= int(high or low))
