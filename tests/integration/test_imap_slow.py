"""Servers that are slow: what came is kept, a big mail goes on where it stopped, and nothing is fetched for ever."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from concord.errors import MailboxDownError, PollBudgetError, SpoolDownError
from concord.model.message import FetchedMail
from concord.ports import Unreadable
from concord.wording import english
from tests.servers.hostile_imap import Answer, HostileImap, Talk
from tests.servers.imap_accounts import Polls, account_at, now

CHUNK = 8192
MAX = 10 * 1024 * 1024
BIG = bytes(number % 251 for number in range(40 * CHUNK + 17))


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Polls]:
    """Sources with a directory of their own for big mails."""
    made = Polls(budget=2, timeout=2, chunk_bytes=CHUNK, spool_directory=tmp_path / "spool")
    yield made
    made.sources.close()


def offsets(server: HostileImap) -> list[int]:
    """Where each FETCH of octets began."""
    return [int(found[1]) for words in server.commands if (found := re.search(rb"PEEK\[\]<(\d+)\.", words))]


def poll(
    polls: Polls, server: HostileImap, *uids: int, uidvalidity: int = 7
) -> tuple[dict[int, bytes], Exception | None]:
    """What one poll brings, and what ended it."""
    got: dict[int, bytes] = {}
    try:
        with polls.open(account_at(server.port), seconds=2) as source:
            source.select("INBOX", uidvalidity=uidvalidity)
            for item in source.fetch(uids, max_size=MAX):
                assert isinstance(item, FetchedMail), item
                got[item.uid] = item.content.read_bytes() if isinstance(item.content, Path) else item.content
                assert hashlib.sha256(got[item.uid]).hexdigest() == item.sha256
                assert len(got[item.uid]) == item.size
    except (PollBudgetError, MailboxDownError) as error:
        return got, error
    return got, None


def at_rate(octets: int) -> Answer:
    """A line that carries so many octets a second."""

    async def answer(talk: Talk) -> None:
        whole = talk.held = bytearray()
        talk.server.tell_mails(talk)
        talk.held = None
        for start in range(0, len(whole), octets // 20):
            talk.send(bytes(whole[start : start + octets // 20]))
            await talk.flush()
            await asyncio.sleep(0.05)

    return answer


def test_what_came_of_a_batch_is_kept_when_time_runs_out(slow: Polls) -> None:
    """A batch on a slow line once began at its first mail for ever."""
    mails = {uid: b"%d " % uid * 1000 for uid in range(1, 41)}
    left, polls = list(mails), 0
    with HostileImap(mails, FETCH=at_rate(40_000)) as server:
        while left and polls < 12:
            got, _ = poll(slow, server, *left)
            assert list(got) == left[: len(got)]
            assert all(mails[uid] == raw for uid, raw in got.items())
            left = left[len(got) :]
            polls += 1

    assert left == []


def test_a_slow_line_is_asked_for_less_at_a_time(slow: Polls) -> None:
    mails = dict.fromkeys(range(1, 51), b"x" * 4000)
    with HostileImap(mails, FETCH=at_rate(20_000)) as server:
        poll(slow, server, *mails)
        server.commands.clear()
        poll(slow, server, *mails)

        first = next(words for words in server.commands if b"PEEK" in words)
    assert b"1:50" not in first


def test_a_fast_line_is_asked_for_all_at_once(slow: Polls) -> None:
    mails = dict.fromkeys(range(1, 51), b"x" * 4000)
    with HostileImap(mails) as server:
        assert len(poll(slow, server, *mails)[0]) == 50
        assert len([words for words in server.commands if b"PEEK" in words]) == 1


def test_a_big_mail_goes_on_where_the_last_poll_stopped(slow: Polls) -> None:
    """A mail that takes longer than a poll once began at octet 0 for ever."""
    got: dict[int, bytes] = {}
    polls = 0
    with HostileImap({1: BIG}, FETCH=at_rate(80_000)) as server:
        while not got and polls < 12:
            before = len(server.commands)
            got, error = poll(slow, server, 1)
            polls += 1
            assert got or error
            assert sum(offset == 0 for offset in offsets(server)[before:]) <= 1
        assert polls > 1
        assert server.commands

    assert got == {1: BIG}
    assert not list(slow.settings.spool_directory.iterdir())


def interrupted(slow: Polls, server: HostileImap) -> Path:
    """A poll that ends in the middle of a big mail; the file it left."""
    server.answers["FETCH"] = cut_at(10 * CHUNK)
    got, error = poll(slow, server, 1)
    assert not got
    assert error
    server.behave()
    [part] = slow.settings.spool_directory.glob("*.part")
    server.commands.clear()
    return part


def cut_at(octets: int) -> Answer:
    def answer(talk: Talk) -> None:
        found = re.search(rb"<(\d+)\.", talk.words)
        if found and int(found[1]) >= octets:
            talk.cut()
        else:
            talk.server.tell_mails(talk)

    return answer


def test_a_part_is_continued_behind_its_end(slow: Polls) -> None:
    with HostileImap({1: BIG}) as server:
        interrupted(slow, server)
        got, _ = poll(slow, server, 1)

        assert sorted(offsets(server))[1] > 8 * CHUNK
    assert got == {1: BIG}


def tamper_with_octets(part: Path) -> None:
    raw = bytearray(part.read_bytes())
    raw[3 * CHUNK] ^= 1
    part.write_bytes(raw)


def tamper_with_the_end(part: Path) -> None:
    """The digest fits, and the server has other octets there: another mail of the same size and beginning."""
    raw = bytearray(part.read_bytes())
    raw[-1] ^= 1
    part.write_bytes(raw)
    note = part.with_suffix(".json")
    known = json.loads(note.read_bytes())
    note.write_text(json.dumps({**known, "sha256": hashlib.sha256(raw[: known["length"]]).hexdigest()}))


@pytest.mark.parametrize(
    "spoil",
    [
        tamper_with_octets,
        tamper_with_the_end,
        lambda part: part.write_bytes(part.read_bytes()[:-CHUNK]),
        lambda part: part.write_bytes(b""),
        lambda part: part.with_suffix(".json").write_text("{"),
        lambda part: part.with_suffix(".json").write_text('["a list"]'),
        lambda part: part.with_suffix(".json").unlink(),
    ],
)
def test_a_part_that_is_not_what_it_was_is_fetched_again(slow: Polls, spoil: object) -> None:
    """P4."""
    assert callable(spoil)
    with HostileImap({1: BIG}) as server:
        spoil(interrupted(slow, server))

        assert poll(slow, server, 1)[0] == {1: BIG}


def test_a_part_of_another_mail_is_not_continued(slow: Polls) -> None:
    """The same UID and size; other octets in its first chunk."""
    other = b"another" + BIG[7:]
    with HostileImap({1: BIG}) as server:
        interrupted(slow, server)
        server.mails = {1: other}

        assert poll(slow, server, 1)[0] == {1: other}


def test_a_part_is_of_one_uidvalidity(slow: Polls) -> None:
    """P3: after a renumbering the same UID is another mail, even if it begins and ends alike."""
    other = BIG[: 4 * CHUNK] + b"other" + BIG[4 * CHUNK + 5 :]

    def renumbered(talk: Talk) -> None:
        talk.say(b"* 1 EXISTS", b"* OK [UIDVALIDITY 8] changed")
        talk.done()

    with HostileImap({1: BIG}) as server:
        interrupted(slow, server)
        server.mails = {1: other}
        server.answers["EXAMINE"] = renumbered

        assert poll(slow, server, 1, uidvalidity=8)[0] == {1: other}


def test_parts_that_nobody_asks_for_go(slow: Polls, monkeypatch: pytest.MonkeyPatch) -> None:
    """P17: by age, and by size."""
    with HostileImap({1: BIG, 2: BIG}) as server:
        part = interrupted(slow, server)
        monkeypatch.setattr("concord.adapters.imap.spool.EXPIRY_SECONDS", -1)
        fresh = Polls(chunk_bytes=CHUNK, spool_directory=slow.settings.spool_directory)
        assert poll(fresh, server, 2)[0] == {2: BIG}
        fresh.sources.close()

    assert not part.exists()
    assert not part.with_suffix(".json").exists()


def test_nothing_is_kept_beyond_the_limit(tmp_path: Path) -> None:
    """P17."""
    polls = Polls(chunk_bytes=CHUNK, spool_directory=tmp_path, spool_max_bytes=CHUNK)
    with HostileImap({1: BIG}, FETCH=cut_at(10 * CHUNK)) as server:
        poll(polls, server, 1)
    polls.sources.close()

    assert not list(tmp_path.iterdir())


def test_a_spool_that_cannot_be_written_is_not_the_mailboxs_fault(tmp_path: Path) -> None:
    """P18: infrastructure, and it says what to do."""
    (tmp_path / "spool").write_text("a file where the directory should be")
    polls = Polls(chunk_bytes=CHUNK, spool_directory=tmp_path / "spool")
    with HostileImap({1: BIG}) as server, pytest.raises(SpoolDownError) as caught:
        poll(polls, server, 1)
    polls.sources.close()

    assert "poll.spool_directory" in english.remedy(caught.value)


def test_two_at_once_do_not_share_a_part(tmp_path: Path) -> None:
    """A poll whose lease has lapsed may still be at the same mail."""
    polls = Polls(chunk_bytes=CHUNK, spool_directory=tmp_path)
    with (
        HostileImap({1: BIG}) as server,
        polls.open(account_at(server.port)) as one,
        polls.sources.open(account_at(server.port), deadline=now() + timedelta(seconds=60)) as two,
    ):
        for source in (one, two):
            source.select("INBOX", uidvalidity=7)
        first, second = (source.fetch([1], max_size=MAX) for source in (one, two))
        for item in (next(first), next(second)):
            assert isinstance(item, FetchedMail)
            assert isinstance(item.content, Path)
            assert item.content.read_bytes() == BIG
        assert [*first, *second] == []
    polls.sources.close()

    assert not list(tmp_path.iterdir())


def test_a_server_that_confirms_the_end_of_a_mail_gave_the_whole(slow: Polls) -> None:
    """Exchange estimates sizes, Dovecot may have cached an old one: the mail is not unreadable for ever.

    Its size differs from the server's, so that nothing moves or deletes it there.
    """

    def estimated(talk: Talk) -> None:
        for uid in talk.server.wanted(talk):
            talk.server.send_piece(talk, uid, size=len(BIG) + 1000)
        talk.done()

    with HostileImap({1: BIG, 2: BIG[:100]}, FETCH=estimated) as server:
        assert poll(slow, server, 1, 2)[0] == {1: BIG, 2: BIG[:100]}


def test_nil_does_not_confirm_the_end_of_a_mail(slow: Polls) -> None:
    def half(talk: Talk) -> None:
        found = re.search(rb"<(\d+)\.", talk.words)
        assert found
        if int(found[1]) >= 20 * CHUNK:
            talk.say(b"* 1 FETCH (UID 1 BODY[]<%b> NIL)" % found[1])
            talk.done()
        else:
            talk.server.tell_mails(talk)

    with HostileImap({1: BIG}, FETCH=half) as server, slow.open(account_at(server.port)) as source:
        source.select("INBOX", uidvalidity=7)
        [item] = source.fetch([1], max_size=MAX)

    assert isinstance(item, Unreadable)
    assert replace(item).size == len(BIG)
