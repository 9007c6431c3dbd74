"""An S3 API on loopback (moto), and a door before any S3 API that fails in the ways networks and stores fail."""

from __future__ import annotations

import http.client
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal, Self
from urllib.error import URLError
from urllib.request import urlopen
from uuid import uuid4

from pydantic import SecretStr

from concord.adapters.archive_s3_client import S3Connection
from concord.settings import S3Settings
from tests.servers.redis import free_port

START_SECONDS = 90.0
Fault = Literal["503", "lost", "cut", "hang", "spoil", "etag"]


class MotoServer:
    """Answers as Amazon S3 does, keeps everything in memory and believes any credentials."""

    def __init__(self) -> None:
        self.port = free_port()
        self.access_key_id = "access"
        self.secret_access_key = "moto-secret"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]
        self._log = tempfile.TemporaryFile()
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log)
        wait_for_http(self.port, "/moto-api/", self._process)
        return self

    def __exit__(self, *_exception: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(timeout=30)
        self._log.close()


class S3Door:
    """Passes requests on to the store behind it; each `fail` spoils as many of the coming ones as it says.

    `hesitations` counts those that asked first whether they may send (`Expect: 100-continue`).
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.requests = 0
        self.hesitations = 0
        self.stopping = threading.Event()
        self._faults: deque[Fault] = deque()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.door = self  # type: ignore[attr-defined] # http.server hands handlers nothing but the server
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._server.server_address[1])

    def fail(self, fault: Fault, times: int = 1) -> None:
        """Spoil the next requests: refuse, lose the answer, cut it in half, never answer, change content or ETag."""
        self._faults.extend([fault] * times)

    def next_fault(self) -> Fault | None:
        """Count a request and say how it is to fail."""
        self.requests += 1
        return self._faults.popleft() if self._faults else None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._thread.join(timeout=30)
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    """One request: through to the store and back, or not quite."""

    def handle_one_request(self) -> None:
        self.close_connection = True
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        door: S3Door = self.server.door  # type: ignore[attr-defined] # see S3Door
        door.hesitations += "Expect" in self.headers
        fault = door.next_fault()
        if fault == "hang":
            door.stopping.wait(60)
        elif fault == "503":
            self.wfile.write(b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        else:
            self._pass_on(door, body, fault)

    def _pass_on(self, door: S3Door, body: bytes, fault: Fault | None) -> None:
        store = http.client.HTTPConnection("127.0.0.1", door.target, timeout=60)
        try:
            headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
            if fault == "spoil":
                body = body[:-1] + b"?"
                headers.pop("Content-MD5", None)
            store.request(self.command, self.path, body or None, headers)
            answer = store.getresponse()
            if fault != "lost":
                self._answer(answer, fault)
        finally:
            store.close()

    def _answer(self, answer: http.client.HTTPResponse, fault: Fault | None) -> None:
        content = answer.read()
        lines = [f"HTTP/1.1 {answer.status} {answer.reason}"]
        for name, value in answer.getheaders():
            if name.lower() == "etag" and fault == "etag":
                lines.append('ETag: "0123456789abcdef0123456789abcdef"')
            elif name.lower() not in {"connection", "transfer-encoding", "content-length"}:
                lines.append(f"{name}: {value}")
        size = answer.getheader("Content-Length") if self.command == "HEAD" else len(content)
        lines += [f"Content-Length: {size or 0}", "Connection: close", "", ""]
        self.wfile.write("\r\n".join(lines).encode("latin-1"))
        self.wfile.write(content[: len(content) // 2] if fault == "cut" else content)


def s3_settings(port: int, user: str, secret: str) -> S3Settings:
    """Settings for a store on loopback, still without a bucket."""
    return S3Settings(
        endpoint_url=f"http://127.0.0.1:{port}",
        region="us-east-1",
        access_key_id=user,
        secret_access_key=SecretStr(secret),
        multipart_threshold=5 * 1024 * 1024,
        max_attempts=3,
        connect_timeout=2,
        read_timeout=20,
    )


class S3Buckets:
    """Makes buckets in one store, each empty and of its own name."""

    def __init__(self, settings: S3Settings) -> None:
        self._settings = settings
        self._connection = S3Connection(settings)

    def make(self, *, prefix: str = "") -> S3Settings:
        """Settings for a new bucket."""
        name = f"b-{uuid4().hex}"
        self._connection.client.create_bucket(Bucket=name)
        return self._settings.model_copy(update={"bucket": name, "prefix": prefix})


def wait_for_http(port: int, path: str, process: subprocess.Popen[bytes]) -> None:
    """Until the server answers at all, whatever it says."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urlopen(f"http://127.0.0.1:{port}{path}", timeout=5).close()
        except (URLError, ConnectionError, TimeoutError):
            time.sleep(0.05)
        else:
            return
    raise AssertionError(f"no server answers on port {port}")
