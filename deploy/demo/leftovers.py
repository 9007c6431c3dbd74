"""Finds and stops what an earlier run left behind: supervisord killed the hard way cannot stop its children."""

from __future__ import annotations

import psutil

from deploy.demo.state import State

# Servers that hide their environment; they are known by the folder they work in.
SERVERS = ("dovecot", "redis-server")
SECONDS = 15.0


def leftovers(state: State) -> list[psutil.Process]:
    """Every living process of this development set, whoever started it."""
    return [process for process in psutil.process_iter(["name"]) if _is_ours(process, state)]


def stop(processes: list[psutil.Process], *, within: float = SECONDS) -> None:
    """Ask them to end, then make them; their children too."""
    family = {member for process in processes for member in [process, *_children(process)]}
    for process in processes:
        # A pool's process is its worker's business: told by us, it would drop the task in its hands.
        if _parent(process) not in family:
            _signal(process, hard=False)
    _gone, alive = psutil.wait_procs(family, timeout=within)
    for process in alive:
        _signal(process, hard=True)
    psutil.wait_procs(alive, timeout=5)


def _is_ours(process: psutil.Process, state: State) -> bool:
    try:
        if process.name() in SERVERS:
            return process.cwd().startswith(f"{state.servers}/")
        return process.environ().get("DAEMON_STATE") == str(state.folder)
    except (psutil.Error, OSError):  # gone meanwhile, or another user's
        return False


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.Error:
        return []


def _parent(process: psutil.Process) -> psutil.Process | None:
    try:
        return process.parent()
    except psutil.Error:
        return None


def _signal(process: psutil.Process, *, hard: bool) -> None:
    try:
        process.kill() if hard else process.terminate()
    except psutil.NoSuchProcess:
        return
