"""The processes that a page's measurement needs, and what they cost: the baseline, a browser, a meter of CPU time."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import httpx
import psutil

from tests.waiting import eventually

HELLO: Final = """\
from fastapi import FastAPI
app = FastAPI()
@app.get("/")
def hello() -> dict[str, str]:
    return {"hello": "world"}
"""


class Meter:
    """CPU time of a process and its children, those included that ended."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)

    def seconds(self) -> float:
        """Since they began."""
        spent = 0.0
        for one in (self._process, *self._process.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                times = one.cpu_times()
                spent += times.user + times.system + times.children_user + times.children_system
        return spent

    def peak(self) -> int:
        """The most memory that the process itself ever had, in octets (VmHWM of proc(5))."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found
        return int(found[1]) * 1024


@contextmanager
def hello(folder: Path, port: int) -> Iterator[httpx.Client]:
    """A bare FastAPI application on the same uvicorn, and a client of it."""
    (folder / "hello.py").write_text(HELLO, encoding="utf-8")
    quiet = ("--no-access-log", "--log-level", "error")
    command = [sys.executable, "-m", "uvicorn", "hello:app", "--port", str(port), *quiet]
    process = subprocess.Popen(command, cwd=folder)
    try:
        base = f"http://127.0.0.1:{port}"
        assert eventually(lambda: answers(f"{base}/"), within=30)
        with httpx.Client(base_url=base) as client:
            yield client
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextmanager
def browser(port: int, name: str, password: str) -> Iterator[httpx.Client]:
    """Signed in at the admin site, on one connection."""
    base = f"http://localhost:{port}"
    assert eventually(lambda: answers(f"{base}/admin/login"), within=60)
    with httpx.Client(base_url=base, headers={"Accept": "text/html"}, timeout=60) as client:
        proof = re.search(r'name="csrf" value="([\w-]+)"', client.get("/admin/login").text)
        assert proof
        fields = {"csrf": proof[1], "name": name, "password": password, "next": "/admin/profile"}
        assert client.post("/admin/login", data=fields).is_redirect
        yield client


def answers(url: str) -> bool:
    """Whether a page is there."""
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False
