"""OpenStack Swift with its S3 API: a real object store on loopback, one of each server, all state in one directory."""

from __future__ import annotations

import getpass
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Self

from tests.servers.redis import free_port
from tests.servers.s3 import wait_for_http

PACKAGES = "swift-proxy swift-account swift-container swift-object memcached"
# Swift belongs to Debian's Python; its one fixed path is that of swift.conf.
_PYTHON = "/usr/bin/python3"
_RUN = """
import runpy, sys
import swift.common.utils
swift.common.utils.SWIFT_CONF_FILE = sys.argv[1]
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
_RINGS = """
import sys
import swift.common.utils
swift.common.utils.SWIFT_CONF_FILE = sys.argv[1] + "/swift.conf"
from swift.common.ring import RingBuilder
for kind, port in (pair.split("=") for pair in sys.argv[2:]):
    ring = RingBuilder(2, 1, 0)
    device = {"region": 1, "zone": 1, "weight": 1, "ip": "127.0.0.1", "port": int(port), "device": "disk"}
    ring.add_dev({**device, "replication_ip": "127.0.0.1", "replication_port": int(port)})
    ring.rebalance()
    ring.get_ring().save(sys.argv[1] + "/" + kind + ".ring.gz")
"""
_PROXY = """
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck cache listing_formats bulk s3api tempauth slo dlo symlink proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = {secret} .admin
[filter:s3api]
use = egg:swift#s3api
location = us-east-1
[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:{memcache}
"""


class SwiftServer:
    """Five small processes; `port` is where S3 is spoken."""

    def __init__(self) -> None:
        missing = [
            name for name in ("swift-proxy-server", "swift-object-server", "memcached") if not shutil.which(name)
        ]
        assert not missing, f"{', '.join(missing)} not found: apt-get install --no-install-recommends {PACKAGES}"
        self.port = free_port()
        self.access_key_id = "test:tester"
        self.secret_access_key = "swift-secret"
        self.folder = Path(tempfile.mkdtemp(prefix="concord-swift-"))
        self._ports = {kind: free_port() for kind in ("account", "container", "object")}
        self._memcache = free_port()
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        try:
            self._configure()
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_exception: object) -> None:
        for process in self._processes:
            process.kill()
            process.wait(timeout=30)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _configure(self) -> None:
        (self.folder / "srv" / "disk").mkdir(parents=True)
        self._require_attributes()
        self._write("swift", "[swift-hash]\nswift_hash_path_suffix = concord\nswift_hash_path_prefix = concord\n")
        proxy = _PROXY.format(secret=self.secret_access_key, memcache=self._memcache)
        self._write("proxy", self._common(self.port) + proxy)
        for kind, port in self._ports.items():
            server = f"[pipeline:main]\npipeline = healthcheck {kind}-server\n"
            server += f"[app:{kind}-server]\nuse = egg:swift#{kind}\n"
            self._write(kind, self._common(port) + server)
        rings = [f"{kind}={port}" for kind, port in self._ports.items()]
        subprocess.run([_PYTHON, "-c", _RINGS, str(self.folder), *rings], check=True, capture_output=True, timeout=60)

    def _require_attributes(self) -> None:
        try:
            os.setxattr(self.folder, "user.concord", b"1")
        except OSError as error:
            raise AssertionError(f"Swift needs extended attributes; set TMPDIR to a disk, not {self.folder}") from error

    def _common(self, port: int) -> str:
        return (
            f"[DEFAULT]\nbind_ip = 127.0.0.1\nbind_port = {port}\nworkers = 0\nuser = {getpass.getuser()}\n"
            f"swift_dir = {self.folder}\ndevices = {self.folder}/srv\nmount_check = false\nfallocate_reserve = 0\n"
            "[filter:healthcheck]\nuse = egg:swift#healthcheck\n"
            "[filter:catch_errors]\nuse = egg:swift#catch_errors\n"
            "[filter:gatekeeper]\nuse = egg:swift#gatekeeper\n"
            "[filter:listing_formats]\nuse = egg:swift#listing_formats\n"
            "[filter:bulk]\nuse = egg:swift#bulk\n"
            "[filter:slo]\nuse = egg:swift#slo\n"
            "[filter:dlo]\nuse = egg:swift#dlo\n"
            "[filter:symlink]\nuse = egg:swift#symlink\n"
        )

    def _write(self, name: str, text: str) -> None:
        suffix = ".conf" if name == "swift" else "-server.conf"
        (self.folder / f"{name}{suffix}").write_text(text, encoding="utf-8")

    def _start(self) -> None:
        self._run("memcached", ["memcached", "-l", "127.0.0.1", "-p", str(self._memcache), "-u", getpass.getuser()])
        for kind in (*self._ports, "proxy"):
            program = shutil.which(f"swift-{kind}-server")
            config = self.folder / f"{kind}-server.conf"
            conf = self.folder / "swift.conf"
            self._run(kind, [_PYTHON, "-c", _RUN, str(conf), str(program), str(config), "-v"])
        for port, process in zip([*self._ports.values(), self.port], self._processes[1:], strict=True):
            try:
                wait_for_http(port, "/healthcheck", process)
            except AssertionError as error:
                logs = "\n".join(log.read_text("utf-8")[-2000:] for log in self.folder.glob("*.log"))
                raise AssertionError(logs) from error

    def _run(self, name: str, command: list[str]) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self._processes.append(subprocess.Popen(command, stdout=log, stderr=log))
