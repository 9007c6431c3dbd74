"""A booted Debian on this machine: systemd, D-Bus, polkit, Redis and Dovecot inside, no network outside of it.

A tree is made once for each suite and kept; a machine runs on an overlay of it, so that starting one copies nothing.
The overlay, the processes and their control group belong to one small keeper process that reads a pipe of ours:
whichever way this process ends, the pipe closes and the machine goes.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Self

from tests.package import control_group
from tests.package.failure import MachineError
from tests.package.trees import MAIL_USER, cache_folder, ids, locked, tree

NAMESPACES: Final = "unshare --mount --pid --net --uts --ipc --cgroup --fork mount -t tmpfs none /mnt"
BOOT_SECONDS: Final = 90.0
OFF_SECONDS: Final = 20.0
# Mounts the tree in a mount namespace of its own, boots it, and ends it when its input closes.
KEEPER: Final = """\
exec 3<&0
echo $$ > "$CGROUP/cgroup.procs" || exit
mount -t overlay overlay -o "lowerdir=$TREE,upperdir=$RUN/upper,workdir=$RUN/work" "$RUN/root" || exit
systemd-nspawn --quiet --boot --directory="$RUN/root" --machine="$NAME" --register=no --keep-unit --private-network \
  --console=pipe --link-journal=no </dev/null 3<&- >"$RUN/console" 2>&1 &
machine=$!
(read -r never <&3; echo 1 > "$CGROUP/cgroup.kill") &
wait $machine
"""


def why_not() -> str:
    """What this host lacks for booting a machine; empty where nothing is missing. Tried for real."""
    if os.geteuid() != 0:
        return "booting Debian in a namespace needs root"
    for tool in ("systemd-nspawn", "mmdebstrap", "nsenter", "unshare"):
        if not shutil.which(tool):
            return f"{tool} is not installed (packaging/bootstrap test installs it)"
    tried = subprocess.run(["sh", "-c", NAMESPACES], capture_output=True, text=True, check=False, timeout=20)
    if tried.returncode:
        return f"namespaces are not permitted here: {tried.stderr.strip()}"
    if not control_group.mounted():
        return "no cgroup2 hierarchy is mounted"
    try:
        control_group.remove(control_group.make(f"concord-try-{os.getpid()}"))
    except OSError as error:
        return f"control groups cannot be made here: {error}"
    return ""


# ── machines ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class Machine:
    """A running Debian. Used as a context manager; several may run at once."""

    def __init__(self, suite: str, *, layer: Path | None = None) -> None:
        """On the suite's tree; `layer` has what lies on top of it, such as an installed Concord (`keep` made it)."""
        self.suite = suite
        self._layer = layer
        self.name = f"concord-{suite}-{os.getpid()}-{time.monotonic_ns() % 100_000}"
        self._keeper: subprocess.Popen[bytes] | None = None
        self._run = cache_folder() / "run" / self.name
        self._cgroup = Path()
        self._lock = contextlib.ExitStack()
        self.leader = 0

    # Life.

    def __enter__(self) -> Self:
        lower = tree(self.suite)
        clean_leftovers()
        # Nobody takes it for a leftover before it is locked.
        with locked(cache_folder() / "run.lock"):
            for name in ("upper", "work", "root"):
                (self._run / name).mkdir(parents=True)
            self._lock.enter_context(locked(self._run / "lock"))
        self._cgroup = control_group.make(self.name)
        words = {
            "TREE": f"{self._layer}:{lower}" if self._layer else lower,
            "RUN": self._run,
            "NAME": self.name[:40],
            "CGROUP": self._cgroup,
        }
        self._keeper = subprocess.Popen(
            ["unshare", "--mount", "--propagation=slave", "sh", "-c", KEEPER],
            stdin=subprocess.PIPE,
            start_new_session=True,
            env={
                **os.environ,
                **{name: str(value) for name, value in words.items()},
                # Debian 13 needs it where the host has the old control groups.
                "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1",
            },
        )
        try:
            self._wait_for_boot()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Power off, and take away whatever is left of it."""
        self._power_off()
        self._lock.close()
        shutil.rmtree(self._run, ignore_errors=True)

    def keep(self, place: Path) -> None:
        """Power off, and keep what changed since it was made, as a layer for other machines."""
        self._power_off()
        (self._run / "upper").rename(place)

    def _power_off(self) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is None:
            return
        assert keeper.stdin
        if self.leader:
            # SIGRTMIN+4 is systemd's own signal for it, and needs no D-Bus inside.
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.leader, signal.SIGRTMIN + 4)
            with contextlib.suppress(subprocess.TimeoutExpired):
                keeper.wait(OFF_SECONDS)
        keeper.stdin.close()
        control_group.kill(self._cgroup)
        keeper.wait(OFF_SECONDS)

    # Commands.

    def run(
        self,
        command: str | Sequence[str | Path],
        *,
        user: str = "root",
        check: bool = True,
        stdin: str = "",
        timeout: float = 120,
        env: Mapping[str, str] | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell line, or the words of a command, inside. Raises MachineError with its output where it fails."""
        words = ["sh", "-c", command] if isinstance(command, str) else [str(word) for word in command]
        done = subprocess.run(
            self._inside(user, env) + words, input=stdin, capture_output=True, text=True, timeout=timeout, check=False
        )
        if check and done.returncode:
            shown = command if isinstance(command, str) else shlex.join(words)
            raise MachineError(
                f"{self.suite}: '{shown}' as {user} ended with {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done

    def popen(self, command: str, *, user: str = "root", **options: Any) -> subprocess.Popen[str]:
        """Start a shell line inside and come back at once; the caller ends it."""
        return subprocess.Popen([*self._inside(user, None), "sh", "-c", command], text=True, **options)

    def output(self, command: str | Sequence[str | Path], *, user: str = "root", **options: Any) -> str:
        """What a command prints, without blanks around it."""
        return self.run(command, user=user, **options).stdout.strip()

    def json(self, command: str, *, user: str = "root", **options: Any) -> Any:
        """What a command prints, read as JSON."""
        return json.loads(self.output(command, user=user, **options))

    def ok(self, command: str, *, user: str = "root") -> bool:
        """Whether a command succeeds."""
        return self.run(command, user=user, check=False).returncode == 0

    def wait_until(
        self, holds: Callable[[], object], *, within: float = 30.0, why: str = "", every: float = 0.4
    ) -> float:
        """Ask again and again; the seconds it took. Raises MachineError with the last journal lines."""
        began = time.monotonic()
        while not holds():
            if time.monotonic() > began + within:
                tail = self.run("journalctl --no-pager -n 60 -o short-precise", check=False).stdout
                raise MachineError(f"{self.suite}: not within {within:.0f} s: {why or holds}\n{tail}")
            time.sleep(every)
        return time.monotonic() - began

    # Files.

    @property
    def root(self) -> Path:
        """The machine's files as this host sees them, while it runs."""
        return Path(f"/proc/{self.leader}/root")

    def path(self, inside: str) -> Path:
        """A file of the machine, by its name inside."""
        return self.root / inside.lstrip("/")

    def put(self, inside: str, text: str, *, mode: int = 0o644, owner: str = "root") -> None:
        """Write a file, its folders made as needed."""
        path = self.path(inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        if owner != "root":
            self.run(["chown", f"{owner}:{owner}", inside])

    def copy_in(self, file: Path, inside: str) -> None:
        """Put a file of the host into the machine."""
        self.path(inside).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, self.path(inside))

    # Packages and units.

    def install(self, *debs: Path, options: str = "", timeout: float = 240) -> str:
        """`apt-get install ./x.deb …` as an administrator does, without network; all that it said."""
        for deb in debs:
            self.copy_in(deb, f"/root/{deb.name}")
        names = " ".join(shlex.quote(f"./{deb.name}") for deb in debs)
        # One at a time on this host: how long it takes should say something of the package.
        with locked(cache_folder() / "install.lock"):
            done = self.run(f"cd /root && apt-get install -y {options} {names} </dev/null 2>&1", timeout=timeout)
        return done.stdout

    def journal(self, unit: str = "", *, fields: bool = False, since: str = "") -> Any:
        """A unit's lines as text; with `fields` each as a dictionary of its journal fields."""
        words = ["journalctl", "--no-pager", "-o", "json" if fields else "cat", "--all"]
        words += ["-u", unit] if unit else []
        words += ["--since", since] if since else []
        text = self.run(words).stdout
        return [json.loads(line) for line in text.splitlines()] if fields else text

    def show(self, unit: str, *names: str) -> dict[str, str]:
        """Properties of a unit, as `systemctl show` has them."""
        text = self.output(["systemctl", "show", unit, "-p", ",".join(names)])
        return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)

    def is_active(self, unit: str) -> bool:
        """Whether systemd calls it active (which a daemon that is starting is not)."""
        return self.run(["systemctl", "is-active", unit], check=False).stdout.strip() == "active"

    def main_pid(self, unit: str) -> int:
        """The unit's main process, by its number inside; 0 where it has none."""
        return int(self.show(unit, "MainPID")["MainPID"])

    def pids(self, unit: str) -> list[int]:
        """Every process of the unit, by their numbers inside."""
        group = self.show(unit, "ControlGroup")["ControlGroup"]
        text = self.run(f"cat '/sys/fs/cgroup{group}/cgroup.procs'", check=False).stdout if group else ""
        return [int(pid) for pid in text.split()]

    # Mail.

    def deliver(self, user: str, raw: bytes, name: str) -> None:
        """One mail into the user's inbox, as a delivery agent does it: written beside, then renamed."""
        box = self.path(f"/srv/mail/{user}")
        owner = ids(self.root, MAIL_USER)
        for folder in (box, box / "tmp", box / "new", box / "cur"):
            if not folder.exists():
                folder.mkdir(parents=True)
                os.chown(folder, *owner)
        fresh = box / "tmp" / name
        fresh.write_bytes(raw)
        os.chown(fresh, *owner)
        fresh.rename(box / "new" / name)

    # The inside.

    def _inside(self, user: str, env: Mapping[str, str] | None) -> list[str]:
        own = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", **(env or {})}
        enter = ["nsenter", "--target", str(self.leader), "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup",
                 "--root", "env", "-i", "--chdir=/", *(f"{name}={value}" for name, value in own.items())]  # fmt: skip
        if user == "root":
            return enter
        uid, gid = ids(self.root, user)
        return [*enter, "setpriv", f"--reuid={uid}", f"--regid={gid}", "--init-groups"]

    def _wait_for_boot(self) -> None:
        deadline = time.monotonic() + BOOT_SECONDS
        while time.monotonic() < deadline:
            assert self._keeper
            if self._keeper.poll() is not None:
                break
            self.leader = self.leader or self._find_leader()
            if self.leader and self._is_up():
                return
            time.sleep(0.1)
        console = self._run / "console"
        said = console.read_text(encoding="utf-8", errors="replace") if console.exists() else ""
        raise MachineError(f"Debian {self.suite} did not boot; its console:\n{said[-4000:]}")

    def _is_up(self) -> bool:
        try:
            asked = self.run(["systemctl", "is-system-running"], check=False, timeout=20)
        except subprocess.TimeoutExpired:
            return False
        return asked.stdout.strip() in ("running", "degraded")

    def _find_leader(self) -> int:
        """The first process inside: a child of nspawn's, which is one of the keeper's."""
        assert self._keeper
        for nspawn in _children(self._keeper.pid):
            if Path(f"/proc/{nspawn}/comm").read_text(encoding="utf-8").strip() != "systemd-nspawn":
                continue
            for child in _children(nspawn):
                # nspawn forks before it has made the namespaces; only then does systemd begin.
                if Path(f"/proc/{child}/comm").read_text(encoding="utf-8").strip() == "systemd":
                    return child
        return 0


def clean_leftovers() -> None:
    """Remove what a killed run left behind: its machine died with it, its files and its control group did not."""
    with locked(cache_folder() / "run.lock"):
        for folder in (cache_folder() / "run").glob("concord-*"):
            with contextlib.suppress(BlockingIOError, FileNotFoundError), locked(folder / "lock", wait=False):
                control_group.kill((control_group.mounted() or Path()) / folder.name)
                shutil.rmtree(folder, ignore_errors=True)


def _children(pid: int) -> list[int]:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="utf-8").split()]
    return []
