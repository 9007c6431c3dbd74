"""Which worker a process belongs to, and whether an earlier one still runs."""

from __future__ import annotations

import os
import subprocess
import sys
from threading import Event

import pytest

from concord.adapters import worker_identity
from concord.adapters.worker_identity import (
    begin_pool_process,
    begin_worker,
    current_worker,
    is_alive,
    is_pool_process,
    make_incarnation,
)
from concord.adapters.worker_release import Releasing
from concord.errors import DatabaseDownError
from concord.model.worker import Incarnation, holder, no_worker
from concord.pipeline.release import release_dead, release_process
from tests.waiting import eventually


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_identity._Here, "worker", None)
    monkeypatch.setattr(worker_identity._Here, "pid", None)


def test_each_start_is_another_life_of_the_same_node() -> None:
    first, second = make_incarnation("mail@a"), make_incarnation("mail@a")

    assert first.prefix == second.prefix == "mail@a/"
    assert str(first) != str(second)


def test_a_forked_child_belongs_to_its_parents_worker() -> None:
    worker = begin_worker("mail@a")
    if (pid := os.fork()) == 0:
        os._exit(0 if current_worker() == worker else 1)

    assert os.waitpid(pid, 0)[1] == 0


def test_a_workers_processes_know_that_they_are_several() -> None:
    """W8: none of them keeps connections from the others."""
    begin_worker("celery@a")
    if (pid := os.fork()) == 0:
        os._exit(0 if is_pool_process() else 1)

    assert not is_pool_process()
    assert os.waitpid(pid, 0)[1] == 0


def test_a_pools_process_has_a_name_of_its_own_within_its_worker() -> None:
    worker = begin_worker("mail@a")
    begin_pool_process("ForkPoolWorker-1")  # a pool of one process, the worker itself
    assert current_worker() == worker
    if (pid := os.fork()) == 0:
        begin_pool_process("ForkPoolWorker-2")
        name = str(current_worker())
        is_right = worker.includes(name) and name != str(worker) and name.startswith(worker.prefix)
        os._exit(0 if is_right else 1)

    assert os.waitpid(pid, 0)[1] == 0


def test_a_process_lives_as_long_as_its_worker() -> None:
    """For another worker of the same name, which must not release it."""
    worker = make_incarnation("mail@a")
    if (pid := os.fork()) == 0:
        os._exit(0 if is_alive(str(worker.make_process("F-1"))) else 1)

    assert os.waitpid(pid, 0)[1] == 0


def test_outside_workers_nobody_is_named() -> None:
    assert current_worker() is None
    assert holder(no_worker) is None


def test_a_worker_is_alive_as_long_as_its_very_process_is() -> None:
    code = "from concord.adapters.worker_identity import make_incarnation as m; print(m('mail@a'), flush=True); input()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        name = child.stdout.readline().decode().strip()
        recycled = name.replace(f"{child.pid}-", f"{child.pid}-1", 1)
        alive = (is_alive(name), is_alive(recycled))
        child.kill()

    assert alive == (True, False)
    assert not is_alive(name)


@pytest.mark.parametrize("name", ["mail@a/", "mail@a", "", "mail@a/x-1-y"])
def test_a_name_that_says_no_process_is_nobody_alive(name: str) -> None:
    assert not is_alive(name)


def test_a_process_that_became_another_worker_is_not_its_former_self() -> None:
    """SIGHUP: Celery starts itself again in the same process."""
    assert not is_alive(str(make_incarnation("mail@a")))


# Releasing.


class Held:
    """Something that workers hold, in memory."""

    def __init__(self, *names: str) -> None:
        self.names = set(names)

    def holders(self, prefix: str) -> set[str]:
        return {name for name in self.names if name.startswith(prefix)}

    def release(self, holder: str) -> int:
        held = len(self.names)
        self.names.discard(holder)
        return held - len(self.names)


def test_only_dead_lives_of_the_same_node_are_released() -> None:
    worker = Incarnation("mail@a", "3")
    claims, slots = Held("mail@a/1", "mail@a/2", "mail@a/3", "mail@b/1"), Held("mail@a/1")

    released = release_dead([claims, slots], worker, is_alive="mail@a/2".__eq__)

    assert released == 2
    assert claims.names == {"mail@a/2", "mail@a/3", "mail@b/1"}
    assert slots.names == set()


def test_a_worker_that_starts_leaves_its_own_processes_alone() -> None:
    """They may have claimed something before the database answered the release."""
    worker = Incarnation("mail@a", "3")
    claims = Held("mail@a/2+F-1", "mail@a/3", "mail@a/3+F-1", "mail@a/33+F-1")

    release_dead([claims], worker, is_alive=lambda _holder: False)

    assert claims.names == {"mail@a/3", "mail@a/3+F-1"}


def test_only_what_the_dead_process_held_is_released() -> None:
    worker = Incarnation("mail@a", "3")
    claims = Held("mail@a/3", "mail@a/3+F-1", "mail@a/3+F-12")

    assert release_process([claims], worker.make_process("F-1")) == 1

    assert claims.names == {"mail@a/3", "mail@a/3+F-12"}


def test_a_dead_process_is_released_once_the_database_answers() -> None:
    worker = begin_worker("mail@a")
    tries: list[Incarnation] = []
    released = Event()

    def release(process: Incarnation) -> None:
        tries.append(process)
        if len(tries) < 3:
            raise DatabaseDownError("gone")
        released.set()

    releasing = Releasing(lambda _worker: None, release, again=0.01)
    releasing.start()
    releasing.bury("F-1")

    assert eventually(released.is_set)
    releasing.stop()
    assert tries == [worker.make_process("F-1")] * 3


def test_a_release_waits_for_the_database() -> None:
    begin_worker("mail@a")
    tries: list[Incarnation] = []
    released = Event()

    def release(worker: Incarnation) -> None:
        tries.append(worker)
        if len(tries) < 3:
            raise DatabaseDownError("refused")
        released.set()

    releasing = Releasing(release, again=0.01)
    releasing.start()

    assert eventually(released.is_set)
    assert tries == [current_worker()] * 3
