"""A server that does its worst, polled for real: each behaviour ends in a typed state with a remedy, and costs no mail.

Each test polls a mailbox of six mails while the server misbehaves, and then while it behaves. In the end every mail is
in the archive and once in the ledger.
"""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import structlog

from concord.adapters.imap import ImapSources
from concord.adapters.imap.keys import Keys, NoTokens
from concord.errors import ConcordError
from concord.model.account import ALL_FOLDERS, AccountState, Tls
from concord.model.message import MessageState
from concord.pipeline.poll import Poller, PollOutcome, PollReport
from concord.ports import MailSource
from concord.settings import PollSettings
from concord.wording import english
from tests.fakes.connections import MemoryConnections
from tests.fakes.world import World
from tests.servers.certificates import Certificates, Fault
from tests.servers.hostile_imap import FACTS, UIDVALIDITY, Answer, HostileImap, Talk
from tests.servers.imap_accounts import VAULT, account_at
from tests.waiting import PATIENCE, eventually

FIRST: Final = 1  # what is taken before the server turns hostile
LATER: Final = (2, 3, 5, 8, 13)
CHUNK: Final = 4096
BUDGET: Final = 3
MARGIN: Final = 5 * PATIENCE  # seconds that a busy machine may take beyond the budget
MEMORY: Final = 160 * 1024 * 1024


def mail(uid: int) -> bytes:
    """Short ones, and one that needs several chunks."""
    body = b"x" * (3 * CHUNK + 100 if uid == 5 else 20)
    return b"Subject: mail %d\r\nFrom: a@example.com\r\n\r\n%b\r\n" % (uid, body)


class Lab(World):
    """A world whose mailbox is on a hostile server."""

    def __init__(self, server: HostileImap, place: Path, **account: Any) -> None:
        self.ahead = timedelta()
        super().__init__()
        self.server = server
        self.place = place
        self.account = self.accounts.add(replace(account_at(server.port, **account), id=0))
        self.sources = self.made()

    def clock(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def made(self, budget: int = BUDGET, timeout: int = 1) -> ImapSources:
        """Sources with no connection kept from before."""
        self.poll_settings = PollSettings(
            budget=budget,
            timeout=timeout,
            connect_timeout=timeout,
            chunk_bytes=CHUNK,
            recheck=1,
            spool_directory=self.place,
        )
        return ImapSources(self.poll_settings, Keys(VAULT, NoTokens()), MemoryConnections(), self.clock)

    @property
    def poller(self) -> Poller:
        return Poller(ports=super().poller.ports, sources=self.sources)

    def ask(self) -> PollReport:
        return self.poller.poll(self.account.id, forced=True)

    def settle(self) -> None:
        """The server behaves, and every mail comes."""
        self.server.behave()
        self.sources.close()
        self.sources = self.made(budget=60, timeout=20)
        assert eventually(self.is_complete, within=5), (self.listed(), self.accounts.status(self.account.id))
        assert self.accounts.status(self.account.id).state is AccountState.OK

    def is_complete(self) -> bool:
        self.ahead += timedelta(hours=12)  # what was not handed over is due again
        self.ask()
        return set(self.listed()) >= set(self.server.mails)

    def listed(self) -> list[int]:
        """The UID of each archived mail, as its own octets say; a mail with other octets than its own is no mail."""
        found = []
        for message in self.messages():
            if message.state is MessageState.ARCHIVED:
                raw = self.archive.read(message.archive_key or "")
                number = re.match(rb"Subject: mail (\d+)", raw)
                assert number, raw[:100]
                assert raw == mail(int(number[1]))
                found.append(int(number[1]))
        return found


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Callable[..., Lab]]:
    """A mailbox that was polled once, and has new mail since."""
    labs: list[Lab] = []

    def make(server: HostileImap, **account: Any) -> Lab:
        made = Lab(server, tmp_path, **account)
        labs.append(made)
        assert made.ask().outcome is PollOutcome.DONE
        server.mails = {FIRST: mail(FIRST)}
        assert made.ask().outcome is PollOutcome.DONE
        assert made.listed() == [FIRST]
        made.sources.close()
        server.mails |= {uid: mail(uid) for uid in LATER}
        return made

    yield make
    for one in labs:
        one.sources.close()
        one.engine.dispose()


def endure(lab: Lab, answers: Mapping[str, Answer], codes: set[str], *, polls: int = 2) -> None:
    """Poll while the server answers so, then while it behaves; see the module's first line for what must hold."""
    lab.server.answers.update(answers)
    with structlog.testing.capture_logs() as logs:
        for _ in range(polls):
            before = memory("VmRSS")
            began = time.monotonic()
            report = lab.ask()
            assert time.monotonic() - began < BUDGET + MARGIN
            assert memory("VmHWM") - before < MEMORY
            assert (report.error.code if report.error else "") in codes, report.error
            assert report.error is None or english.remedy(report.error)
            state = lab.accounts.status(lab.account.id)
            assert (state.state is AccountState.OK) == (report.error is None)
            lab.listed()
        lab.settle()
    assert sorted(lab.listed()) == sorted(lab.server.mails)
    assert not [line for line in logs if line.get("exc_info") or line["log_level"] in ("error", "critical")]
    assert "ENABLE" not in lab.server.verbs()


def memory(which: str) -> int:
    """Memory of the tests' process now (VmRSS), or its highest since the last VmRSS (VmHWM)."""
    if which == "VmRSS":
        Path("/proc/self/clear_refs").write_text("5")
    found = re.search(rf"{which}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) * 1024


# The same misdeed at each command.

# What a session that ends while mails are fetched is told as: the next poll goes one by one there.
LOST: Final = {"session_lost"}
VERBS: Final = ("GREETING", "CAPABILITY", "LOGIN", "STATUS", "EXAMINE", "SEARCH", "FETCH", "BODY")


def says(*lines: bytes) -> Answer:
    """These lines and nothing more."""
    return lambda talk: talk.say(*lines)


def ends(text: bytes) -> Answer:
    """Only the tagged answer."""
    return lambda talk: talk.done(text)


def bye(talk: Talk) -> None:
    talk.say(b"* BYE Internal error occurred. Refer to server log.")
    talk.cut()


def full(talk: Talk) -> None:
    talk.say(b"* BYE [UNAVAILABLE] Too many connections, try again later")
    talk.cut()


def half_a_line(talk: Talk) -> None:
    talk.send(b"* OK half a li")
    talk.cut()


async def empty_lines(talk: Talk) -> None:
    await talk.flood(b"* X\r\n")


async def no_line_end(talk: Talk) -> None:
    await talk.flood(b"x")


async def news(talk: Talk) -> None:
    """News of flags, as of a mailbox that another client changes, without end."""
    await talk.flood(b"* 1 FETCH (FLAGS (\\Seen))\r\n")


MISDEEDS: Final[Mapping[str, tuple[Answer, set[str]]]] = {
    "hang": (Talk.hang, {"mailbox_down"}),
    "drip": (Talk.drip, {"mailbox_down"}),
    "cut": (Talk.cut, {"mailbox_down"}),
    "half a line": (half_a_line, {"mailbox_down"}),
    "bye": (bye, {"mailbox_down"}),
    "full": (full, {"mailbox_throttled"}),
    "garbage": (says(b"\xff\xfe\0 what is this"), {"mailbox_protocol"}),
    "another tag": (says(b"zz99 OK done"), {"mailbox_protocol"}),
    "continuation": (says(b"+ go on"), {"mailbox_down", "mailbox_protocol"}),
    "line feed only": (lambda talk: talk.send(b"* OK\n"), {"mailbox_protocol"}),
    "empty lines": (empty_lines, {"mailbox_protocol", "mailbox_down"}),
    "no line end": (no_line_end, {"mailbox_protocol"}),
    "news": (news, {"mailbox_protocol", "mailbox_down"}),
    "literal of gigabytes": (says(b"* 1 FETCH (UID 2 BODY[]<0> {9000000000}", b"x"), {"mailbox_protocol"}),
    "literal of any size": (says(b"* LIST () {" + b"9" * 30 + b"}", b"x"), {"mailbox_protocol"}),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("misdeed", MISDEEDS)
def test_a_misdeed_at_any_command_costs_no_mail(lab: Callable[..., Lab], misdeed: str, verb: str) -> None:
    """P3, P4, P16, P17, A5."""
    answer, codes = MISDEEDS[misdeed]
    with HostileImap() as server:
        endure(lab(server), {verb: answer}, codes | (LOST if verb == "BODY" else set()), polls=1)


REFUSALS: Final[Mapping[str, tuple[bytes, dict[str, str]]]] = {
    "no": (b"NO no", {"LOGIN": "mailbox_denied", "STATUS": "mailbox_folder", "EXAMINE": "mailbox_folder"}),
    "bad": (b"BAD what?", {"LOGIN": "mailbox_denied"}),
    "serverbug": (b"NO [SERVERBUG] Internal error occurred", {}),
    "corruption": (b"NO [CORRUPTION] Mailbox is damaged", {}),
    "unavailable": (b"NO [UNAVAILABLE] Back-end is away", dict.fromkeys(VERBS, "mailbox_throttled")),
    "inuse": (b"NO [INUSE] Mailbox in use", dict.fromkeys(VERBS, "mailbox_throttled")),
    "limit": (b"NO [LIMIT] Rate limit hit", dict.fromkeys(VERBS, "mailbox_throttled")),
    "contactadmin": (b"NO [CONTACTADMIN] Ask", {"LOGIN": "mailbox_denied"}),
    "expired": (
        b"NO [EXPIRED] Log in again",
        {"LOGIN": "mailbox_denied", **dict.fromkeys(VERBS[3:], "mailbox_down"), "BODY": "session_lost"},
    ),
    "nonexistent": (
        b"NO [NONEXISTENT] no such folder",
        {"LOGIN": "mailbox_denied", "STATUS": "mailbox_folder", "EXAMINE": "mailbox_folder"},
    ),
}


@pytest.mark.parametrize("verb", VERBS[2:])
@pytest.mark.parametrize("refusal", REFUSALS)
def test_a_refusal_is_typed_by_its_code(lab: Callable[..., Lab], refusal: str, verb: str) -> None:
    """A5: what is not the folder's fault, nor the password's, is not told as theirs. A refused FETCH spoils no poll."""
    text, codes = REFUSALS[refusal]
    expected = codes.get(verb, "" if verb == "BODY" else "mailbox_server")
    with HostileImap() as server:
        endure(lab(server), {verb: ends(text)}, {expected})


@pytest.mark.parametrize("verb", VERBS[3:])
def test_an_ok_without_an_answer_costs_no_mail(lab: Callable[..., Lab], verb: str) -> None:
    with HostileImap() as server:
        endure(lab(server), {verb: Talk.done}, {"", "mailbox_protocol"})


# Each command that a session or a connection test sends, and the untagged response that carries its answer.
COMMANDS: Final[Mapping[str, bytes]] = {
    "GREETING": b"* OK",
    "CAPABILITY": b"* CAPABILITY",
    "STARTTLS": b"* OK",
    "LOGIN": b"* CAPABILITY",
    "AUTHENTICATE": b"* CAPABILITY",
    "ID": b"* ID",
    "LIST": b"* LIST",
    "STATUS": b"* STATUS",
    "SELECT": b"* EXISTS",
    "EXAMINE": b"* EXISTS",
    "UNSELECT": b"* OK",
    "CLOSE": b"* OK",
    "SEARCH": b"* SEARCH",
    "FETCH": b"* 1 FETCH",
    "BODY": b"* 1 FETCH",
    "STORE": b"* 1 FETCH",
    "COPY": b"* OK [COPYUID]",
    "MOVE": b"* OK [COPYUID]",
    "EXPUNGE": b"* 1 EXPUNGE",
    "CREATE": b"* OK",
}
BARE: Final[Mapping[str, Callable[[bytes], list[bytes]]]] = {
    "no line": lambda _line: [],
    "an empty line": lambda line: [line],
    "odd values": lambda line: [line + b" INBOX (MESSAGES x UIDNEXT NIL UIDVALIDITY ())"],
    "another's line": lambda line: [b"* LIST"] if line != b"* LIST" else [b"* STATUS"],
}
RICH: Final = b"IMAP4rev1 ID UIDPLUS UNSELECT MOVE CONDSTORE SPECIAL-USE LIST-EXTENDED LIST-STATUS"
# Sent to a server that has nothing better only.
SIMPLE: Final = ("COPY", "CLOSE", "STARTTLS")
Exchange = Callable[[MailSource], object]
ASKED: Final[tuple[Exchange, ...]] = (
    lambda session: session.folders(),
    lambda session: session.statuses([f"Folder {number}" for number in range(9)]),
    lambda session: session.select("INBOX", writable=True),
    lambda session: session.status("INBOX"),
)
IN_FOLDER: Final[tuple[Exchange, ...]] = (
    lambda session: session.uids(1),
    lambda session: session.uids_since(datetime(2026, 11, 1, tzinfo=UTC).date()),
    lambda session: session.fetched_uids(1),
    lambda session: session.internal_dates([1, 2]),
    lambda session: list(session.fetch([1, 2], max_size=10_000)),
    lambda session: session.describe([1, 2]),
    lambda session: session.mark([1], "\\Seen"),
    lambda session: session.move([1], "Done"),
    lambda session: session.delete([2]),
)


@pytest.mark.parametrize("verb", COMMANDS)
@pytest.mark.parametrize("bare", BARE)
def test_an_answer_without_its_data_is_a_typed_error(tmp_path: Path, bare: str, verb: str) -> None:
    """Whatever a command's answer lacks, nothing but Concord's own errors comes out, of polls and connection tests."""

    def answer(talk: Talk) -> None:
        talk.say(*BARE[bare](COMMANDS[verb]))
        talk.done()

    capabilities = b"IMAP4rev1 STARTTLS" if verb in SIMPLE else RICH
    settings = PollSettings(timeout=1, connect_timeout=1, spool_directory=tmp_path)
    sources = ImapSources(settings, Keys(VAULT, NoTokens()), MemoryConnections(), lambda: datetime.now(UTC))
    answers = {"MOVE": ends(b"NO [TRYCREATE] No such folder")} if verb == "CREATE" else {}
    answers[verb] = answer
    with HostileImap({1: mail(1), 2: mail(2)}, capabilities=capabilities) as server:
        server.answers.update(answers)
        account = account_at(
            server.port,
            tls=Tls.STARTTLS if verb == "STARTTLS" else Tls.NONE,
            user="m\xfcller" if verb == "AUTHENTICATE" else "mueller",
        )
        with suppress(ConcordError), sources.open(account, deadline=datetime.now(UTC) + timedelta(seconds=20)) as it:
            for exchange in ASKED:
                with suppress(ConcordError):
                    exchange(it)
            for exchange in IN_FOLDER:
                with suppress(ConcordError):
                    it.select("INBOX", uidvalidity=UIDVALIDITY)
                    exchange(it)
        steps = list(sources.test(account))
        sources.close()

        assert all(step.ok or step.error for step in steps)
        assert verb in [*server.verbs(), "GREETING", "BODY"]


ENDS: Final = {"mailbox_down", "mailbox_protocol", *LOST}


@pytest.mark.parametrize("verb", VERBS)
def test_a_cut_at_any_octet_costs_no_mail(lab: Callable[..., Lab], verb: str) -> None:
    """P4: in and around literals, tags and line ends. Half a mail is no mail."""
    steps = [*range(0, 130, 1 if verb == "BODY" else 5), *range(130, 1000, 43)]
    with HostileImap() as server:
        made = lab(server)
        for octets in steps:
            server.octets_to[verb] = octets
            server.answers["BODY"] = server.tell_mails
            report = made.ask()
            assert report.error is None or report.error.code in ENDS, (octets, report)
            made.listed()
        made.settle()

    assert sorted(made.listed()) == sorted(server.mails)


# What providers say.


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (b"NO [ALERT] Too many simultaneous connections. (Failure)", "mailbox_throttled"),
        (b"NO [OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)", "mailbox_throttled"),
        (b"NO [WEBALERT https://accounts.google.com/] Web login required.", "mailbox_denied"),
        (b"NO [ALERT] Application-specific password required", "mailbox_denied"),
        (b"BAD User is authenticated but not connected.", "mailbox_throttled"),
        (b"NO User is authenticated but not connected.", "mailbox_throttled"),
        (b"BAD Request is throttled. Suggested Backoff Time: 299961 milliseconds", "mailbox_throttled"),
        (b"BAD Request is throttled. Suggested Backoff Time: 1000000000000000 milliseconds", "mailbox_throttled"),
        (b"NO Server Unavailable. 15", "mailbox_throttled"),
        (b"NO LOGIN failed.", "mailbox_denied"),
        (b"NO [LIMIT] LOGIN Rate limit hit", "mailbox_throttled"),
        (b"NO [AUTHENTICATIONFAILED] LOGIN Invalid credentials", "mailbox_denied"),
        (b"NO [UNAVAILABLE] LOGIN Server error - Please try again later", "mailbox_throttled"),
        (b"NO Login fail. Password is incorrect, or system is busy.", "mailbox_denied"),
        (b"NO System busy!", "mailbox_throttled"),
        (b"NO LOGIN Login error or password error", "mailbox_denied"),
        (b"NO LOGIN login frequency limited", "mailbox_throttled"),
    ],
)
def test_what_a_provider_says_at_the_login_is_understood(lab: Callable[..., Lab], text: bytes, code: str) -> None:
    """A5."""
    with HostileImap() as server:
        made = lab(server)
        endure(made, {"LOGIN": ends(text)}, {code}, polls=1)


@pytest.mark.parametrize("verb", ["STATUS", "EXAMINE", "SEARCH", "FETCH", "BODY"])
@pytest.mark.parametrize(
    ("text", "codes"),
    [
        (b"NO [OVERQUOTA] Account exceeded command or bandwidth limits. (Failure)", {"mailbox_throttled"}),
        (b"NO [LIMIT] UID FETCH Rate limit hit", {"mailbox_throttled"}),
        (b"BAD User is authenticated but not connected.", {"mailbox_throttled"}),
        (b"NO SELECT Unsafe Login. Please contact kefu@188.com for help", {"mailbox_denied"}),
    ],
)
def test_what_a_provider_says_later_is_understood(
    lab: Callable[..., Lab], text: bytes, codes: set[str], verb: str
) -> None:
    """A5: none of these is a missing folder."""
    with HostileImap() as server:
        endure(lab(server), {verb: ends(text)}, codes, polls=1)


# Odd answers to STATUS, EXAMINE and SEARCH.


def examined(*lines: bytes) -> Answer:
    def answer(talk: Talk) -> None:
        talk.say(*lines)
        talk.done(b"OK [READ-ONLY] done")

    return answer


def found(*lines: bytes) -> Answer:
    def answer(talk: Talk) -> None:
        talk.say(*lines)
        talk.done()

    return answer


def lists(uids: bytes) -> Answer:
    """Before the UIDs that are there."""

    def answer(talk: Talk) -> None:
        talk.say(b"* SEARCH " + uids + b" " + b" ".join(b"%d" % uid for uid in talk.server.wanted(talk)))
        talk.done()

    return answer


ODD: Final[Mapping[str, tuple[dict[str, Answer], set[str]]]] = {
    "status without uidvalidity": ({"STATUS": found(b"* STATUS INBOX (MESSAGES 6)")}, {"mailbox_protocol"}),
    "status with a word": ({"STATUS": found(b"* STATUS INBOX (MESSAGES 6 UIDVALIDITY x)")}, {"mailbox_protocol"}),
    "status of 2^64": (
        {"STATUS": found(b"* STATUS INBOX (MESSAGES 6 UIDNEXT 5 UIDVALIDITY 18446744073709551616)")},
        {"mailbox_protocol"},
    ),
    "status counts beyond a bigint": (
        {"STATUS": found(b"* STATUS INBOX (MESSAGES 9223372036854775808 UIDNEXT 9223372036854775808 UIDVALIDITY 7)")},
        {""},
    ),
    "status with negative counts": ({"STATUS": found(b"* STATUS INBOX (MESSAGES -1 UIDNEXT -5 UIDVALIDITY 7)")}, {""}),
    "status with 10,000 digits": (
        {"STATUS": found(b"* STATUS INBOX (MESSAGES 6 UIDVALIDITY " + b"7" * 10_000 + b")")},
        {"mailbox_protocol"},
    ),
    "status without items": ({"STATUS": found(b"* STATUS INBOX ()")}, {"mailbox_protocol"}),
    "status without a bracket": ({"STATUS": found(b"* STATUS INBOX (MESSAGES 6")}, {"mailbox_protocol"}),
    "status nested without end": ({"STATUS": found(b"* STATUS INBOX " + b"(" * 100_000)}, {"mailbox_protocol"}),
    "uidnext lies low": ({"STATUS": found(b"* STATUS INBOX (MESSAGES 6 UIDNEXT 1 UIDVALIDITY 7)")}, {""}),
    "uidnext lies high": ({"STATUS": found(b"* STATUS INBOX (MESSAGES 6 UIDNEXT 99999 UIDVALIDITY 7)")}, {""}),
    "examine without uidvalidity": ({"EXAMINE": examined(b"* 6 EXISTS")}, {"mailbox_protocol"}),
    "examine with a word": ({"EXAMINE": examined(b"* OK [UIDVALIDITY x] no")}, {"mailbox_protocol"}),
    "examine of 2^64": (
        {"EXAMINE": examined(b"* 6 EXISTS", b"* OK [UIDVALIDITY 18446744073709551616] no")},
        {"mailbox_protocol"},
    ),
    "examine with 10,000 digits": (
        {"EXAMINE": examined(b"* 6 EXISTS", b"* OK [UIDVALIDITY " + b"7" * 10_000 + b"] no")},
        {"mailbox_protocol"},
    ),
    "exists lies high": ({"EXAMINE": examined(b"* 4000000000 EXISTS", b"* OK [UIDVALIDITY 7] yes")}, {""}),
    "exists beyond a bigint": (
        {"EXAMINE": examined(b"* 9223372036854775808 EXISTS", b"* OK [UIDVALIDITY 7] yes")},
        {"", "mailbox_protocol"},
    ),
    "modseq is a word": (
        {"EXAMINE": examined(b"* 6 EXISTS", b"* OK [UIDVALIDITY 7] yes", b"* OK [HIGHESTMODSEQ x] no")},
        {"", "mailbox_protocol"},
    ),
    "flags are no list": (
        {"EXAMINE": examined(b"* FLAGS {3}", b"abc", b"* 6 EXISTS", b"* OK [UIDVALIDITY 7] yes")},
        {"", "mailbox_protocol"},
    ),
    "search with words": ({"SEARCH": lists(b"x NIL (3) -4 2x 0 * 1:5")}, {""}),
    "search with uids of 2^63": ({"SEARCH": lists(b"9223372036854775808 4294967296")}, {""}),
    "search with 10,000 digits": ({"SEARCH": lists(b"9" * 10_000)}, {""}),
    "search doubled and backwards": ({"SEARCH": lists(b"13 13 8 8 5 3")}, {""}),
    "search with modseq": ({"SEARCH": found(b"* SEARCH 2 3 5 8 13 (MODSEQ 917162500)")}, {""}),
    "search line by line": ({"SEARCH": found(*(b"* SEARCH %d" % uid for uid in LATER))}, {""}),
    "search of mails that are gone": ({"SEARCH": lists(b"4 6 7 9")}, {""}),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_answer_costs_no_mail(lab: Callable[..., Lab], name: str) -> None:
    """P3, P4."""
    answers, codes = ODD[name]
    with HostileImap() as server:
        endure(lab(server), answers, codes)


# Odd answers to FETCH.


def fetched(per_mail: Callable[[Talk, int], None], end: bytes = b"OK done") -> Answer:
    def answer(talk: Talk) -> None:
        for uid in talk.server.wanted(talk):
            per_mail(talk, uid)
        talk.done(end)

    return answer


def odd_facts(facts: bytes) -> Answer:
    """Each mail with these facts before its octets."""
    return fetched(lambda talk, uid: talk.server.send_piece(talk, uid, facts=facts))


def odd_one(line: bytes) -> Answer:
    """UID 3 is answered by this line, its neighbours as they should be."""

    def one(talk: Talk, uid: int) -> None:
        if uid == 3:
            talk.say(line)
        else:
            talk.server.send_piece(talk, uid)

    return fetched(one)


def sized(change: Callable[[int], int]) -> Answer:
    return fetched(lambda talk, uid: talk.server.send_piece(talk, uid, size=change(len(talk.server.mails[uid]))))


def backwards(talk: Talk) -> None:
    for uid in reversed(talk.server.wanted(talk)):
        talk.server.send_piece(talk, uid)
    talk.done()


def doubled(talk: Talk) -> None:
    for uid in talk.server.wanted(talk) * 2:
        talk.server.send_piece(talk, uid)
    talk.done()


def contradicted(talk: Talk) -> None:
    """UID 3 comes twice, with other octets."""
    for uid in talk.server.wanted(talk):
        talk.server.send_piece(talk, uid)
        if uid == 3:
            talk.server.send_piece(talk, uid, body=b"Subject: another\r\n\r\n")
    talk.done()


def unasked(talk: Talk) -> None:
    """All mails of the mailbox, whatever was asked for."""
    for uid in talk.server.mails:
        talk.server.send_piece(talk, uid)
    talk.done()


def chatty(talk: Talk, uid: int) -> None:
    talk.say(b"* 3 EXPUNGE", b"* 99 EXISTS", b"* 1 FETCH (FLAGS (\\Seen))", b"* 2 FETCH (UID 3 FLAGS (\\Deleted))")
    talk.server.send_piece(talk, uid)
    talk.say(b"* 1 EXPUNGE", b"* OK [ALERT] news", b"* NO almost full", b"* VANISHED 3", b"* 0 RECENT")


def truncated(talk: Talk, uid: int) -> None:
    """Half of each mail whose size is told, and NIL for the rest."""
    if b"<0." in talk.words:
        raw = talk.server.mails[uid]
        talk.server.send_piece(talk, uid, size=len(raw), body=raw[: len(raw) // 2])
    else:
        talk.say(b"* 1 FETCH (UID %d BODY[]<%b> NIL)" % (uid, re.findall(rb"<(\d+)\.", talk.words)[0]))


def short_once(talk: Talk, uid: int) -> None:
    """Ten octets of each mail at first; the rest when it is asked for."""
    raw = talk.server.mails[uid]
    if b"<0." in talk.words:
        talk.server.send_piece(talk, uid, size=len(raw), body=raw[:10])
    else:
        talk.server.send_piece(talk, uid)


def same_chunk(talk: Talk, uid: int) -> None:
    """The beginning, whatever place is asked for."""
    raw = talk.server.mails[uid]
    piece = raw[:CHUNK]
    talk.send(b"* 1 FETCH (UID %d %b RFC822.SIZE %d BODY[] {%d}\r\n%b)\r\n" % (uid, FACTS, len(raw), len(piece), piece))


def whole_mail(talk: Talk, uid: int) -> None:
    """A server that knows no partial FETCH."""
    raw = talk.server.mails[uid]
    talk.send(b"* 1 FETCH (UID %d %b RFC822.SIZE %d BODY[] {%d}\r\n%b)\r\n" % (uid, FACTS, len(raw), len(raw), raw))


def reordered(talk: Talk, uid: int) -> None:
    """Octets first, and names in lower case."""
    raw = talk.server.mails[uid]
    found_ = re.search(rb"<(\d+)\.(\d+)>", talk.words)
    assert found_
    offset, most = int(found_[1]), int(found_[2])
    piece = raw[offset : offset + most]
    talk.send(
        b"* 1 FETCH (body[]<%d> {%d}\r\n%b rfc822.size %d uid %d)\r\n" % (offset, len(piece), piece, len(raw), uid)
    )


def renumbered(talk: Talk, uid: int) -> None:
    talk.server.send_piece(talk, uid)
    talk.say(b"* OK [UIDVALIDITY 8] it changed")


def refuses(uid_: int, end: bytes) -> Answer:
    """All but one mail, and a refusal."""

    def answer(talk: Talk) -> None:
        wanted = talk.server.wanted(talk)
        for uid in wanted:
            if uid != uid_:
                talk.server.send_piece(talk, uid)
        talk.done(end if uid_ in wanted else b"OK done")

    return answer


def refuses_whole(uid_: int, end: bytes) -> Answer:
    """A batch with that mail brings none; each alone brings all others."""

    def answer(talk: Talk) -> None:
        wanted = talk.server.wanted(talk)
        if uid_ in wanted:
            talk.done(end)
        else:
            talk.server.tell_mails(talk)

    return answer


def dies_at(uid_: int) -> Answer:
    """The session ends wherever this mail is asked for."""

    def answer(talk: Talk) -> None:
        for uid in talk.server.wanted(talk):
            if uid == uid_:
                talk.send(b"* 3 FETCH (UID 3 BODY[]<0> {50}\r\nhalf of it")
                talk.cut()
                return
            talk.server.send_piece(talk, uid)
        talk.done()

    return answer


DATE: Final = b'FLAGS () INTERNALDATE "%b"'
FETCHES: Final[Mapping[str, tuple[Answer, set[str]]]] = {
    "year 9999": (odd_facts(DATE % b"31-Dec-9999 23:59:59 -1200"), {""}),
    "zone +9999": (odd_facts(DATE % b"01-Nov-2026 10:00:00 +9999"), {""}),
    "no date": (odd_facts(DATE % b"tomorrow"), {""}),
    "a number for a date": (odd_facts(b"FLAGS () INTERNALDATE 5"), {""}),
    "flags that are none": (odd_facts(b"FLAGS NIL INTERNALDATE NIL"), {""}),
    "flags with control characters": (odd_facts(b"FLAGS (\x00 \x1b \\Seen)"), {""}),
    "100,000 flags": (odd_facts(b"FLAGS (" + b"x " * 100_000 + b")"), {"", "mailbox_protocol"}),
    "size 0": (sized(lambda _: 0), {""}),
    "size too low": (sized(lambda size: size - 10), {""}),
    "size too high": (sized(lambda size: size + 10), {""}),
    "size 2^63": (odd_one(b"* 3 FETCH (UID 3 RFC822.SIZE 9223372036854775808 BODY[]<0> NIL)"), {""}),
    "uid 2^63": (odd_one(b'* 3 FETCH (UID 9223372036854775808 BODY[]<0> "x")'), {""}),
    "uid 0": (odd_one(b'* 3 FETCH (UID 0 BODY[]<0> "x")'), {""}),
    "uid negative": (odd_one(b'* 3 FETCH (UID -3 BODY[]<0> "x")'), {""}),
    "no uid": (odd_one(b'* 3 FETCH (BODY[]<0> "x")'), {""}),
    "nil": (odd_one(b"* 3 FETCH (UID 3 RFC822.SIZE 60 BODY[]<0> NIL)"), {""}),
    "nil without a size": (odd_one(b"* 3 FETCH (UID 3 BODY[]<0> NIL)"), {""}),
    "an empty body of a mail that has a size": (odd_one(b'* 3 FETCH (UID 3 RFC822.SIZE 60 BODY[] "")'), {""}),
    "only the text": (odd_one(b'* 3 FETCH (UID 3 BODY[TEXT]<0> "x")'), {""}),
    "nested without end": (odd_one(b"* 3 FETCH (UID 3 X " + b"(" * 50_000), {""}),
    "an open bracket": (odd_one(b"* 3 FETCH (UID 3 BODY[<0> NIL)"), {""}),
    "a number for a body": (odd_one(b"* 3 FETCH (UID 3 BODY[]<0> 12345)"), {""}),
    "a number that no list has": (odd_one(b'* x FETCH (UID 3 BODY[]<0> "x")'), {"", "mailbox_protocol"}),
    "a literal shorter than it says": (
        odd_one(b"* 3 FETCH (UID 3 BODY[]<0> {50}\r\nshort)"),
        {"", "mailbox_down", "mailbox_protocol"},
    ),
    "a literal longer than it says": (odd_one(b"* 3 FETCH (UID 3 BODY[]<0> {3}\r\nlonger)"), {"", "mailbox_protocol"}),
    "a literal of a negative size": (odd_one(b"* 3 FETCH (UID 3 BODY[]<0> {-3}\r\nabc)"), {"", "mailbox_protocol"}),
    "a literal without its line end": (odd_one(b"* 3 FETCH (UID 3 BODY[]<0> {3}abc)"), {""}),
    "nothing behind a literal": (odd_one(b"* 3 FETCH (UID 3 BODY[]<0> {3}\r\nabc"), {"", "mailbox_protocol"}),
    "backwards": (backwards, {""}),
    "doubled": (doubled, {""}),
    "contradicted": (contradicted, {""}),
    "unasked": (unasked, {""}),
    "chatty": (fetched(chatty), {""}),
    "truncated": (fetched(truncated), {""}),
    "short once": (fetched(short_once), {""}),
    "the same chunk for ever": (fetched(same_chunk), {""}),
    "no partial fetch": (fetched(whole_mail), {""}),
    "reordered": (fetched(reordered), {""}),
    "renumbered": (fetched(renumbered), {"folder_renumbered"}),
    "no for one": (refuses(3, b"NO [SERVERBUG] cannot read it"), {""}),
    "bad for one": (refuses(3, b"BAD internal"), {""}),
    **{
        f"{code} for one, {way}": (refusing(3, f"NO [{code}] Not now".encode()), {""})
        for code in ("UNAVAILABLE", "INUSE", "LIMIT", "OVERQUOTA", "CORRUPTION", "EXPUNGEISSUED")
        for way, refusing in {"others come": refuses, "none comes": refuses_whole}.items()
    },
    "plain no for one": (refuses(3, b"NO message is damaged"), {""}),
    "dies at one": (dies_at(3), {"", "mailbox_down"}),
}


@pytest.mark.parametrize("name", FETCHES)
def test_an_odd_mail_costs_no_other(lab: Callable[..., Lab], name: str) -> None:
    """P4, P16: nothing that is not a mail's very octets is archived as the mail."""
    answer, codes = FETCHES[name]
    with HostileImap() as server:
        endure(lab(server), {"BODY": answer}, codes | LOST if codes - {""} else codes)


# Capabilities and TLS.


@pytest.mark.parametrize(
    "capabilities",
    [
        b"IMAP4rev1 IMAP4rev2 ENABLE UIDPLUS UNSELECT",
        b"IMAP4rev1 ENABLE CONDSTORE QRESYNC UTF8=ACCEPT UNSELECT",
        b"IMAP4rev1",
        b"IMAP4rev1 " + b"X" * 100_000,
    ],
)
def test_nothing_is_enabled_whatever_is_offered(lab: Callable[..., Lab], capabilities: bytes) -> None:
    """Trap 87: Exchange Online offers IMAP4rev2, and breaks once it is enabled."""
    with HostileImap(capabilities=capabilities, ENABLE=Talk.cut) as server:
        endure(lab(server), {}, {""})


@pytest.fixture(params=[Fault.NONE, Fault.EXPIRED, Fault.WRONG_NAME])
def certificates(request: pytest.FixtureRequest, tmp_path: Path) -> Certificates:
    return Certificates(tmp_path / "tls", request.param)


def context_of(certificates: Certificates) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.certificate, certificates.key)
    return context


def refused_without_a_password(made: Lab, server: HostileImap, code: str = "mailbox_tls") -> None:
    report = made.ask()
    assert report.error is not None
    assert (report.error.code, bool(english.remedy(report.error))) == (code, True)
    assert not {"LOGIN", "AUTHENTICATE"} & set(server.verbs())
    assert made.accounts.status(made.account.id).state is AccountState.TLS


@pytest.mark.parametrize("tls", [Tls.IMPLICIT, Tls.STARTTLS])
@pytest.mark.parametrize("fault", [Fault.EXPIRED, Fault.WRONG_NAME, "unknown"])
def test_a_bad_certificate_gets_no_password(tmp_path: Path, fault: Fault | str, tls: Tls) -> None:
    """P3, A5."""
    made_ = Certificates(tmp_path / "tls", Fault.NONE if fault == "unknown" else Fault(fault))
    context = context_of(made_)

    async def start_tls(talk: Talk) -> None:
        talk.done()
        await talk.flush()
        await talk.secure(context)

    kept: dict[str, Any] = (
        {"tls": context} if tls is Tls.IMPLICIT else {"capabilities": b"IMAP4rev1 STARTTLS", "STARTTLS": start_tls}
    )
    with HostileImap(**kept) as server:
        ca_file = None if fault == "unknown" else str(made_.ca_file)
        refused_without_a_password(Lab(server, tmp_path, host="localhost", tls=tls, ca_file=ca_file), server)


def test_a_stripped_starttls_gets_no_password(tmp_path: Path) -> None:
    with HostileImap() as server:
        refused_without_a_password(Lab(server, tmp_path, tls=Tls.STARTTLS), server)


@pytest.mark.parametrize(
    "injected",
    [
        b"* CAPABILITY IMAP4rev1 AUTH=PLAIN\r\n",
        b"* PREAUTH welcome\r\n",
        b"x",
        b"* OK [REFERRAL imap://evil.example/] elsewhere\r\n",
    ],
)
def test_what_is_injected_behind_starttls_gets_no_password(tmp_path: Path, injected: bytes) -> None:
    """CVE-2011-0411, CVE-2021-33515: data in clear that is read as if it had come over TLS."""
    made_ = Certificates(tmp_path / "tls")
    context = context_of(made_)

    async def start_tls(talk: Talk) -> None:
        talk.send(talk.tag + b" OK begin\r\n" + injected)
        await talk.flush()
        await talk.secure(context)

    with HostileImap(capabilities=b"IMAP4rev1 STARTTLS", STARTTLS=start_tls) as server:
        lab = Lab(server, tmp_path, host="localhost", tls=Tls.STARTTLS, ca_file=str(made_.ca_file))
        refused_without_a_password(lab, server)


def test_what_was_said_before_tls_is_forgotten(tmp_path: Path) -> None:
    """Capabilities from before the handshake are an attacker's to choose: here they would disable the login."""
    made_ = Certificates(tmp_path / "tls")
    context = context_of(made_)

    async def start_tls(talk: Talk) -> None:
        talk.say(b"* CAPABILITY IMAP4rev1 LOGINDISABLED", talk.tag + b" OK begin")
        await talk.flush()
        await talk.secure(context)

    with HostileImap(capabilities=b"IMAP4rev1 STARTTLS", STARTTLS=start_tls) as server:
        lab = Lab(server, tmp_path, host="localhost", tls=Tls.STARTTLS, ca_file=str(made_.ca_file))
        assert lab.ask().outcome is PollOutcome.DONE
        lab.sources.close()


# Size and time.


def test_a_million_uids_are_read(tmp_path: Path) -> None:
    """P13, P17: a full mailbox is no misdeed."""
    uids = b" ".join(b"%d" % uid for uid in range(1_000_000, 2_000_000))

    def answer(talk: Talk) -> None:
        talk.say(b"* SEARCH " + uids)
        talk.done()

    with HostileImap(SEARCH=answer) as server:
        lab = Lab(server, tmp_path)
        lab.sources.close()
        lab.sources = lab.made(budget=60, timeout=30)
        before = memory("VmRSS")
        with lab.sources.open(lab.account, deadline=datetime.fromtimestamp(time.time() + 60, UTC)) as source:
            source.select("INBOX")
            assert len(source.uids(1)) == 1_000_000
        assert memory("VmHWM") - before < 2 * MEMORY
        lab.sources.close()


def test_three_hundred_folders_cost_two_questions(tmp_path: Path) -> None:
    """RFC 5819: where nothing has changed, a poll asks for the list, and for all counts at once."""
    names = [b"INBOX", *(b"folder%d" % number for number in range(300))]

    def answer(talk: Talk) -> None:
        talk.say(*(b'* LIST () "/" ' + name for name in names))
        if b"STATUS" in talk.words:
            talk.say(*(b"* STATUS %b (MESSAGES 0 UIDNEXT 1000 UIDVALIDITY 7)" % name for name in names))
        talk.done()

    capabilities = b"IMAP4rev1 LIST-STATUS UNSELECT"
    with HostileImap(capabilities=capabilities, LIST=answer) as server:
        lab = Lab(server, tmp_path, folders=(ALL_FOLDERS,))
        lab.sources.close()
        lab.sources = lab.made(budget=60, timeout=30)
        assert lab.ask().outcome is PollOutcome.DONE
        lab.poll_settings = lab.poll_settings.model_copy(update={"recheck": 900})
        server.commands.clear()
        assert lab.ask().outcome is PollOutcome.DONE
        lab.sources.close()

        assert [verb for verb in server.verbs() if verb != "LOGOUT"] == ["LIST", "LIST"]
