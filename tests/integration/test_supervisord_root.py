"""Where root starts supervisord, nothing that the user concord may write gives it root (M3)."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.servers.daemon import ROOT
from tests.waiting import eventually

SHIPPED = ROOT / "deploy/supervisor"
USER, UID = "nobody", 65534
# Each leaves a file with the user it runs as.
PROOF = "/bin/sh -c 'id -u > {proof}; sleep 60'"
PLANTS = {
    "a program": "[program:evil]\ncommand={command}\nuser=root\n",
    "a program that says nothing of a user": "[program:evil]\ncommand={command}\n",
    "supervisord's own user": "[supervisord]\nuser=root\n[program:evil]\ncommand={command}\n",
    "an event listener": "[eventlistener:evil]\ncommand={command}\nuser=root\nevents=TICK_5\n",
    "a FastCGI program": "[fcgi-program:evil]\ncommand={command}\nuser=root\nsocket=unix://{proof}.sock\n",
    "code inside supervisord": "[rpcinterface:evil]\nsupervisor.rpcinterface_factory=planted:write_user\n",
}
CODE = 'import os\ndef write_user(supervisord, **options):\n    open({proof!r}, "w").write(f"{{os.geteuid()}}\\n")\n'
# Everything of the command but its exec: the user may not be able to read this Python's folder.
SUPERVISE = """
import os, sys
from pathlib import Path
from supervisor import supervisord
from concord import settings
os.execv = lambda path, words: (sys.argv.__setitem__(slice(None), words), supervisord.main())
from concord.cli import identity, watchdog
identity.USER = {user!r}
watchdog._DAEMONS = Path({config!r})
settings.ServiceSettings.model_fields["programs_file"].default = Path({workers!r})
settings.ServiceSettings.model_rebuild(force=True)
watchdog.supervise(["--silent"])
"""

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can hand root out")


class Place:
    """An installation in a folder of its own: settings of root's, state of the user's."""

    def __init__(self, folder: Path) -> None:
        self.etc, self.state = folder / "etc", folder / "state"
        self.proof = self.state / "proof"
        (self.etc / "supervisor.d").mkdir(parents=True)
        self.state.mkdir()
        os.chown(self.state, UID, UID)
        changes = {
            "/etc/concord": str(self.etc),
            "/var/lib/concord": str(self.state),
            "/var/log/concord": str(self.state),
            "/run/concord": str(self.state),
            "user=concord": f"user={USER}",
        }
        for name in ("supervisord.conf", "daemons.conf"):
            text = (SHIPPED / name).read_text(encoding="utf-8")
            # The programs of the installation are not what this is about.
            text = text.partition("[program:concord-migrate]")[0]
            for old, new in changes.items():
                text = text.replace(old, new)
            (self.etc / name).write_text(text, encoding="utf-8")

    def plant(self, text: str) -> None:
        """What the user concord can do: write the file of further workers."""
        command = PROOF.format(proof=self.proof)
        (self.state / "workers.conf").write_text(text.format(command=command, proof=self.proof), encoding="utf-8")
        (self.state / "planted.py").write_text(CODE.format(proof=str(self.proof)), encoding="utf-8")

    def user_of_the_plant(self) -> str:
        return self.proof.read_text(encoding="utf-8").strip() if self.proof.exists() else ""

    def log(self) -> str:
        log = self.state / "supervisord.log"
        return log.read_text(encoding="utf-8") if log.exists() else ""

    @contextmanager
    def started_by_root(self, command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
        process = subprocess.Popen(
            command,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": f"{ROOT}:{self.state}", "PYTHONDONTWRITEBYTECODE": "1"},
            cwd=self.etc,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def place() -> Iterator[Place]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="concord-root-")))
        folder.chmod(0o755)
        yield Place(folder)


def supervise(place: Place) -> list[str]:
    """The documented start."""
    script = SUPERVISE.format(
        user=USER, config=str(place.etc / "daemons.conf"), workers=str(place.state / "workers.conf")
    )
    return [sys.executable, "-c", script]


def supervisord(place: Place, config: str) -> list[str]:
    """What somebody may type instead, who knows supervisord."""
    return [str(Path(sys.executable).parent / "supervisord"), "-n", "-c", str(place.etc / config)]


@pytest.mark.parametrize("plant", PLANTS)
def test_documented_start_runs_nothing_as_root(place: Place, plant: str) -> None:
    place.plant(PLANTS[plant])

    with place.started_by_root(supervise(place)) as process:
        assert eventually(
            lambda: place.user_of_the_plant() or "exited: evil" in place.log() or process.poll() is not None
        )

    assert place.user_of_the_plant() in ("", str(UID))


@pytest.mark.parametrize("plant", PLANTS)
def test_supervisord_started_by_root_itself_reads_no_file_of_concords(place: Place, plant: str) -> None:
    place.plant(PLANTS[plant])

    with place.started_by_root(supervisord(place, "supervisord.conf")) as process:
        assert eventually(lambda: "supervisord started" in place.log() or process.poll() is not None)

    assert place.user_of_the_plant() == ""
    assert "workers.conf" not in place.log()


def test_file_that_names_concords_own_is_refused_to_root(place: Place) -> None:
    place.plant(PLANTS["a program"])

    with place.started_by_root(supervisord(place, "daemons.conf")) as process:
        assert process.wait(timeout=20) != 0

    assert place.user_of_the_plant() == ""


def test_further_worker_of_concords_runs_as_concord(place: Place) -> None:
    """M6: what the admin site added is still started."""
    place.plant(PLANTS["a program that says nothing of a user"])

    with place.started_by_root(supervise(place)):
        assert eventually(lambda: place.user_of_the_plant() == str(UID))


def test_supervise_leaves_no_way_back_to_root(place: Place) -> None:
    script = f"""
import os
from concord.cli import identity
identity.USER = {USER!r}
os.environ["CONCORD_CONFIG"] = "/dev/null"
identity.drop_root()
print(os.getresuid(), os.getresgid(), 0 in os.getgroups())
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)

    assert done.stdout.strip() == f"{(UID,) * 3} {(UID,) * 3} False"


@pytest.mark.parametrize("file", ["supervisord.conf", "concord.conf"])
def test_installed_files_include_nothing_outside_of_roots_folder(file: str) -> None:
    text = (SHIPPED / file).read_text(encoding="utf-8")

    included = [word for line in re.findall(r"^files=(.*)$", text, re.MULTILINE) for word in line.split()]

    assert [one for one in included if not one.startswith("supervisor.d/")] == []
