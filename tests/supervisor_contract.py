"""What every `Supervisor` keeps: the memory twin, supervisord and systemd pass the same tests.

The daemons are small programs with one manner each; a real supervisor runs them as shell scripts.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

import pytest

from concord.errors import DaemonFailedError, UnknownDaemonError
from concord.model.daemon import Activity
from concord.ports import Supervisor
from tests.waiting import eventually

GOOD: Final = "beat"
SLOW: Final = "flower"  # takes a second to stop, and leaves a child behind
ALONE: Final = "admin"  # no member of the set
BROKEN: Final = "worker@broken"  # ends at once, with a line on standard error
MUTE: Final = "worker@mute"  # never gets ready
BRIEF: Final = "worker@brief"  # ends with status 4 when it gets USR1, and is not started anew
SLUGGISH: Final = ("worker@late", "worker@later")  # take a second to stop
UNKNOWN: Final = "worker@nobody"

MEMBERS: Final = (GOOD, SLOW)
ALL: Final = (*MEMBERS, ALONE, BROKEN, MUTE, BRIEF, *SLUGGISH)

_SLUGGISH: Final = "trap 'kill $!; sleep 1; echo \"is done\"; sleep 0.7 & exit 0' TERM\nsleep 1000 &\n@READY@\nwait"
# @READY@ is how a script says that it is up; a file `mended` beside the scripts heals the broken one.
SCRIPTS: Final = {
    GOOD: 'echo "is up"\n@READY@\nexec sleep 1000',
    SLOW: _SLUGGISH,
    ALONE: "@READY@\nexec sleep 1000",
    BROKEN: 'test -e "$(dirname "$0")/mended" && { @READY@; exec sleep 1000; }\n'
    'echo "no such luck at $(date +%s%N)" >&2\nexit 3',
    MUTE: 'echo "is not ready"\nexec sleep 1000',
    BRIEF: "trap 'kill $!; exit 4' USR1\ntrap 'kill $!; exit 0' TERM\nsleep 1000 &\n@READY@\nwait",
    **dict.fromkeys(SLUGGISH, _SLUGGISH),
}


class Hosted(Protocol):
    """A supervisor with the daemons above, none of which runs."""

    @property
    def supervisor(self) -> Supervisor: ...

    def pids(self, name: str) -> list[int]:
        """Every process of a daemon, seen without the supervisor."""
        ...

    def mend(self) -> None:
        """From now on the broken daemon works."""
        ...

    def end(self, name: str) -> None:
        """Send its main process USR1."""
        ...


def activities(supervisor: Supervisor, *names: str) -> list[Activity]:
    return [state.activity for state in supervisor.states(names)]


class SupervisorContract:
    """M1, M2: for each of them."""

    def test_start_waits_until_the_daemon_runs(self, hosted: Hosted) -> None:
        hosted.supervisor.start([GOOD], timeout=20)

        [state] = hosted.supervisor.states([GOOD])
        assert state.activity is Activity.RUNNING
        assert state.pid in hosted.pids(GOOD)
        assert state.memory
        assert state.since
        assert abs(datetime.now(UTC) - state.since) < timedelta(seconds=30)

    def test_starting_what_runs_changes_nothing(self, hosted: Hosted) -> None:
        hosted.supervisor.start([GOOD], timeout=20)
        before = hosted.supervisor.states([GOOD])[0]

        hosted.supervisor.start([GOOD], timeout=20)

        after = hosted.supervisor.states([GOOD])[0]
        assert (after.pid, after.since) == (before.pid, before.since)

    def test_stop_waits_until_the_last_process_is_gone(self, hosted: Hosted) -> None:
        hosted.supervisor.start([SLOW], timeout=20)
        assert hosted.pids(SLOW)

        hosted.supervisor.stop([SLOW], timeout=20)

        assert hosted.pids(SLOW) == []
        [state] = hosted.supervisor.states([SLOW])
        assert (state.activity, state.pid, state.memory) == (Activity.STOPPED, None, None)

    def test_stopping_what_is_stopped_changes_nothing(self, hosted: Hosted) -> None:
        hosted.supervisor.stop([GOOD, SLOW], timeout=20)

        assert activities(hosted.supervisor, GOOD, SLOW) == [Activity.STOPPED] * 2

    def test_restart_gives_a_new_process_and_starts_what_was_stopped(self, hosted: Hosted) -> None:
        hosted.supervisor.start([GOOD], timeout=20)
        before = hosted.supervisor.states([GOOD])[0].pid

        hosted.supervisor.restart([GOOD, ALONE], timeout=20)

        good, alone = hosted.supervisor.states([GOOD, ALONE])
        assert (good.activity, alone.activity) == (Activity.RUNNING, Activity.RUNNING)
        assert good.pid != before

    def test_failing_start_tells_the_last_words_of_the_daemon(self, hosted: Hosted) -> None:
        with pytest.raises(DaemonFailedError) as caught:
            hosted.supervisor.start([BROKEN], timeout=20)

        assert caught.value.log[-1].startswith("no such luck")
        assert caught.value.facts["daemon"] == BROKEN
        [state] = hosted.supervisor.states([BROKEN])
        assert state.activity is Activity.FAILED
        assert state.detail

    def test_one_that_fails_keeps_no_other_from_starting(self, hosted: Hosted) -> None:
        with pytest.raises(DaemonFailedError):
            hosted.supervisor.start([BROKEN, GOOD], timeout=20)

        assert activities(hosted.supervisor, GOOD) == [Activity.RUNNING]

    def test_failed_daemon_starts_once_it_is_mended(self, hosted: Hosted) -> None:
        with pytest.raises(DaemonFailedError):
            hosted.supervisor.start([BROKEN], timeout=20)
        hosted.mend()

        hosted.supervisor.start([BROKEN], timeout=20)

        assert activities(hosted.supervisor, BROKEN) == [Activity.RUNNING]

    def test_daemon_that_never_gets_ready_is_given_up_in_time(self, hosted: Hosted) -> None:
        began = time.monotonic()

        with pytest.raises(DaemonFailedError, match="is still starting") as caught:
            hosted.supervisor.start([MUTE], timeout=2)

        assert time.monotonic() - began < 2 + 4
        assert caught.value.facts["daemon"] == MUTE
        assert caught.value.facts["after"] == "2 s"
        assert activities(hosted.supervisor, MUTE) == [Activity.STARTING]

    def test_unknown_daemon_is_refused_before_anything_moves(self, hosted: Hosted) -> None:
        for move in (hosted.supervisor.start, hosted.supervisor.stop, hosted.supervisor.restart):
            with pytest.raises(UnknownDaemonError) as caught:
                move([GOOD, UNKNOWN], timeout=20)
            assert caught.value.facts["daemon"] == UNKNOWN

        assert activities(hosted.supervisor, GOOD) == [Activity.STOPPED]

    def test_states_come_in_the_order_asked_for_with_the_absent_among_them(self, hosted: Hosted) -> None:
        hosted.supervisor.start([GOOD], timeout=20)

        states = hosted.supervisor.states([UNKNOWN, ALONE, GOOD])

        assert [state.name for state in states] == [UNKNOWN, ALONE, GOOD]
        assert [state.activity for state in states] == [Activity.ABSENT, Activity.STOPPED, Activity.RUNNING]

    def test_log_tail_of_an_unknown_daemon_is_refused(self, hosted: Hosted) -> None:
        with pytest.raises(UnknownDaemonError):
            hosted.supervisor.log_tail(UNKNOWN, 5)


class RealSupervisorContract(SupervisorContract):
    """What only processes can show."""

    def test_log_tail_has_the_last_lines_oldest_first(self, hosted: Hosted) -> None:
        """W4."""
        hosted.supervisor.start([SLOW, GOOD], timeout=20)
        hosted.supervisor.stop([SLOW, GOOD], timeout=20)

        whole = hosted.supervisor.log_tail(GOOD, 50)
        last = hosted.supervisor.log_tail(GOOD, 1)

        assert any(line.endswith("is up") for line in whole)
        assert last == whole[-1:]

    def test_failure_does_not_tell_what_earlier_ones_wrote(self, hosted: Hosted) -> None:
        with pytest.raises(DaemonFailedError) as first:
            hosted.supervisor.start([BROKEN], timeout=20)
        hosted.supervisor.stop([BROKEN], timeout=20)

        with pytest.raises(DaemonFailedError) as second:
            hosted.supervisor.start([BROKEN], timeout=20)

        assert second.value.log
        assert not set(first.value.log) & set(second.value.log)

    def test_daemons_move_at_the_same_time(self, hosted: Hosted) -> None:
        several: Sequence[str] = (SLOW, *SLUGGISH)
        hosted.supervisor.start(several, timeout=20)
        assert all(hosted.pids(name) for name in several)
        began = time.monotonic()

        hosted.supervisor.stop(several, timeout=20)

        assert time.monotonic() - began < 3 * 1.7  # as long as it takes one by one
        assert [hosted.pids(name) for name in several] == [[], [], []]

    def test_stop_that_takes_too_long_says_so(self, hosted: Hosted) -> None:
        hosted.supervisor.start([SLOW], timeout=20)

        with pytest.raises(DaemonFailedError, match="is still stopping") as caught:
            hosted.supervisor.stop([SLOW], timeout=0.3)

        assert caught.value.facts["daemon"] == SLOW

    def test_starting_one_that_is_still_stopping_gives_a_new_process(self, hosted: Hosted) -> None:
        hosted.supervisor.start([SLOW], timeout=20)
        before = hosted.supervisor.states([SLOW])[0].pid
        with pytest.raises(DaemonFailedError):
            hosted.supervisor.stop([SLOW], timeout=0.3)

        hosted.supervisor.start([SLOW], timeout=20)

        [state] = hosted.supervisor.states([SLOW])
        assert state.activity is Activity.RUNNING
        assert state.pid != before

    def test_daemon_that_ends_by_itself_has_failed_and_says_how(self, hosted: Hosted) -> None:
        hosted.supervisor.start([BRIEF], timeout=20)

        hosted.end(BRIEF)

        assert eventually(lambda: activities(hosted.supervisor, BRIEF) == [Activity.FAILED], within=10)
        [state] = hosted.supervisor.states([BRIEF])
        assert "status 4" in state.detail
        assert state.pid is None

    def test_several_threads_may_ask_at_once(self, hosted: Hosted) -> None:
        with ThreadPoolExecutor(4) as threads:
            moves = [threads.submit(hosted.supervisor.start, [name], timeout=20) for name in (GOOD, SLOW, ALONE)]
            looks = [threads.submit(hosted.supervisor.states, ALL) for _ in range(4)]
            for move in moves:
                move.result()
            seen = [asked.result() for asked in looks]

        assert [len(states) for states in seen] == [len(ALL)] * 4
        assert activities(hosted.supervisor, GOOD, SLOW, ALONE) == [Activity.RUNNING] * 3
