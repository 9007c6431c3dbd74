"""A master, a replica and sentinels that watch them."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Self

import redis

from tests.servers.redis import BINARY, RedisServer, free_port
from tests.waiting import eventually

SERVICE = "mymaster"


class SentinelSet:
    """One of each, and three sentinels."""

    def __init__(self, sentinels: int = 3) -> None:
        self.master = RedisServer()
        self.replica = RedisServer(extra=("--replicaof", "127.0.0.1", str(self.master.port)))
        self.ports = [free_port() for _ in range(sentinels)]
        self._processes: list[subprocess.Popen[bytes]] = []
        self._folder = tempfile.TemporaryDirectory(prefix="concord-sentinel-")

    @property
    def url(self) -> str:
        """As `redis.url` takes it."""
        return f"sentinel://{','.join(f'127.0.0.1:{port}' for port in self.ports)}/0"

    def leader(self) -> int:
        """The port of whom the first sentinel calls master."""
        with redis.Redis(port=self.ports[0], decode_responses=True, socket_timeout=5) as client:
            return int(client.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", SERVICE)[1])

    def __enter__(self) -> Self:
        self.master.start()
        self.replica.start()
        for port in self.ports:
            config = Path(self._folder.name) / f"{port}.conf"
            config.write_text(self._config(port), encoding="utf-8")
            self._processes.append(subprocess.Popen([BINARY, str(config), "--sentinel"], stdout=subprocess.DEVNULL))
        assert eventually(self._knows_everyone), "the sentinels did not find each other"
        return self

    def __exit__(self, *_exception: object) -> None:
        for process in self._processes:
            process.kill()
            process.wait(timeout=30)
        self.replica.close()
        self.master.close()
        self._folder.cleanup()

    def _config(self, port: int) -> str:
        return "\n".join(
            [
                "bind 127.0.0.1",
                f"port {port}",
                f"dir {self._folder.name}",
                f"sentinel monitor {SERVICE} 127.0.0.1 {self.master.port} {len(self.ports) // 2 + 1}",
                f"sentinel down-after-milliseconds {SERVICE} 1000",
                f"sentinel failover-timeout {SERVICE} 5000",
                "",
            ]
        )

    def _knows_everyone(self) -> bool:
        try:
            return all(self._sees(port) for port in self.ports)
        except redis.RedisError:
            return False

    def _sees(self, port: int) -> bool:
        with redis.Redis(port=port, decode_responses=True, socket_timeout=5) as client:
            facts = client.execute_command("SENTINEL", "MASTER", SERVICE)
        told = facts if isinstance(facts, dict) else dict(zip(facts[::2], facts[1::2], strict=True))
        return int(told["num-slaves"]) == 1 and int(told["num-other-sentinels"]) == len(self.ports) - 1
