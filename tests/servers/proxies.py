"""nginx and Caddy before an admin service, from the samples that operators get; ports and certificates are ours."""

from __future__ import annotations

import os
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

from tests.servers.certificates import Certificates
from tests.servers.redis import free_port
from tests.waiting import eventually

NAME: Final = "concord.example.com"
_SAMPLES: Final = Path(__file__).parents[2] / "deploy"
_BACKEND: Final = "127.0.0.1:3000"
_CERTIFICATE: Final = "/etc/letsencrypt/live/concord.example.com"
# As Debian's nginx.conf has it, packing included.
_NGINX: Final = """\
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections 768; }}
http {{
    sendfile on;
    tcp_nopush on;
    default_type application/octet-stream;
    ssl_protocols TLSv1 TLSv1.1 TLSv1.2 TLSv1.3;
    access_log {folder}/access.log;
    gzip on;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/concord.conf;
}}
"""


class Proxy(ABC):
    """Used as a context manager; it answers on `port` by TLS, and on `plain_port` without."""

    def __init__(self, folder: Path, *, backend: int) -> None:
        self.folder, self.backend = folder, backend
        folder.mkdir()
        self.port, self.plain_port = free_port(), free_port()
        self.certificates = Certificates(folder / "tls", also_for=[NAME])
        self._process: subprocess.Popen[bytes]

    @abstractmethod
    def command(self) -> list[str]:
        """Write the settings, and say how to start it."""

    def __enter__(self) -> Self:
        home = {"PATH": os.environ["PATH"], "HOME": str(self.folder)}
        with (self.folder / "said.log").open("ab") as log:
            self._process = subprocess.Popen(self.command(), env=home, stdout=log, stderr=log)
        assert eventually(self._listens, within=20), self.said
        return self

    def __exit__(self, *_exception: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=60)

    @property
    def said(self) -> str:
        """What it wrote so far."""
        files = [self.folder / "said.log", self.folder / "error.log"]
        return "\n".join(file.read_text(encoding="utf-8") for file in files if file.exists())

    def _listens(self) -> bool:
        assert self._process.poll() is None, self.said
        listening = Path("/proc/net/tcp").read_text(encoding="ascii")
        return all(f":{port:04X} 00000000:0000 0A" in listening for port in (self.port, self.plain_port))


class Nginx(Proxy):
    """deploy/nginx/concord.conf, included by an nginx.conf like Debian's."""

    def command(self) -> list[str]:
        """A master and one worker, in the foreground."""
        sample = _changed(
            _SAMPLES / "nginx/concord.conf",
            {
                "listen 443 ssl http2;": f"listen 127.0.0.1:{self.port} ssl http2;",
                "    listen [::]:443 ssl http2;\n": "",
                "listen 80;": f"listen 127.0.0.1:{self.plain_port};",
                "    listen [::]:80;\n": "",
                f"{_CERTIFICATE}/fullchain.pem": str(self.certificates.certificate),
                f"{_CERTIFICATE}/privkey.pem": str(self.certificates.key),
                _BACKEND: f"127.0.0.1:{self.backend}",
            },
        )
        (self.folder / "concord.conf").write_text(sample, encoding="utf-8")
        user = "user root;" if os.geteuid() == 0 else ""
        settings = _NGINX.format(folder=self.folder, user=user)
        (self.folder / "nginx.conf").write_text(settings, encoding="utf-8")
        return ["nginx", "-p", str(self.folder), "-c", str(self.folder / "nginx.conf"), "-e", "stderr"]


class Caddy(Proxy):
    """deploy/caddy/Caddyfile, with a certificate that nobody had to be asked for."""

    def command(self) -> list[str]:
        """One process, in the foreground."""
        ours = f"\tadmin off\n\thttp_port {self.plain_port}\n\thttps_port {self.port}\n\tdefault_bind 127.0.0.1\n"
        files = f"{self.certificates.certificate} {self.certificates.key}"
        sample = _changed(
            _SAMPLES / "caddy/Caddyfile",
            {
                "\n{\n\tservers {": f"\n{{\n{ours}\tservers {{",
                f"\n{NAME} {{\n": f"\n{NAME} {{\n\ttls {files}\n",
                _BACKEND: f"127.0.0.1:{self.backend}",
            },
        )
        (self.folder / "Caddyfile").write_text(sample, encoding="utf-8")
        return ["caddy", "run", "--config", str(self.folder / "Caddyfile"), "--adapter", "caddyfile"]


def _changed(sample: Path, changes: Mapping[str, str]) -> str:
    text = sample.read_text(encoding="utf-8")
    for old, new in changes.items():
        assert text.count(old) == 1, f"{sample} has {old!r} {text.count(old)} times"
        text = text.replace(old, new)
    return text
