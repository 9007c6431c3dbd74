"""The real logrotate turns logs under daemons that write as fast as they can; no line is lost or doubled (D4)."""

from __future__ import annotations

import grp
import gzip
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.servers.daemon import ROOT
from tests.servers.supervisord import HEAD, Supervisord
from tests.waiting import eventually

LOGROTATE = shutil.which("logrotate", path=f"{os.environ['PATH']}:/usr/sbin") or "/usr/sbin/logrotate"
TURNS = 5
WRITERS = 3
# A worker and a pool process of it, each with the log as it begins there, until the file `stop` appears.
WRITER = """
import json, os, sys
from pathlib import Path
import structlog
from concord import log
directory, stop, name = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
def write(name):
    log.configure("json", "info", daemon="worker", directory=directory)
    number = 0
    while number % 50 or not stop.exists():
        structlog.get_logger().info("probe.wrote", writer=name, number=number, padding="x" * (number % 600))
        number += 1
    os.write(1, f"{json.dumps([name, number])}\\n".encode())
child = os.fork()
write(f"{name}-child" if child == 0 else name)
if child: os.waitpid(child, 0)
"""
# What supervisord captures; every line in one write, as the log's own handler does.
PROGRAM = """
import json, os, sys, time
from pathlib import Path
stop, name = Path(sys.argv[1]), sys.argv[2]
number = 0
while number % 50 or not stop.exists():
    line = json.dumps({"writer": name, "number": number, "padding": "x" * (number % 600)})
    os.write(1, (line + "\\n").encode())
    number += 1
Path(f"{stop}-{name}-soon").write_text(json.dumps([name, number]))
Path(f"{stop}-{name}-soon").rename(f"{stop}-{name}")
time.sleep(3600)
"""


class Turner:
    """The shipped configuration, for another directory and another user."""

    def __init__(self, logs: Path, run: Path) -> None:
        self.logs, self._run = logs, run
        me = f"{pwd.getpwuid(os.getuid()).pw_name} {grp.getgrgid(os.getgid()).gr_name}"
        shipped = (ROOT / "deploy/logrotate/concord").read_text(encoding="utf-8")
        ours = shipped.replace("/var/log/concord", str(logs)).replace("/run/concord", str(run))
        user, _, group = me.partition(" ")
        ours = ours.replace("concord concord", me).replace(
            "--reuid=concord --regid=concord", f"--reuid={user} --regid={group}"
        )
        if os.geteuid():
            ours = ours.replace(" --clear-groups", "")  # for root alone
        (run / "logrotate.conf").write_text(ours, encoding="utf-8")
        (run / "logrotate.conf").chmod(0o644)

    def turn(self) -> str:
        """Once, now."""
        done = subprocess.run(
            [LOGROTATE, "--force", "--state", self._run / "state", self._run / "logrotate.conf"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def files(self) -> list[str]:
        return sorted(path.name for path in self.logs.iterdir())

    def lines(self) -> Iterator[str]:
        """Of all generations."""
        for path in self.logs.iterdir():
            with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
                yield from file

    def found(self) -> Counter[tuple[str, int]]:
        """Each line's writer and number; a torn line raises."""
        told = [json.loads(line) for line in self.lines()]
        return Counter((one["writer"], one["number"]) for one in told)


@pytest.fixture
def turner() -> Iterator[Turner]:
    """In folders that only we may write: logrotate insists."""
    with tempfile.TemporaryDirectory(prefix="concord-log-") as folder:
        logs, run = Path(folder) / "logs", Path(folder) / "run"
        logs.mkdir(mode=0o750)
        run.mkdir(mode=0o750)
        yield Turner(logs, run)


def all_of(totals: dict[str, int]) -> Counter[tuple[str, int]]:
    return Counter((name, number) for name, total in totals.items() for number in range(total))


def writer(logs: Path, stop: Path, name: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WRITER, str(logs), str(stop), name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT, text=True)


def test_files_the_daemons_write_lose_no_line(turner: Turner, tmp_path: Path) -> None:
    stop = tmp_path / "stop"
    file = turner.logs / "celery-worker.log"
    with ExitStack() as stack:
        writers = [stack.enter_context(writer(turner.logs, stop, f"writer-{number}")) for number in range(WRITERS)]
        stack.callback(stop.touch)  # also where the test fails: nobody writes for ever
        for _ in range(TURNS):
            assert eventually(lambda: file.exists() and file.stat().st_size > 200_000)
            turner.turn()
        assert eventually(lambda: file.stat().st_size > 200_000)
        stop.touch()
        told = [json.loads(line) for each in writers for line in each.communicate(timeout=180)[0].splitlines()]

    found = turner.found()

    assert len(told) == 2 * WRITERS
    assert found == all_of(dict(told))
    names = [f"celery-worker.log{suffix}" for suffix in ("", ".1", ".2.gz", ".3.gz", ".4.gz", ".5.gz")]
    assert turner.files() == names
    assert file.stat().st_mode & 0o777 == 0o640


def test_two_programs_in_one_file_of_supervisords_lose_no_line(turner: Turner, tmp_path: Path) -> None:
    """D4: as deploy/supervisor does for the workers; SIGUSR2 tells supervisord."""
    stop, run = tmp_path / "stop", turner.logs.parent / "run"
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    program = (
        "[program:{name}]\ncommand={python} {script} {stop} {name}\n"
        "redirect_stderr=true\nstdout_logfile={file}\nstdout_logfile_maxbytes=0\n"
    )
    file = turner.logs / "celery-worker.log"
    names = ("worker-poll", "worker-mail")
    programs = [
        program.format(name=name, python=sys.executable, script=tmp_path / "program.py", stop=stop, file=file)
        for name in names
    ]
    config = run / "supervisord.conf"
    config.write_text(HEAD.format(run=run) + "\n" + "\n".join(programs), encoding="utf-8")

    with Supervisord(config, run, dict(os.environ)):
        for _ in range(TURNS):
            assert eventually(lambda: file.exists() and file.stat().st_size > 200_000)
            turner.turn()
        assert eventually(lambda: file.stat().st_size > 200_000)
        stop.touch()
        assert eventually(lambda: all(Path(f"{stop}-{name}").exists() for name in names))
        totals = dict(json.loads(Path(f"{stop}-{name}").read_text()) for name in names)
        wanted = all_of(totals)
        assert eventually(lambda: sum(1 for _ in turner.lines()) >= wanted.total())

    assert turner.found() == wanted
    assert (turner.logs / "celery-worker.log.5.gz").exists()


def test_without_a_supervisord_nobody_is_told(turner: Turner) -> None:
    (turner.logs / "celery-beat.log").write_text("{}\n", encoding="utf-8")

    turner.turn()

    assert turner.files() == ["celery-beat.log", "celery-beat.log.1"]


def test_line_is_never_cut_off_by_a_copy() -> None:
    """D4: copytruncate loses what is written between its copy and its cut."""
    shipped = (ROOT / "deploy/logrotate/concord").read_text(encoding="utf-8")

    directives = re.findall(r"^ +(\w+)", shipped, re.MULTILINE)

    assert "copytruncate" not in directives
    assert {"create", "delaycompress", "su", "sharedscripts"} <= set(directives)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root's processes are out of reach of a user")
@pytest.mark.parametrize("number", ["{pid}", "-{group}", "0 {pid}", "{pid}\n{pid}", "$(kill -USR2 {pid})"])
def test_root_signals_no_process_that_concord_names(tmp_path: Path, number: str) -> None:
    """The user concord writes the file with supervisord's number, and logrotate runs the script as root."""
    shipped = (ROOT / "deploy/logrotate/concord").read_text(encoding="utf-8")
    script = shipped.partition("postrotate\n")[2].partition("endscript")[0]
    tmp_path.chmod(0o755)
    for parent in tmp_path.parents[:3]:
        parent.chmod(parent.stat().st_mode | 0o011)
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as victim:
        text = number.format(pid=victim.pid, group=os.getpgid(victim.pid))
        (tmp_path / "supervisord.pid").write_text(text, encoding="utf-8")
        mine = script.replace("/run/concord", str(tmp_path)).replace("id=concord", "id=65534")

        done = subprocess.run(["sh", "-ec", mine], check=False, timeout=20)

        died = eventually(lambda: victim.poll() is not None, within=0.5)
        victim.kill()
    assert done.returncode == 0
    assert not died


def test_script_of_root_does_everything_as_concord() -> None:
    shipped = (ROOT / "deploy/logrotate/concord").read_text(encoding="utf-8")

    commands = shipped.partition("postrotate\n")[2].partition("endscript")[0].split()

    assert commands[:3] == ["setpriv", "--reuid=concord", "--regid=concord"]
