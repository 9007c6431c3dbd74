"""Who is silent: fresh clocks for new lives, one limit for each phase, and grace where it was we who did not listen."""

from __future__ import annotations

import pytest

from concord.adapters.supervisord_silence import Limits, Phase, Program, Silence

LIMITS = Limits(starting=90, working=60, stopping=600)
READY, PING, STOPPING = b"READY=1\nSTATUS=polling", b"WATCHDOG=1", b"STOPPING=1"
BEAT = Program(name="concord-beat", pid=7, started=1000)


@pytest.fixture
def silence() -> Silence:
    return Silence(LIMITS)


def test_a_program_that_speaks_is_never_silent(silence: Silence) -> None:
    """D1."""
    silence.hear(7, READY, 0)

    for now in range(20, 400, 20):
        silence.hear(7, PING, now)
        assert silence.look([BEAT], now + 19) == []


def test_silence_beyond_the_limit_is_told_with_its_length(silence: Silence) -> None:
    """D1."""
    silence.hear(7, READY, 0)

    assert silence.look([BEAT], 60) == []
    (silent,) = silence.look([BEAT], 61)
    assert (silent.program, silent.phase, silent.seconds) == (BEAT, Phase.WORKING, 61)


def test_a_program_that_never_speaks_has_the_start_limit_from_when_it_was_first_seen(silence: Silence) -> None:
    """A watchdog started anew, too, gives whoever it does not know that long."""
    silence.look([BEAT], 1000)

    assert silence.look([BEAT], 1090) == []
    (silent,) = silence.look([BEAT], 1091)
    assert silent.phase is Phase.STARTING


def test_a_restarted_program_begins_with_a_fresh_clock(silence: Silence) -> None:
    silence.hear(7, READY, 0)
    silence.look([BEAT], 50)

    again = Program(name="concord-beat", pid=8, started=1050)

    assert silence.look([again], 130) == []
    assert silence.look([again], 219) == []


def test_a_pid_used_again_is_another_life(silence: Silence) -> None:
    silence.hear(7, READY, 0)
    silence.look([BEAT], 1)

    assert silence.look([Program(name="concord-flower", pid=7, started=2000)], 500) == []


def test_what_a_program_said_before_supervisord_named_it_counts(silence: Silence) -> None:
    silence.hear(7, READY, 0)

    (silent,) = silence.look([BEAT], 61)

    assert silent.phase is Phase.WORKING


def test_a_program_that_ends_by_itself_may_take_its_time(silence: Silence) -> None:
    """D3: a worker that recycles itself waits for its running tasks; a late ping changes nothing."""
    silence.hear(7, READY, 0)
    silence.hear(7, STOPPING, 10)
    silence.hear(7, PING, 11)

    assert silence.look([BEAT], 611) == []
    (silent,) = silence.look([BEAT], 612)
    assert silent.phase is Phase.STOPPING


def test_a_status_alone_is_no_proof_of_work(silence: Silence) -> None:
    silence.hear(7, READY, 0)
    silence.hear(7, b"STATUS=I think", 50)

    assert len(silence.look([BEAT], 61)) == 1


@pytest.mark.parametrize("noise", [b"", b"\xff\xfe\x00", b"WATCHDOG=2", b"READY=1 and more", b"\n\n\n"])
def test_noise_is_no_proof_of_work(silence: Silence, noise: bytes) -> None:
    silence.hear(7, READY, 0)
    silence.hear(7, noise, 50)

    assert len(silence.look([BEAT], 61)) == 1


def test_a_strangers_ping_counts_for_nobody(silence: Silence) -> None:
    """A forked child that pings in its parent's place hides nothing."""
    silence.hear(7, READY, 0)
    silence.hear(4711, PING, 50)

    assert len(silence.look([BEAT], 61)) == 1


def test_one_who_did_not_listen_forgives(silence: Silence) -> None:
    silence.hear(7, READY, 0)
    silence.look([BEAT], 1)

    silence.forgive(500)

    assert silence.look([BEAT], 560) == []
