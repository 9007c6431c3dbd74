"""Background work takes no more than its places, in threads and in processes alike."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from contextlib import ExitStack

from concord.adapters.background import Background

BACKFILL = "concord.backfill_email_account"


def test_work_beyond_the_places_waits_in_order_and_once() -> None:
    background = Background(2)
    with ExitStack() as running:
        free = [running.enter_context(background.place(BACKFILL, account)) for account in (1, 2, 3, 4, 3)]

    assert free == [True, True, False, False, False]
    assert background.waiting() == [(BACKFILL, 3), (BACKFILL, 4)]
    assert background.waiting() == []


def test_a_place_is_free_again_after_the_work_even_where_it_failed() -> None:
    background = Background(1)
    with contextlib.suppress(ZeroDivisionError), background.place(BACKFILL, 1):
        _ = 1 / 0

    with background.place(BACKFILL, 2) as is_free:
        assert is_free


def test_processes_of_one_worker_share_the_places_and_a_killed_one_frees_its_own() -> None:
    """W8: a plain worker has processes."""
    background = Background(1)
    fork = multiprocessing.get_context("fork")
    begun = fork.Event()

    def hold() -> None:
        with background.place(BACKFILL, 1):
            begun.set()
            signal.pause()

    child = fork.Process(target=hold)
    child.start()
    assert begun.wait(60)
    with background.place(BACKFILL, 2) as is_free:
        assert not is_free

    os.kill(child.pid or 0, signal.SIGKILL)
    child.join(60)

    with background.place(BACKFILL, 2) as is_free:
        assert is_free
